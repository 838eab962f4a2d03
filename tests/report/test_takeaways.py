import itertools
import random

import pytest
from scipy import stats

from flexdan.config.trials import SweepSummary, Trial
from flexdan.report.takeaways import best_of_all, differences, left_out, signed

GRID = {"a": (1, 2), "b": ("x", "y"), "c": (False, True)}
NOISE = (0.001, -0.002, 0.003, 0.0, -0.001, 0.002, 0.0, 0.001)


def grid(value, changes=None, **settings):
    """Return a 2 x 2 x 2 grid whose metric is a function of its parameters."""
    trials = []
    for number, values in enumerate(itertools.product(*GRID.values())):
        params = dict(zip(GRID, values, strict=True))
        fields = {"state": "complete", "value": value(number, **params), "predicted_peak": 1000 * params["a"]}
        trials.append(Trial(number=number, params=params, **fields | (changes or {}).get(number, {})))
    return summary(trials, list(GRID), **settings)


def summary(trials, parameters, **settings):
    settings = {"name": "s", "method": "grid", "metric": "iou_score", "goal": "max"} | settings
    return SweepSummary(parameters=dict.fromkeys(parameters, ""), trials=tuple(trials), **settings)


def known(number, a, b, c):
    return 0.5 + 0.1 * (a == 2) - 0.05 * (b == "y") + NOISE[number]


def single(found, parameter):
    (one,) = [one for one in found if one.parameter == parameter]
    return one


def test_pairs_of_a_grid_are_compared():
    full = grid(known)
    one = single(differences(full), "a")
    value = {tuple(trial.params.values()): trial.value for trial in full.trials}
    pairs = [(value[2, b, c], value[1, b, c]) for b in "xy" for c in (False, True)]
    assert (one.value, one.against, one.paired, one.counts) == ("2", "1", True, (4,))
    assert one.mean == pytest.approx(sum(mine - theirs for mine, theirs in pairs) / 4)
    naive = stats.ttest_rel(*zip(*pairs, strict=True)).confidence_interval(0.95)
    assert one.interval == pytest.approx((naive.low, naive.high))
    assert one.deviation == pytest.approx(stats.tstd([mine - theirs for mine, theirs in pairs]))
    assert one.memory == pytest.approx(1.0)
    assert one.peak == "predicted"
    assert one.verdict == "better"
    assert one.text == "a 2 against 1: +0.100 IoU (95 % interval +0.095 to +0.105), +100 % predicted memory, n = 4"


def test_the_best_value_and_what_is_unclear():
    found = differences(grid(known))
    assert (single(found, "b").value, single(found, "b").verdict) == ("x", "better")
    unclear = single(found, "c")
    assert unclear.verdict == "no clear difference"
    assert ": no clear difference, " in unclear.text
    assert "same predicted memory, n = 4" in unclear.text


def test_a_lower_value_is_better_where_the_goal_is_min():
    one = single(differences(grid(known, goal="min", metric="val_loss")), "a")
    assert (one.value, one.against, one.verdict) == ("1", "2", "better")
    assert one.mean == pytest.approx(-0.1, abs=0.005)
    assert one.text == (
        "a 1 against 2: \N{MINUS SIGN}0.100 validation loss (95 % interval \N{MINUS SIGN}0.105 to "
        "\N{MINUS SIGN}0.095), \N{MINUS SIGN}50 % predicted memory, n = 4"
    )


def test_means_are_not_misled_by_trials_that_could_not_run():
    """The larger value is better in every pair, but only the worst of its trials could run."""
    hidden = {number: {"state": "infeasible", "value": None} for number in (4,)}
    full = grid(lambda number, a, b, c: 0.5 + 0.01 * (a == 2) - 0.3 * (b == "y" or c), hidden)
    one = single(differences(full), "a")
    assert (one.value, one.counts) == ("2", (3,))
    assert one.mean == pytest.approx(0.01)
    means = [sum(values) / len(values) for values in ([0.5, 0.2, 0.2, 0.2], [0.21, 0.21, 0.21])]
    assert means[0] > means[1]


def test_few_pairs_do_not_tell():
    hidden = {number: {"state": "failed", "value": None} for number in (4, 5)}
    one = single(differences(grid(known, hidden)), "a")
    assert one.counts == (2,)
    assert one.verdict == "too few to tell"
    assert one.text == "a 2 against 1: too few to tell, +0.099 IoU, +100 % predicted memory, n = 2"


def test_the_measured_peak_stands_in_for_the_predicted_one():
    measured = {number: {"predicted_peak": None, "measured_peak": 100 * (number + 1)} for number in range(8)}
    one = single(differences(grid(known, measured)), "a")
    naive = (500 * 600 * 700 * 800 / (100 * 200 * 300 * 400)) ** 0.25 - 1
    assert one.memory == pytest.approx(naive)
    assert f"+{naive:.0%}".replace("%", " % measured memory") in one.text
    unknown = {number: {"predicted_peak": None} for number in range(8)}
    one = single(differences(grid(known, unknown)), "a")
    assert one.memory is None
    assert "memory" not in one.text


