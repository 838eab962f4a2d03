"""Measures of a segmentation."""

from flexdan.metrics.pixel import (
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

__all__ = [
    "MEASURES",
    "accuracy",
    "class_metrics",
    "confusion_counts",
    "dice",
    "foreground",
    "image_metrics",
    "iou",
    "pixel_metrics",
    "precision",
    "recall",
]
