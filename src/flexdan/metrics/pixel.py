"""Pixel metrics: counts first, then pure functions of counts.

Empty sides, for each class: a ratio whose denominator is zero is 1 if the class is neither in the target nor in the
prediction, and 0 otherwise. So an empty mask answered with nothing scores 1 throughout; precision is 0 where a class
was missed altogether, and recall is 0 where a class was predicted that is not there. Means over classes leave out those
that are neither in the target nor in the prediction, so that outputs for classes that do not occur change no figure.
"""

import torch
from torch import Tensor, where

from flexdan.config import IGNORE

MEASURES = ("accuracy", "iou", "dice", "precision", "recall")


def confusion_counts(predicted: Tensor, target: Tensor, num_classes: int, ignore: int = IGNORE) -> Tensor:
    """Count the pixels of each pair of true and predicted class, for every image.

    Args:
        predicted: classes 0..K-1, integers (N, H, W).
        target: classes 0..K-1 or `ignore`, integers (N, H, W).
        num_classes: K, background included.
        ignore: value of the target's pixels that do not count.

    Returns:
        int64 (N, K, K): image, true class, predicted class.

    Raises:
        ValueError: if the shapes differ or a class is not in 0..K-1.
    """
    if predicted.shape != target.shape or target.ndim != 3:
        raise ValueError(
            f"predicted is {tuple(predicted.shape)} and target {tuple(target.shape)}: both must be the same (N, H, W)"
        )
    images, bins = target.shape[0], num_classes * num_classes
    counted = target != ignore
    true = where(counted, target, 0).long()
    guess = where(counted, predicted, 0).long()
    for name, classes in (("target", true), ("predicted", guess)):
        if classes.numel() and (classes.min() < 0 or classes.max() >= num_classes):
            wrong = classes[(classes < 0) | (classes >= num_classes)][0]
            raise ValueError(f"{name} holds the class {int(wrong)}: classes must be 0 to {num_classes - 1}")
    image = torch.arange(images, device=target.device)[:, None, None]
    pair = image * bins + true * num_classes + guess  # one bin per image and pair
    pair = where(counted, pair, images * bins)  # and one more for the pixels that do not count
    counts = torch.bincount(pair.flatten(), minlength=images * bins + 1)[: images * bins]
    return counts.view(images, num_classes, num_classes)


def accuracy(counts: Tensor) -> Tensor:
    """Return the share of the counted pixels whose class is right; 1 where no pixel counts.

    Args:
        counts: (..., K, K) of `confusion_counts`.

    Returns:
        float64 (...).
    """
    right, total = counts.diagonal(dim1=-2, dim2=-1).sum(-1), counts.sum((-2, -1))
    return where(total > 0, right.double() / total.clamp(min=1), 1.0)


def iou(counts: Tensor) -> Tensor:
    """Return intersection over union, TP / (TP + FP + FN), of each class: (..., K, K) -> float64 (..., K)."""
    true, false_positive, false_negative = _sides(counts)
    return _ratio(true, true + false_positive + false_negative, counts)


def dice(counts: Tensor) -> Tensor:
    """Return the Dice coefficient, 2 TP / (2 TP + FP + FN), of each class: (..., K, K) -> float64 (..., K)."""
    true, false_positive, false_negative = _sides(counts)
    return _ratio(2 * true, 2 * true + false_positive + false_negative, counts)


def precision(counts: Tensor) -> Tensor:
    """Return the precision, TP / (TP + FP), of each class: (..., K, K) -> float64 (..., K)."""
    true, false_positive, _ = _sides(counts)
    return _ratio(true, true + false_positive, counts)


def recall(counts: Tensor) -> Tensor:
    """Return the recall, TP / (TP + FN), of each class: (..., K, K) -> float64 (..., K)."""
    true, _, false_negative = _sides(counts)
    return _ratio(true, true + false_negative, counts)


def foreground(values: Tensor, counts: Tensor) -> Tensor:
    """Return one figure from those of the classes.

    It is that of class 1 for two classes, and for more the mean over those of the classes 1..K-1 that are in the target
    or in the prediction; 1 where none of them is.

    Args:
        values: of each class, (..., K).
        counts: (..., K, K) of `confusion_counts`, from which the values come.

    Returns:
        (...), of the type of the values.
    """
    present = ~_absent(counts)[..., 1:]
    total = where(present, values[..., 1:], 0).sum(-1)
    return where(present.any(-1), total / present.sum(-1).clamp(min=1), 1.0)


def image_metrics(counts: Tensor) -> dict[str, Tensor]:
    """Return every measure of each image: (N, K, K) -> name to float64 (N,).

    All but the accuracy are those of the foreground: means over the classes 1..K-1 in the image's target or prediction.
    """
    measured = {name: foreground(function(counts), counts) for name, function in _PER_CLASS.items()}
    return {"accuracy": accuracy(counts), **measured}


def pixel_metrics(counts: Tensor) -> dict[str, float]:
    """Return every measure over a set of images, in two ways that are never mixed.

    All but the accuracy are those of the foreground, see `foreground`: pooled, over the classes in any target or
    prediction; for the mean of the images, in each over the classes in its own.

    Args:
        counts: (N, K, K) of `confusion_counts`.

    Returns:
        `accuracy`, `iou`, `dice`, `precision`, `recall`: pooled, from the sum of the counts of all images;
        the same names with `_image_mean`: the mean of the images' figures, over images with a counted pixel (or NaN).
    """
    pooled = image_metrics(counts.sum(0, keepdim=True))
    images = image_metrics(counts[counts.sum((1, 2)) > 0])
    means = {f"{name}_image_mean": float(values.mean()) for name, values in images.items()}
    return {name: float(values) for name, values in pooled.items()} | means


def class_metrics(counts: Tensor) -> list[dict[str, float]]:
    """Return iou, dice, precision and recall of each class 0..K-1, pooled over all images: (N, K, K) -> K dicts.

    A class that is neither in a target nor in a prediction has 1 throughout.
    """
    measured = {name: function(counts.sum(0)).tolist() for name, function in _PER_CLASS.items()}
    return [{name: values[label] for name, values in measured.items()} for label in range(counts.shape[-1])]


def _sides(counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return TP, FP and FN of each class, (..., K)."""
    true = counts.diagonal(dim1=-2, dim2=-1)
    return true, counts.sum(-2) - true, counts.sum(-1) - true


def _ratio(numerator: Tensor, denominator: Tensor, counts: Tensor) -> Tensor:
    return where(denominator > 0, numerator.double() / denominator.clamp(min=1), _absent(counts).double())


def _absent(counts: Tensor) -> Tensor:
    """Tell which classes are neither predicted nor there, (..., K)."""
    return (counts.sum(-2) + counts.sum(-1)) == 0


_PER_CLASS = {"iou": iou, "dice": dice, "precision": precision, "recall": recall}
