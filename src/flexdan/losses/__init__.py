"""Losses: pure functions of logits and targets."""

from flexdan.losses.adversarial import score_loss
from flexdan.losses.boundary import boundary_loss, signed_distances
from flexdan.losses.build import CRITERIA, Criterion, build_criterion
from flexdan.losses.segmentation import cross_entropy, dice_loss, tversky_loss

__all__ = [
    "CRITERIA",
    "Criterion",
    "boundary_loss",
    "build_criterion",
    "cross_entropy",
    "dice_loss",
    "score_loss",
    "signed_distances",
    "tversky_loss",
]
