"""Losses on images without annotation, between logits and what another view or network makes of the same pixels."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def softmax_mse(logits: Tensor, probabilities: Tensor, counted: Tensor) -> Tensor:
    r"""Return the mean squared difference of class probabilities over the counted pixels; 0 where none is counted.

    :math:`\frac{1}{K |M|} \sum_{v \in M} \lVert p_v - q_v \rVert^2` over the counted pixels M and K classes: the
    consistency cost of Tarvainen and Valpola 2017, section 2, as Yu et al. 2019 (UA-MT), equation 4, restrict it.

    Args:
        logits: (N, K, H, W) of the one that learns; softmax is applied here, once.
        probabilities: (N, K, H, W), the target.
        counted: bool (N, H, W).
    """
    difference = (_wide(logits).softmax(dim=1) - probabilities).square().mean(dim=1)  # (N, H, W)
    return (difference * counted).sum() / counted.sum().clamp(min=1)


def pseudo_label_loss(logits: Tensor, labels: Tensor, counted: Tensor) -> Tensor:
    r"""Return the cross-entropy with labels that a network gave, summed over the counted and divided by all pixels.

    :math:`\frac{1}{|V|} \sum_{v \in V} 1[v \in M] H(\hat q_v, p_v)`: Sohn et al. 2020 (FixMatch), equation 4. Pixels
    that do not count lower it, so that what is rarely confident weighs little.

    Args:
        logits: (N, K, H, W).
        labels: integer (N, H, W), classes 0..K-1.
        counted: bool (N, H, W), the pixels M.
    """
    return (F.cross_entropy(_wide(logits), labels.long(), reduction="none") * counted).mean()


def entropy_loss(logits: Tensor) -> Tensor:
    r"""Return the mean entropy of the pixels' class probabilities, 1 where all classes are as probable.

    :math:`-\frac{1}{\log K} \sum_k p_k \log p_k`: Grandvalet and Bengio 2005, for pixels as in Vu et al. 2019
    (ADVENT), equations 1 and 2, whose sum over the image is a mean here.

    Args:
        logits: (N, K, H, W).
    """
    return entropy(_wide(logits).log_softmax(dim=1)).mean() / math.log(logits.shape[1])


def entropy(log_probabilities: Tensor) -> Tensor:
    """Return the entropy in nats of each pixel, (N, K, H, W) to (N, H, W); a probability of 0 adds nothing."""
    return -(log_probabilities.exp() * log_probabilities.clamp(min=torch.finfo(torch.float32).min)).sum(dim=1)


def _wide(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
