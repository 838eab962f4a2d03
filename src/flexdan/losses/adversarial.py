"""Losses of the evaluation network's scores, computed in float32 at least."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class EnLoss:
    """One game of EN and SN.

    Args:
        known: the EN's loss of scores (N, ...) of annotated images, with label smoothing.
        unknown: of unannotated ones.
        fool: the SN's loss of scores of its results on unannotated images.
        share: turns what the EN gives into scores that are 0..1 where it has learnt.
        limit: of what the EN gives; above, it takes an image for annotated.
        undecided: `known` and `unknown` together for an EN whose scores are all halfway.
    """

    known: Callable[[Tensor, float], Tensor]
    unknown: Callable[[Tensor, float], Tensor]
    fool: Callable[[Tensor], Tensor]
    share: Callable[[Tensor], Tensor]
    limit: float
    undecided: float


def score_loss(logits: Tensor, target: float) -> Tensor:
    r"""Return the mean binary cross-entropy of scores with one target for all of them.

    :math:`-t \log s - (1 - t) \log(1 - s)` with the score :math:`s = 1 / (1 + e^{-x})` of the logit x; ln 2 for an
    undecided EN, whatever the target. Zhang et al. 2017 (DAN), the terms :math:`\ell_{bce}` of its objective.

    Args:
        logits: (N, ...), any real numbers; the sigmoid is applied here, once.
        target: 1 for annotated, 0 for unannotated, or between.
    """
    logits = _wide(logits)
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def square_loss(scores: Tensor, target: float) -> Tensor:
    r"""Return :math:`\frac12 (x - t)^2`, the mean over scores.

    Mao et al. 2017 (least squares GAN), equation 2, with targets 0 and 1 and with 1 for the SN (section 3.2.3).

    Args:
        scores: (N, ...), any real numbers.
        target: 1 for annotated, 0 for unannotated, or between.
    """
    return (_wide(scores) - target).square().mean() / 2


def hinge_loss(scores: Tensor, sign: float) -> Tensor:
    r"""Return :math:`\max(0, 1 - y x)`, the mean over scores: Lim and Ye 2017 (geometric GAN), equation 17.

    Args:
        scores: (N, ...), any real numbers.
        sign: y, 1 for annotated and -1 for unannotated.
    """
    return F.relu(1 - sign * _wide(scores)).mean()


EN_LOSSES: dict[str, EnLoss] = {
    "binary_cross_entropy": EnLoss(
        known=lambda scores, smoothing: score_loss(scores, 1 - smoothing),
        unknown=score_loss,
        fool=lambda scores: score_loss(scores, 1.0),
        share=torch.sigmoid,
        limit=0.0,
        undecided=2 * math.log(2),
    ),
    "least_squares": EnLoss(
        known=lambda scores, smoothing: square_loss(scores, 1 - smoothing),
        unknown=square_loss,
        fool=lambda scores: square_loss(scores, 1.0),
        share=lambda scores: scores,
        limit=0.5,
        undecided=0.25,
    ),
    "hinge": EnLoss(  # the settings allow no smoothing
        known=lambda scores, smoothing: hinge_loss(scores, 1.0),
        unknown=lambda scores, smoothing: hinge_loss(scores, -1.0),
        fool=lambda scores: -_wide(scores).mean(),
        share=torch.sigmoid,
        limit=0.0,
        undecided=2.0,
    ),
}


def _wide(scores: Tensor) -> Tensor:
    return scores.to(torch.promote_types(scores.dtype, torch.float32))
