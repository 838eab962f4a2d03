"""Differences and their intervals against loops, known cases, scipy, and simulated data."""

import numpy as np
import pytest
from scipy import stats

from flexdan.metrics import Scores, interval, resample
from flexdan.report.paired import WAYS, differences, draw_seeds, seed_shares, t_interval

ACCURACY = [("full_resolution", "accuracy")]
DICE = [("full_resolution", "dice")]
ECE = [("calibration", "ece")]


def pixels(table) -> Scores:
    """Scores from counts (N, 4): true negatives, false positives, false negatives, true positives."""
    table = np.asarray(table, np.float64)
    names = ("pixels_0_0", "pixels_0_1", "pixels_1_0", "pixels_1_1")
    counts = {f"full_resolution.{name}": table[:, at] for at, name in enumerate(names)}
    facts = [f"{number}.png" for number in range(len(table))]
    return Scores(tuple(facts), ("",) * len(facts), ("",) * len(facts), counts)


def right(correct) -> Scores:
    """Scores of images of 1000 pixels, of which so many are right."""
    correct = np.asarray(correct, np.float64)
    zero = np.zeros_like(correct)
    return pixels(np.stack([correct, 1000 - correct, zero, zero], axis=1))


def random_scores(seed: int, images: int = 9) -> Scores:
    return pixels(np.random.default_rng(seed).integers(1, 200, (images, 4)))


def naive_dice(table: np.ndarray) -> float:
    return 2 * table[3] / (2 * table[3] + table[1] + table[2])


def tables(scores: Scores) -> np.ndarray:
    return np.stack(list(scores.counts.values()), axis=1)


def test_identical_runs_differ_by_nothing():
    one = {seed: random_scores(seed) for seed in (0, 1, 2)}
    for found in differences(one, dict(one), DICE, resample(9, 300)):
        assert found.mean == 0
        assert found.over_seeds == found.over_images == found.over_both == (0, 0)
        assert (found.better, found.worse, found.equal) == (0, 0, 9)
        assert found.verdict == "no difference shown"


def test_a_shift_is_found_exactly_whatever_images_and_seeds_do():
    theirs = {seed: np.random.default_rng(seed).integers(300, 900, 12) for seed in (3, 5, 8)}
    ours = {seed: right(values + 50) for seed, values in theirs.items()}
    found = differences(ours, {seed: right(values) for seed, values in theirs.items()}, ACCURACY, resample(12, 300))
    assert [one.way for one in found] == list(WAYS)
    for one in found:
        assert list(one.by_seed.values()) == pytest.approx([0.05] * 3)
        for ends in (one.over_seeds, one.over_images, one.over_both):
            assert ends == pytest.approx((0.05, 0.05))
        assert (one.better, one.worse, one.equal, one.verdict) == (12, 0, 0, "better")


def test_intervals_over_images_and_over_both_equal_a_loop_over_resamples():
    ours, theirs = ({seed: random_scores(seed + more) for seed in (0, 1)} for more in (10, 20))
    weights, drawn = resample(9, 200, seed=4), draw_seeds(2, 200, seed=4)
    expected = {way: {"images": [], "both": []} for way in WAYS}
    for images, seeds in zip(weights, drawn, strict=True):
        chosen = [number for number, often in enumerate(images) for _ in range(int(often))]
        gaps = {way: [] for way in WAYS}
        for seed in (0, 1):
            mine, other = tables(ours[seed])[chosen], tables(theirs[seed])[chosen]
            gaps["pooled"].append(naive_dice(mine.sum(0)) - naive_dice(other.sum(0)))
            gaps["image_mean"].append(np.mean([naive_dice(row) for row in mine]) - np.mean([*map(naive_dice, other)]))
        for way in WAYS:
            expected[way]["images"].append(np.mean(gaps[way]))
            around = np.mean(np.repeat(gaps[way], seeds)) - np.mean(gaps[way])
            expected[way]["both"].append(np.mean(gaps[way]) + 2**0.5 * 12.7062 / 1.95996 * around)
    for one in differences(ours, theirs, DICE, weights, seed=4):
        assert one.over_images == pytest.approx(interval(np.array(expected[one.way]["images"])))
        assert one.over_both == pytest.approx(interval(np.array(expected[one.way]["both"])), rel=1e-4)
        assert one.over_seeds == pytest.approx(t_interval(list(one.by_seed.values())))


def test_better_and_worse_images_are_counted_by_the_mean_over_seeds():
    theirs = {0: right([500, 500, 500, 500]), 1: right([500, 500, 500, 500])}
    ours = {0: right([600, 400, 510, 500]), 1: right([450, 490, 490, 500])}
    one = differences(ours, theirs, ACCURACY, resample(4, 200))[0]
    assert (one.better, one.worse, one.equal) == (1, 1, 2)


