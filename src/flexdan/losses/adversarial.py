"""Losses of the evaluation network's scores, computed in float32 at least."""

import torch
from torch import Tensor
from torch.nn import functional as F


def score_loss(logits: Tensor, target: float) -> Tensor:
    r"""Return the mean binary cross-entropy of scores with one target for all of them.

    :math:`-t \log s - (1 - t) \log(1 - s)` with the score :math:`s = 1 / (1 + e^{-x})` of the logit x; ln 2 for an
    undecided EN, whatever the target. Zhang et al. 2017 (DAN), the terms :math:`\ell_{bce}` of its objective.

    Args:
        logits: (N, ...), any real numbers; the sigmoid is applied here, once.
        target: 1 for annotated, 0 for unannotated, or between.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
