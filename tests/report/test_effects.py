import itertools
import random
import statistics

import pytest

from flexdan.config.trials import SweepSummary, Trial, params_text, value_text
from flexdan.report.effects import complete_trials, effects, explained, metric_name


def sweep(trials, parameters, **changes):
    settings = {"name": "s", "method": "grid", "metric": "iou_score", "goal": "max"} | changes
    return SweepSummary(parameters=dict.fromkeys(parameters, ""), trials=tuple(trials), **settings)


def trial(number, value, state="complete", **params):
    return Trial(number=number, state=state, value=value, params=params)


def test_marginal_means_are_those_of_the_complete_trials():
    trials = [
        trial(0, 0.5, a="x"),
        trial(1, 0.7, a="x"),
        trial(2, 0.9, a="y"),
        trial(3, 0.1, a="x", state="pruned"),
        trial(4, None, a="y", state="infeasible"),
        trial(5, None, a="y"),
        trial(6, float("nan"), a="y"),
    ]
    (effect,) = effects(sweep(trials, ["a"]))
    first, second = effect.groups
    assert (first.name, second.name) == ("x", "y")
    assert first.mean == pytest.approx(0.6)
    assert first.deviation == pytest.approx(0.2 / 2**0.5)
    assert (min(first.values), max(first.values), len(first.values)) == (0.5, 0.7, 2)
    assert (second.mean, second.deviation, second.values) == (0.9, None, [0.9])
    assert [len(group.trials) for group in effect.groups] == [3, 4]
    assert [one.number for one in complete_trials(trials)] == [0, 1, 2]
    assert not effect.binned


def test_numbers_ascend_and_others_keep_their_order():
    trials = [trial(0, 1.0, a=64, b="z"), trial(1, 1.0, a=8, b="a"), trial(2, 1.0, a=32, b="m")]
    first, second = effects(sweep(trials, ["a", "b"]))
    assert [group.name for group in first.groups] == ["8", "32", "64"]
    assert [group.name for group in second.groups] == ["z", "a", "m"]


def test_importance_is_the_share_of_the_variance_that_a_parameter_explains():
    """Of a full grid with main effects of variance 1 (a), 4 (b) and 0 (c)."""
    trials = [
        trial(number, a + 2 * b, a=a, b=b, c=c)
        for number, (a, b, c) in enumerate(itertools.product((-1, 1), (-1, 1), (0, 1, 2)))
    ]
    found = effects(sweep([*trials, trial(12, None, "failed", a=1, b=1, c=1)], "abcd"))
    assert [one.parameter for one in found] == ["b", "a", "c", "d"]
    # SST is 60 = 12 (a) + 48 (b); MSW is what is left, by 12 values less the number of groups
    assert [one.importance for one in found] == [
        pytest.approx((48 - 12 / 10) / 60),
        pytest.approx((12 - 48 / 10) / 60),
        0.0,
        None,
    ]


def test_groups_that_mean_nothing_explain_nothing_on_average():
    draw = random.Random(1)
    shares = [explained([[draw.gauss(0, 1) for _ in range(4)] for _ in range(5)]) for _ in range(400)]
    assert statistics.fmean(shares) < 0.12  # a share that is not adjusted has 4 / 19 = 0.21
    assert explained([[1.0] * 4, [2.0] * 4]) == 1.0


@pytest.mark.parametrize("groups", [[], [[1.0, 2.0]], [[1.0], [2.0]], [[1.0, 1.0], [1.0, 1.0]]])
def test_too_few_or_equal_values_tell_no_importance(groups):
    assert explained(groups) is None


def test_many_numbers_are_put_into_four_ranges():
    draw = random.Random(0)
    values = [10 ** draw.uniform(-5, -1) for _ in range(40)]
    trials = [trial(at, value, lr=value) for at, value in enumerate(values)]
    (effect,) = effects(sweep(trials, ["lr"], method="bayes"))
    assert effect.binned
    ordered = sorted(values)
    for at, group in enumerate(effect.groups):
        naive = ordered[10 * at : 10 * at + 10]
        assert sorted(group.values) == naive
        assert group.mean == pytest.approx(statistics.fmean(naive))
        assert group.name == f"{naive[0]:.3g} to {naive[-1]:.3g}"


def test_equal_numbers_are_never_parted():
    trials = [trial(at, 1.0, a=min(at, 9)) for at in range(40)]  # 31 of 40 have a 9
    (effect,) = effects(sweep(trials, ["a"]))
    assert [group.name for group in effect.groups] == ["0 to 9"]
    trials = [trial(at, 1.0, a=max(at, 30)) for at in range(40)]
    (effect,) = effects(sweep(trials, ["a"]))
    assert [(group.name, len(group.trials)) for group in effect.groups] == [("30", 31), ("31 to 39", 9)]


@pytest.mark.parametrize("count", [8, 9])
def test_up_to_eight_numbers_stay_single(count):
    (effect,) = effects(sweep([trial(at, 1.0, a=at / 10) for at in range(count)], ["a"]))
    assert effect.binned == (count == 9)
    assert len(effect.groups) == (4 if effect.binned else 8)


def test_lists_switches_and_nothing_are_values_like_others():
    values = [[1, 2], (1, 2), [3], True, None, False]
    (effect,) = effects(sweep([trial(at, 1.0, a=value) for at, value in enumerate(values)], ["a"]))
    assert [(group.name, len(group.trials)) for group in effect.groups] == [
        ("[1, 2]", 2),
        ("[3]", 1),
        ("true", 1),
        ("null", 1),
        ("false", 1),
    ]


def test_close_numbers_get_the_digits_that_tell_them_apart():
    (effect,) = effects(sweep([trial(0, 1.0, a=0.12345), trial(1, 1.0, a=0.12346)], ["a"]))
    assert [group.name for group in effect.groups] == ["0.12345", "0.12346"]


def test_trials_without_values_have_no_effects():
    (effect,) = effects(sweep([trial(0, None, state="waiting")], ["a"]))
    assert effect.groups == ()
    assert effects(sweep([], [])) == []


def test_texts():
    assert params_text({"a.b": 0.00123456, "c": "x", "d": {"e": 1}}) == 'a.b 0.001235, c x, d {"e": 1}'
    assert value_text([1e-5, 2]) == "[1e-05, 2]"
    assert (metric_name("iou_score"), metric_name("my_loss")) == ("IoU", "my loss")