def test_lower_is_better_for_the_calibration_error():
    def sure(confidence):
        counts = {"calibration.pixels_0": 100.0, "calibration.correct_0": 50.0, "calibration.confidence_0": confidence}
        return Scores(("a", "b"), ("", ""), ("", ""), {name: np.full(2, value) for name, value in counts.items()})

    one = differences({0: sure(55), 1: sure(55)}, {0: sure(70), 1: sure(70)}, ECE, resample(2, 200))[0]
    assert one.mean == pytest.approx(-0.15)
    assert (one.better, one.worse, one.verdict) == (2, 0, "better")


def test_only_seeds_that_both_have_are_paired_and_one_alone_shows_nothing():
    ours, theirs = ({seed: right([500 + shift] * 3) for seed in seeds} for shift, seeds in ((90, (1, 2)), (0, (2, 3))))
    one = differences(ours, theirs, ACCURACY, resample(3, 200))[0]
    assert one.by_seed == {2: pytest.approx(0.09)}
    assert one.over_seeds is None
    assert one.over_both is None
    assert one.over_images == pytest.approx((0.09, 0.09))
    assert one.verdict == "no difference shown (1 seed)"


def test_a_verdict_needs_the_seeds_and_the_images():
    base = {seed: right([500] * 20) for seed in (0, 1, 2)}
    across_seeds = {seed: right(np.full(20, 500 + shift)) for seed, shift in ((0, 5), (1, 60), (2, 10))}
    across_images = {seed: right(500 + np.where(np.arange(20) < 11, 60, -55)) for seed in (0, 1, 2)}
    seeds = differences(across_seeds, base, ACCURACY, resample(20, 300))[0]
    assert seeds.over_images[0] > 0 > seeds.over_seeds[0]
    images = differences(across_images, base, ACCURACY, resample(20, 300))[0]
    assert images.over_seeds[0] > 0 > images.over_images[0]
    assert seeds.verdict == images.verdict == "no difference shown"


@pytest.mark.parametrize("count", [2, 3, 10])
def test_t_interval_is_that_of_scipy(count):
    values = np.random.default_rng(count).normal(1, 2, count)
    expected = stats.t.interval(0.95, count - 1, loc=values.mean(), scale=stats.sem(values))
    assert t_interval(values) == pytest.approx(expected)
    assert t_interval(values[:1]) is None


def test_seeds_are_drawn_as_often_as_there_are():
    drawn = draw_seeds(3, 4000, 0)
    assert (drawn.sum(1) == 3).all()
    assert drawn.mean(0) == pytest.approx([1, 1, 1], abs=0.05)
    assert not np.array_equal(drawn[:, 0], resample(3, 4000, 0)[:, 0])


@pytest.mark.parametrize("count", [2, 3, 10])
def test_shares_of_seeds_add_up_to_one_and_spread_as_student_s_t_does(count):
    shares = seed_shares(draw_seeds(count, 20000, 0))
    assert shares.sum(1) == pytest.approx(np.ones(20000))
    values = np.random.default_rng(count).normal(0, 1, count)
    reach = 1.95996 * (shares @ values).std()
    assert reach == pytest.approx(stats.t.ppf(0.975, count - 1) * stats.sem(values), rel=0.03)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    """100 experiments whose true difference is 0.02, with effects of image, seed, and both together."""
    rng, hits = np.random.default_rng(1), {"over_images": 0, "over_seeds": 0, "over_both": 0}
    weights = resample(40, 200)
    for _ in range(100):
        image, seed = rng.normal(0, 20, 40), rng.normal(0, 15, 3)
        theirs = {at: rng.integers(300, 700, 40) for at in range(3)}
        noise = {at: 20 + image + seed[at] + rng.normal(0, 10, 40) for at in range(3)}
        ours = {at: right(values + noise[at]) for at, values in theirs.items()}
        one = differences(ours, {at: right(values) for at, values in theirs.items()}, ACCURACY, weights)[1]
        given_seeds, given_images = 0.02 + seed.mean() / 1000, 0.02 + image.mean() / 1000
        truths = {"over_images": given_seeds, "over_seeds": given_images, "over_both": 0.02}
        for name, truth in truths.items():
            low, high = getattr(one, name)
            hits[name] += low <= truth <= high
    assert all(87 <= count <= 100 for count in hits.values()), hits


@pytest.mark.parametrize(("images", "groups"), [(1, ()), (4, ("p", "p", "p", "p"))])
def test_one_image_or_one_group_tells_nothing_about_others(images, groups):
    ours = {seed: right([900 + seed] * images) for seed in (0, 1, 2)}
    theirs = {seed: right([800 + seed] * images) for seed in (0, 1, 2)}
    for found in differences(ours, theirs, ACCURACY, resample(images, 200, groups=groups)):
        assert found.mean == pytest.approx(0.1)
        assert found.over_seeds == pytest.approx((0.1, 0.1))
        assert found.over_images is found.over_both is None
        assert found.verdict == "no difference shown (1 image or group)"
