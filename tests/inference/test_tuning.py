"""Tuning of the post-processing on sets of which the best is known."""

from dataclasses import replace

import numpy as np
import pytest

from flexdan.config import PostprocessingConfig, UserError
from flexdan.inference import OBJECTIVE, to_instances, tune, tuning
from flexdan.metrics import object_counts, object_metrics

SIZE = (60, 90)
USUAL = PostprocessingConfig()


def disc(centre: tuple[float, float], radius: float) -> np.ndarray:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


LEFT, RIGHT = disc((30, 22), 18), disc((30, 66), 18)
APART = LEFT + 2 * RIGHT


def two_classes(foreground: np.ndarray) -> np.ndarray:
    return np.stack([1 - foreground, foreground]).astype(np.float32)


def perfect(labels: np.ndarray) -> np.ndarray:
    return two_classes(0.02 + 0.96 * (labels > 0))


def value(probabilities, truths, settings, names=("f1", "object_dice")) -> float:
    """Return the mean of pooled metrics."""
    counts = [object_counts(true, to_instances(p, settings)) for p, true in zip(probabilities, truths, strict=True)]
    metrics = object_metrics({name: sum(one[name] for one in counts) for name in counts[0]})
    return float(np.mean([metrics[name] for name in names]))


def specks(foreground: np.ndarray) -> np.ndarray:
    """Add nine squares of 4 pixels that are no objects."""
    noisy = foreground.copy()
    for row in (0, 27, 55):
        for column in (0, 43, 85):
            noisy[row : row + 2, column : column + 2] = 0.9
    return noisy


def test_what_is_right_already_stays_as_it_is():
    best, tried = tune([perfect(APART)] * 2, [APART] * 2)
    assert best == USUAL
    assert (tried[0].settings, tried[0].value) == (USUAL, 1.0)
    assert max(one.value for one in tried) == 1.0


def test_among_equals_the_simplest_wins_wherever_it_begins():
    start = PostprocessingConfig(threshold=0.37, fill_holes=True, min_size=9, split="distance", split_depth=11)
    best, tried = tune([perfect(APART)], [APART], start=start)
    assert tried[0].settings == start
    assert best == USUAL


def test_the_threshold_that_the_objects_need():
    foreground = 0.1 + 0.34 * (APART > 0) + 0.22 * ((disc((30, 22), 21) | disc((30, 66), 21)) & (APART == 0))
    for low, threshold in ((0.0, 0.4), (0.2, 0.55)):  # objects at 0.44 with a rim at 0.32; then 0.2 more of all
        best, _ = tune([two_classes(foreground + low)], [APART])
        assert best == replace(USUAL, threshold=threshold)


def test_specks_are_removed_by_a_size_that_leaves_the_objects():
    probabilities = two_classes(specks(0.9 * (APART > 0)))
    best, tried = tune([probabilities], [APART])
    assert best == replace(USUAL, min_size=round(0.02 * (LEFT.sum() + RIGHT.sum()) / 2))
    assert best.min_size > 4
    assert tried[0].value < max(one.value for one in tried) == 1.0


def test_rings_are_filled():
    hollow = APART.copy()
    hollow[disc((30, 22), 8) | disc((30, 66), 8)] = 0
    assert tune([perfect(hollow)], [APART])[0] == replace(USUAL, fill_holes=True)


def test_overlapping_discs_are_parted_by_their_shape():
    one, other = disc((30, 30), 18), disc((30, 60), 18)
    truth = np.where(one | other, np.where(np.arange(SIZE[1]) < 45, 1, 2), 0)
    best, tried = tune([perfect(truth)], [truth])
    assert best.split == "distance"
    assert max(one.value for one in tried) > 0.99 > tried[0].value
    assert best.split_depth == 7  # 0.4 of the radius, the deepest that is tried; the neck is 8.1 deep


