"""Using a network: evaluation and prediction."""

from flexdan.inference.evaluate import EvaluationResult, evaluate_batches

__all__ = ["EvaluationResult", "evaluate_batches"]
