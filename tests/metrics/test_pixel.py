import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flexdan.metrics import (
    MEASURES,
    accuracy,
    class_metrics,
    confusion_counts,
    dice,
    foreground,
    image_metrics,
    iou,
    pixel_metrics,
    precision,
    recall,
)

IGNORE = 255


@st.composite
def segmentations(draw):
    """Predicted and true classes (N, H, W), the true ones with ignored pixels, and the number of classes."""
    classes = draw(st.integers(2, 4))
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)))
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    present = draw(st.integers(1, classes))
    predicted = random.integers(0, draw(st.integers(1, classes)), shape)
    target = random.integers(0, present, shape)
    target[random.random(shape) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = IGNORE
    return torch.from_numpy(predicted), torch.from_numpy(target), classes


def naive_counts(predicted, target, classes):
    counts = np.zeros((len(predicted), classes, classes), dtype=np.int64)
    for image, (guesses, truths) in enumerate(zip(predicted.tolist(), target.tolist(), strict=True)):
        for guess_row, true_row in zip(guesses, truths, strict=True):
            for guess, true in zip(guess_row, true_row, strict=True):
                if true != IGNORE:
                    counts[image, true, guess] += 1
    return counts


def naive_measures(pairs, label):
    """The four measures of one class from a list of (true, predicted) pixels, with sets of pixel numbers."""
    there = {pixel for pixel, (true, _) in enumerate(pairs) if true == label}
    found = {pixel for pixel, (_, guess) in enumerate(pairs) if guess == label}
    if not there and not found:
        return {"iou": 1.0, "dice": 1.0, "precision": 1.0, "recall": 1.0}
    both = len(there & found)
    return {
        "iou": both / len(there | found),
        "dice": 2 * both / (len(there) + len(found)),
        "precision": both / len(found) if found else 0.0,
        "recall": both / len(there) if there else 0.0,
    }


def pairs_of(predicted, target):
    pixels = zip(target.flatten().tolist(), predicted.flatten().tolist(), strict=True)
    return [(true, guess) for true, guess in pixels if true != IGNORE]


@settings(deadline=None)
@given(segmentations())
def test_counts_equal_a_loop_over_the_pixels(case):
    predicted, target, classes = case
    counts = confusion_counts(predicted, target, classes)
    assert counts.dtype == torch.int64
    np.testing.assert_array_equal(counts.numpy(), naive_counts(predicted, target, classes))


@settings(deadline=None)
@given(segmentations())
def test_measures_equal_sets_of_pixels(case):
    predicted, target, classes = case
    counts = confusion_counts(predicted, target, classes)
    pooled = pairs_of(predicted, target)
    by_class = [naive_measures(pooled, label) for label in range(classes)]
    for found, expected in zip(class_metrics(counts), by_class, strict=True):
        assert found == pytest.approx(expected, abs=1e-12)

    def figures(pairs):
        correct = sum(true == guess for true, guess in pairs) / len(pairs) if pairs else 1.0
        seen = {label for pair in pairs for label in pair}
        rows = [naive_measures(pairs, label) for label in range(1, classes) if label in seen]
        means = {name: sum(row[name] for row in rows) / len(rows) if rows else 1.0 for name in MEASURES[1:]}
        return {"accuracy": correct} | means

    images = [pairs_of(*image) for image in zip(predicted, target, strict=True)]
    for name, values in image_metrics(counts).items():
        assert values.tolist() == pytest.approx([figures(pairs)[name] for pairs in images], abs=1e-12)
    metrics = pixel_metrics(counts)
    assert {name: metrics[name] for name in MEASURES} == pytest.approx(figures(pooled), abs=1e-12)
    counted = [figures(pairs) for pairs in images if pairs]
    for name in MEASURES:
        mean = sum(row[name] for row in counted) / len(counted) if counted else math.nan
        assert metrics[f"{name}_image_mean"] == pytest.approx(mean, abs=1e-12, nan_ok=True)


@settings(deadline=None)
@given(segmentations())
def test_measures_lie_between_0_and_1_and_dice_follows_from_iou(case):
    counts = confusion_counts(*case)
    for function in (iou, dice, precision, recall, accuracy):
        assert ((function(counts) >= 0) & (function(counts) <= 1)).all()
    torch.testing.assert_close(dice(counts), 2 * iou(counts) / (1 + iou(counts)))


@pytest.mark.parametrize("classes", [2, 3])
def test_a_perfect_prediction_scores_1(classes):
    target = torch.arange(24).reshape(1, 4, 6) % classes
    assert set(pixel_metrics(confusion_counts(target, target, classes)).values()) == {1.0}


@pytest.mark.parametrize(
    ("predicted", "true", "expected"),
    [
        (0, 0, {"accuracy": 1, "iou": 1, "dice": 1, "precision": 1, "recall": 1}),  # nothing there, nothing predicted
        (1, 1, {"accuracy": 1, "iou": 1, "dice": 1, "precision": 1, "recall": 1}),
        (1, 0, {"accuracy": 0, "iou": 0, "dice": 0, "precision": 0, "recall": 0}),  # nothing there
        (0, 1, {"accuracy": 0, "iou": 0, "dice": 0, "precision": 0, "recall": 0}),  # nothing predicted
        (0, IGNORE, {"accuracy": 1, "iou": 1, "dice": 1, "precision": 1, "recall": 1}),  # nothing counts
    ],
)
def test_empty_sides(predicted, true, expected):
    counts = confusion_counts(torch.full((1, 3, 3), predicted), torch.full((1, 3, 3), true), 2)
    assert {name: float(value) for name, value in image_metrics(counts).items()} == expected


def test_pooled_and_mean_over_images_differ_as_worked_out_by_hand():
    target = torch.tensor([[[1, 1, 1, 1]], [[1, 0, 0, 0]]])
    predicted = torch.tensor([[[1, 1, 1, 0]], [[0, 0, 0, 1]]])
    metrics = pixel_metrics(confusion_counts(predicted, target, 2))
    assert metrics["iou"] == pytest.approx(3 / 6)  # 3 pixels in both, 6 in either
    assert metrics["iou_image_mean"] == pytest.approx((3 / 4 + 0) / 2)
    assert metrics["accuracy"] == pytest.approx(5 / 8)


def test_image_without_a_counted_pixel_is_left_out_of_the_mean():
    target = torch.tensor([[[1, 0]], [[IGNORE, IGNORE]]])
    predicted = torch.tensor([[[1, 1]], [[1, 1]]])
    assert pixel_metrics(confusion_counts(predicted, target, 2))["iou_image_mean"] == 0.5


def test_foreground_is_class_1_of_two_and_the_mean_of_more():
    assert foreground(torch.tensor([0.1, 0.7]), torch.eye(2)) == pytest.approx(0.7)
    assert foreground(torch.tensor([0.1, 0.4, 0.8]), torch.eye(3)) == pytest.approx(0.6)
    predicted_only = torch.tensor([[4, 0, 2], [0, 3, 0], [0, 0, 0]])
    assert foreground(torch.tensor([0.1, 0.4, 0.8]), predicted_only) == pytest.approx(0.6)
    assert foreground(torch.tensor([0.1, 0.4, 1.0]), torch.diag(torch.tensor([4, 3, 0]))) == pytest.approx(0.4)
    assert foreground(torch.tensor([0.1, 1.0, 1.0]), torch.diag(torch.tensor([4, 0, 0]))) == 1.0


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_outputs_for_classes_that_do_not_occur_change_no_figure(classes):
    target = torch.tensor([[[1, 1, 0, 0]], [[0, 0, 0, 0]]])
    predicted = torch.tensor([[[1, 0, 1, 0]], [[0, 0, 0, 0]]])
    metrics = pixel_metrics(confusion_counts(predicted, target, classes))
    assert metrics["iou"] == pytest.approx(1 / 3)
    assert metrics["iou_image_mean"] == pytest.approx((1 / 3 + 1) / 2)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_any_integer_type_counts(dtype):
    predicted = torch.tensor([[[0, 1, 2]]], dtype=dtype)
    target = torch.tensor([[[0, 2, IGNORE]]], dtype=dtype)
    assert confusion_counts(predicted, target, 3)[0].tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_a_class_out_of_range_is_named():
    zeros = torch.zeros(1, 2, 2, dtype=torch.long)
    with pytest.raises(ValueError, match="target holds the class 2: classes must be 0 to 1"):
        confusion_counts(zeros, zeros + 2, 2)
    with pytest.raises(ValueError, match="predicted holds the class -1"):
        confusion_counts(zeros - 1, zeros, 2)
    with pytest.raises(ValueError, match="both must be the same"):
        confusion_counts(zeros, zeros[:, :1], 2)