@pytest.mark.parametrize("goal", ["max", "min"])
def test_a_sweep_without_pairs_compares_means(goal):
    draw = random.Random(1)
    trials = []
    for number in range(30):
        kind = ("p", "q")[number % 3 == 0]
        params = {"kind": kind, "lr": draw.random()}
        value = draw.gauss(0.5 + 0.2 * (kind == "q"), 0.05)
        trials.append(Trial(number=number, state="complete", params=params, value=value))
    one = single(differences(summary(trials, ["kind"], method="bayes", goal=goal)), "kind")
    values = {kind: [trial.value for trial in trials if trial.params["kind"] == kind] for kind in "pq"}
    best, other = ("q", "p") if goal == "max" else ("p", "q")
    naive = stats.ttest_ind(values[best], values[other], equal_var=False).confidence_interval(0.95)
    assert (one.value, one.paired, one.counts) == (best, False, (len(values[best]), len(values[other])))
    assert one.interval == pytest.approx((naive.low, naive.high))
    assert one.verdict == "better"
    assert one.text.endswith(f"unpaired, n = {len(values[best])} + {len(values[other])}")


def test_ranges_of_numbers_are_compared():
    trials = [
        Trial(number=number, state="complete", params={"lr": number / 40}, value=0.5 + 0.1 * (number >= 30))
        for number in range(40)
    ]
    found = differences(summary(trials, ["lr"], method="random"))
    assert [one.value for one in found] == ["0.75 to 0.975"] * 3
    assert all(one.counts == (10, 10) and one.mean == pytest.approx(0.1) for one in found)


def test_repeated_trials_count_once():
    trials = [
        Trial(number=number, state="complete", params={"a": a, "b": b}, value=value)
        for number, (a, b, value) in enumerate([(1, 0, 0.2), (1, 0, 0.4), (2, 0, 0.5), (1, 1, 0.1), (2, 1, 0.2)])
    ]
    one = single(differences(summary(trials, ["a", "b"])), "a")
    assert one.counts == (2,)
    assert one.mean == pytest.approx((0.2 + 0.1) / 2)


def test_equal_trials_have_no_clear_difference():
    assert {one.verdict for one in differences(grid(lambda *_, **__: 0.5))} == {"no clear difference"}


def test_nothing_to_compare():
    one_value = [Trial(number=0, state="complete", params={"a": 1}, value=0.5)]
    assert differences(summary(one_value, ["a"])) == []
    unfinished = [Trial(number=number, state="running", params={"a": number}) for number in range(3)]
    assert differences(summary(unfinished, ["a"])) == []
    assert left_out(summary(unfinished, ["a"])) == []
    assert best_of_all(summary(unfinished, ["a"])) == ""
    assert left_out(summary([], ["a"])) == []


def test_a_pair_of_single_trials_has_no_interval():
    trials = [Trial(number=number, state="complete", params={"a": number}, value=0.5 + number) for number in range(2)]
    (one,) = differences(summary(trials, ["a"]))
    assert (one.interval, one.deviation, one.verdict, one.counts) == (None, None, "too few to tell", (1,))


def test_values_that_did_not_fit_are_told():
    states = {number: {"state": "infeasible", "value": None} for number in (5, 7)}
    states[6] = {"state": "out of memory", "value": None}
    states[0] = {"state": "waiting", "value": None}
    texts = [one.text for one in left_out(grid(known, states))]
    assert "a 2: 3 of 4 infeasible or out of memory, against 0 of 3" in texts
    assert not any(text.startswith("a 1") for text in texts)
    assert "b y: 2 of 4 infeasible or out of memory, against 1 of 3" in texts


def test_values_that_did_not_fit_against_several_others():
    trials = [
        Trial(number=number, state="infeasible" if number > 3 else "complete", params={"a": number // 2}, value=None)
        for number in range(6)
    ]
    assert [one.text for one in left_out(summary(trials, ["a"]))] == [
        "a 2: 2 of 2 infeasible or out of memory, against 0 of 4 with the other values"
    ]


def test_the_best_of_all_and_the_next():
    trials = [
        Trial(number=0, state="complete", params={"a": 1}, value=0.5),
        Trial(number=1, state="complete", params={"a": 2}, value=0.75),
        Trial(number=2, state="pruned", params={"a": 3}, value=0.6),
        Trial(number=3, state="failed", params={"a": 4}, value=0.9),
    ]
    assert best_of_all(summary(trials, ["a"]), others=1) == (
        "Best of all: trial 1 (a 2): IoU 0.7500; next: trial 2 (a 3), pruned: IoU 0.6000"
    )
    assert best_of_all(summary(trials, ["a"], goal="min"), others=0) == "Best of all: trial 0 (a 1): IoU 0.5000"


def test_signs():
    assert [signed(value, ".2f") for value in (0.5, -0.5, 0.001, -0.001)] == [
        "+0.50",
        "\N{MINUS SIGN}0.50",
        "0.00",
        "0.00",
    ]


def test_small_differences_keep_two_digits():
    one = single(differences(grid(lambda number, a, b, c: 0.5 + 0.0001 * a + 0.01 * NOISE[number])), "a")
    assert "+0.00010 IoU" in one.text


def test_of_parameters_that_mean_nothing_few_are_called_better():
    """The best of eight values is picked afterwards: each interval has to hold for all pairs of them."""
    draw = random.Random(3)
    claims = 0
    for _ in range(100):
        cells = itertools.product(range(8), range(6))
        trials = [
            Trial(number=number, state="complete", value=draw.gauss(0.5, 0.1), params={"a": a, "b": b})
            for number, (a, b) in enumerate(cells)
        ]
        found = [one for one in differences(summary(trials, ["a", "b"])) if one.parameter == "a"]
        claims += any(one.verdict == "better" for one in found)
    assert claims <= 10  # of 100; intervals for one comparison each made about half of them claim something
