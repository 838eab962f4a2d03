"""Losses between class logits and class maps, computed in float32, or in float64 for such logits."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from flexdan.config import IGNORE


def cross_entropy(logits: Tensor, target: Tensor, class_weights: Sequence[float] = ()) -> Tensor:
    r"""Return the mean cross-entropy over the counted pixels; 0 where none is counted.

    With a weight w for each class, :math:`-\sum w_y \log p_y / \sum w_y` over the counted pixels.

    Args:
        logits: (N, K, H, W), any real numbers; softmax is applied here, once.
        target: (N, H, W) integer classes 0..K-1, or `IGNORE`.
        class_weights: K positive numbers; none: all are 1.
    """
    logits = widen(logits)
    if not class_weights:
        total = F.cross_entropy(logits, target.long(), ignore_index=IGNORE, reduction="sum")
        return total / (target != IGNORE).sum().clamp(min=1)
    weights = torch.tensor(class_weights).to(logits)
    total = F.cross_entropy(logits, target.long(), weight=weights, ignore_index=IGNORE, reduction="sum")
    counted = target != IGNORE
    mass = (weights[torch.where(counted, target, 0).long()] * counted).sum()
    return total / torch.where(mass > 0, mass, 1)


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
    overlap, predicted, true = _soft_counts(logits, target)
    return (1 - (2 * overlap + smooth) / (predicted + true + smooth)).mean()


def tversky_loss(logits: Tensor, target: Tensor, alpha: float = 0.3, beta: float = 0.7, smooth: float = 1.0) -> Tensor:
    r"""Return one minus the Tversky index, mean over the foreground classes.

    For class k over all counted pixels of the batch, with :math:`o = \sum p_k y_k`, the index is
    :math:`(2 o + s) / (2 [o + \alpha \sum p_k (1 - y_k) + \beta \sum (1 - p_k) y_k] + s)` (Salehi et al. 2017,
    equation 4, twice above and below). With both weights at one half it is the soft Dice coefficient of `dice_loss`.

    Args:
        logits: (N, K, H, W).
        target: (N, H, W) integer classes 0..K-1, or `IGNORE`.
        alpha: weight of false positives, 0 or more.
        beta: weight of false negatives, 0 or more.
        smooth: s, as in `dice_loss`.
    """
    overlap, predicted, true = _soft_counts(logits, target)
    errors = alpha * (predicted - overlap) + beta * (true - overlap)
    return (1 - (2 * overlap + smooth) / (2 * (overlap + errors) + smooth)).mean()


def widen(logits: Tensor) -> Tensor:
    """Return logits of float32 at least: sums over many pixels lose too much in half precision."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _soft_counts(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the overlap, the predicted and the true pixels of each foreground class in the batch, each (K - 1,)."""
    probabilities = widen(logits).softmax(dim=1)
    counted = (target != IGNORE).unsqueeze(1)  # (N, 1, H, W)
    classes = torch.where(target == IGNORE, 0, target).long()
    truth = F.one_hot(classes, logits.shape[1]).movedim(-1, 1) * counted  # (N, K, H, W)
    probabilities = probabilities * counted
    overlap, predicted, true = (
        values.sum(dim=(0, 2, 3))[1:] for values in (probabilities * truth, probabilities, truth)
    )
    return overlap, predicted, true
