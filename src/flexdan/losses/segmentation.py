"""Losses between class logits and class maps, computed in float32, or in float64 for such logits."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from flexdan.config import IGNORE

Criterion = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean cross-entropy over the counted pixels; 0 where none is counted.

    Args:
        logits: (N, K, H, W), any real numbers; softmax is applied here, once.
        target: (N, H, W) integer classes 0..K-1, or `IGNORE`.
    """
    total = F.cross_entropy(_widen(logits), target.long(), ignore_index=IGNORE, reduction="sum")
    return total / (target != IGNORE).sum().clamp(min=1)


def dice_loss(logits: Tensor, target: Tensor, smooth: float = 1.0) -> Tensor:
    r"""Return one minus the soft Dice coefficient, mean over the foreground classes.

    For class k over all counted pixels of the batch, :math:`1 - (2 \sum p_k y_k + s) / (\sum p_k + \sum y_k + s)`
    (Milletari et al. 2016, V-Net, without the squares; Sudre et al. 2017). The whole batch is one sum, which keeps
    images without the class from dominating.

    Args:
        logits: (N, K, H, W).
        target: (N, H, W) integer classes 0..K-1, or `IGNORE`.
        smooth: s, which makes an absent class that is not predicted a loss of 0.
    """
    probabilities = _widen(logits).softmax(dim=1)
    counted = (target != IGNORE).unsqueeze(1)  # (N, 1, H, W)
    classes = torch.where(target == IGNORE, 0, target).long()
    truth = F.one_hot(classes, logits.shape[1]).movedim(-1, 1) * counted  # (N, K, H, W)
    probabilities = probabilities * counted
    overlap = (probabilities * truth).sum(dim=(0, 2, 3))[1:]
    sizes = (probabilities.sum(dim=(0, 2, 3)) + truth.sum(dim=(0, 2, 3)))[1:]
    return (1 - (2 * overlap + smooth) / (sizes + smooth)).mean()


def cross_entropy_dice(logits: Tensor, target: Tensor) -> Tensor:
    """Return the sum of `cross_entropy` and `dice_loss`."""
    return cross_entropy(logits, target) + dice_loss(logits, target)


CRITERIA: dict[str, Criterion] = {
    "cross_entropy": cross_entropy,
    "dice": dice_loss,
    "cross_entropy_dice": cross_entropy_dice,
}


def build_criterion(name: str) -> Criterion:
    """Return the loss of that name."""
    return CRITERIA[name]


def _widen(logits: Tensor) -> Tensor:
    """Return logits of float32 at least: sums over many pixels lose too much in half precision."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