def test_objects_whose_shape_does_not_tell_are_parted_by_markers():
    truth = np.zeros(SIZE, int)
    truth[20:40, 5:45], truth[20:40, 45:85] = 1, 2
    foreground = 0.65 * (truth > 0)
    foreground[22:38, 7:43] = foreground[22:38, 48:83] = 0.85
    best, tried = tune([two_classes(foreground)], [truth])
    assert (best.split, best.marker_threshold) == ("marker", 0.8)
    assert max(one.value for one in tried) > 0.9


def test_the_values_are_those_of_the_pooled_metrics_and_nothing_is_measured_twice(monkeypatch):
    rng = np.random.default_rng(0)
    truths = [APART, LEFT.astype(int), np.zeros(SIZE, int)]
    probabilities = [two_classes(specks((0.7 * (one > 0) + rng.normal(0, 0.1, SIZE)).clip(0, 1))) for one in truths]
    measured = []

    def counted(one, settings, contours):
        measured.append(settings)
        return to_instances(one, settings, contours)

    monkeypatch.setattr(tuning, "to_instances", counted)
    best, tried = tune(probabilities, truths)
    assert len(measured) == 3 * len(tried) == 3 * len(set(measured))
    assert [one.settings for one in tried] == list(dict.fromkeys(measured))
    for trial in tried[::5]:
        assert trial.value == pytest.approx(value(probabilities, truths, trial.settings), abs=1e-12)
    assert dict((one.settings, one.value) for one in tried)[best] == max(one.value for one in tried)
    assert tune(probabilities, truths) == (best, tried)  # again the same
    assert tune([one.astype(np.float16) for one in probabilities], truths)[0] == best


def test_a_metric_that_is_better_when_lower_and_a_mean_of_metrics():
    truths, probabilities = [APART], [two_classes(specks(0.9 * (APART > 0)))]
    best, tried = tune(probabilities, truths, "object_hausdorff")
    assert best.min_size > 4
    assert min(one.value for one in tried) == 0 < tried[0].value
    assert tried[0].value == pytest.approx(value(probabilities, truths, USUAL, ("object_hausdorff",)))
    _, tried = tune(probabilities, truths, "aji + panoptic_quality+iou")
    assert tried[0].value == pytest.approx(value(probabilities, truths, USUAL, ("aji", "panoptic_quality", "iou")))
    assert OBJECTIVE == "f1+object_dice"


def test_settings_that_exclude_each_other_are_not_tried():
    start = PostprocessingConfig(split="marker", marker_threshold=0.6)
    _, tried = tune([perfect(APART)], [APART], start=start)  # would fail
    assert all(one.settings.threshold < 0.6 for one in tried if one.settings.split == "marker")


def test_settings_without_effect_count_as_the_same():
    best, tried = tune([perfect(APART)], [APART], start=PostprocessingConfig(split_depth=9, marker_threshold=0.99))
    assert best == tried[0].settings == USUAL


def test_progress_is_told_by_steps_of_a_round():
    seen = []

    def track(steps):
        for step in steps:
            seen.append(len(steps))
            yield step

    tune([perfect(APART)], [APART], track=track)
    assert len(seen) == seen[0]  # one round, since nothing became better


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("f2", "the metric to tune for is 'f2', but 'f2' is none of objects: they are f1, "),
        ("f1+", "but '' is none of objects"),
        ("f1+object_hausdorff", "object_hausdorff is better when lower and has another unit"),
    ],
)
def test_unknown_metrics_and_means_that_mean_nothing(objective, message):
    with pytest.raises(UserError, match=message):
        tune([perfect(APART)], [APART], objective)


def test_without_any_object_there_is_nothing_to_tune():
    with pytest.raises(UserError, match="there is no object in 2 masks"):
        tune([perfect(APART)] * 2, [np.zeros(SIZE, int)] * 2)
    with pytest.raises(UserError, match="there is no object in 0 masks"):
        tune([], [])
