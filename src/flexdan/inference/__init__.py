"""Using a network: evaluation and prediction."""

from flexdan.inference.contours import class_probabilities, fold_contours, most_probable
from flexdan.inference.ensemble import EnsembleMean, segment_by_all
from flexdan.inference.evaluate import (
    EvaluationResult,
    Segmented,
    count_classes,
    count_objects,
    count_probabilities,
    evaluate_batches,
    evaluate_network_size,
    named,
    segment_records,
)
from flexdan.inference.instances import to_instances
from flexdan.inference.predict import ViewMean, evaluation_mode, over_views, predict_image
from flexdan.inference.tuning import OBJECTIVE, TuningTrial, tune

__all__ = [
    "OBJECTIVE",
    "EnsembleMean",
    "EvaluationResult",
    "Segmented",
    "TuningTrial",
    "ViewMean",
    "class_probabilities",
    "count_classes",
    "count_objects",
    "count_probabilities",
    "evaluate_batches",
    "evaluate_network_size",
    "evaluation_mode",
    "fold_contours",
    "most_probable",
    "named",
    "over_views",
    "predict_image",
    "segment_by_all",
    "segment_records",
    "to_instances",
    "tune",
]
