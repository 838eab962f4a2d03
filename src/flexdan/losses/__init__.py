"""Losses: pure functions of logits and targets."""

from flexdan.losses.adversarial import EN_LOSSES, EnLoss, hinge_loss, score_loss, square_loss
from flexdan.losses.boundary import boundary_loss, signed_distances
from flexdan.losses.build import CRITERIA, Criterion, build_criterion
from flexdan.losses.consistency import entropy, entropy_loss, pseudo_label_loss, softmax_mse
from flexdan.losses.segmentation import cross_entropy, dice_loss, tversky_loss

__all__ = [
    "CRITERIA",
    "EN_LOSSES",
    "Criterion",
    "EnLoss",
    "boundary_loss",
    "build_criterion",
    "cross_entropy",
    "dice_loss",
    "entropy",
    "entropy_loss",
    "hinge_loss",
    "pseudo_label_loss",
    "score_loss",
    "signed_distances",
    "softmax_mse",
    "square_loss",
    "tversky_loss",
]
