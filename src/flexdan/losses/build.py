"""Choosing the loss of the segmentation network; the one place of this room that reads a configuration."""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from flexdan.config import LossConfig
from flexdan.losses.boundary import boundary_loss
from flexdan.losses.segmentation import cross_entropy, dice_loss, tversky_loss

Criterion = Callable[[Tensor, Tensor], Tensor]

CRITERIA = {  # the terms that are added up
    "cross_entropy": ("cross_entropy",),
    "dice": ("dice",),
    "tversky": ("tversky",),
    "cross_entropy_dice": ("cross_entropy", "dice"),
    "cross_entropy_tversky": ("cross_entropy", "tversky"),
    "cross_entropy_dice_boundary": ("cross_entropy", "dice", "boundary"),
}


def build_criterion(settings: LossConfig) -> Criterion:
    """Return the loss between logits (N, K, H, W) and classes (N, H, W) that the settings name."""
    terms: dict[str, Criterion] = {
        "cross_entropy": partial(cross_entropy, class_weights=settings.class_weights),
        "dice": dice_loss,
        "tversky": partial(tversky_loss, alpha=settings.tversky_alpha, beta=settings.tversky_beta),
        "boundary": lambda logits, target: settings.boundary_weight * boundary_loss(logits, target),
    }
    chosen = [terms[name] for name in CRITERIA[settings.criterion]]

    def criterion(logits: Tensor, target: Tensor) -> Tensor:
        first, *others = (term(logits, target) for term in chosen)
        return sum(others, start=first)

    return criterion
