"""Losses: pure functions of logits and targets."""

from flexdan.losses.adversarial import score_loss
from flexdan.losses.segmentation import (
    CRITERIA,
    Criterion,
    build_criterion,
    cross_entropy,
    cross_entropy_dice,
    dice_loss,
)

__all__ = [
    "CRITERIA",
    "Criterion",
    "build_criterion",
    "cross_entropy",
    "cross_entropy_dice",
    "dice_loss",
    "score_loss",
]
