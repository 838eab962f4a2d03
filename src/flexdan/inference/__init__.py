"""Using a network: evaluation and prediction."""

from flexdan.inference.evaluate import EvaluationResult, evaluate_batches, evaluate_full_size, evaluate_network_size
from flexdan.inference.predict import FlipMean, evaluation_mode, predict_image

__all__ = [
    "EvaluationResult",
    "FlipMean",
    "evaluate_batches",
    "evaluate_full_size",
    "evaluate_network_size",
    "evaluation_mode",
    "predict_image",
]
