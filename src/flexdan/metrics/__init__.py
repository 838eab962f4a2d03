"""Measures of a segmentation: counts of each image first, then pure functions of counts."""

from flexdan.metrics.bootstrap import RESAMPLES, interval, resample
from flexdan.metrics.calibration import calibration_counts, calibration_metrics, reliability
from flexdan.metrics.objects import AP_THRESHOLDS, object_counts, object_metrics
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
from flexdan.metrics.scores import (
    LOWER_IS_BETTER,
    Scores,
    collect_scores,
    pixel_counts,
    read_scores,
    write_scores,
)
from flexdan.metrics.summary import WAYS, summarize, summarize_groups
from flexdan.metrics.surfaces import surface_counts, surface_metrics

__all__ = [
    "AP_THRESHOLDS",
    "LOWER_IS_BETTER",
    "MEASURES",
    "RESAMPLES",
    "WAYS",
    "Scores",
    "accuracy",
    "calibration_counts",
    "calibration_metrics",
    "class_metrics",
    "collect_scores",
    "confusion_counts",
    "dice",
    "foreground",
    "image_metrics",
    "interval",
    "iou",
    "object_counts",
    "object_metrics",
    "pixel_counts",
    "pixel_metrics",
    "precision",
    "read_scores",
    "recall",
    "reliability",
    "resample",
    "summarize",
    "summarize_groups",
    "surface_counts",
    "surface_metrics",
    "write_scores",
]
