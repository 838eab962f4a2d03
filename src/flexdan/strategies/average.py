"""An average of a network's weights over its updates: what is evaluated, and what teaches."""

from itertools import chain

import torch
from torch import nn


def average_share(done: int, decay: float, start: int = 0) -> float:
    """Return the share with which the network enters its average at one update; 1 makes the average equal to it.

    Exponential (Tarvainen and Valpola 2017, section 2): 1 - min(decay, 1 - 1 / (t + 1)), so that the average of the
    first updates is their plain mean, and the random weights from before them are forgotten at once. With a decay of 1
    it remains the plain mean from `start` on (Izmailov et al. 2018, equation for w_SWA in algorithm 1, each update
    being a cycle).

    Args:
        done: updates before this one.
        decay: 0..1, share of itself that the average keeps.
        start: updates after which averaging begins; before, the average follows the network.
    """
    return max(1 - decay, 1 / (max(done - start, 0) + 1))


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, share: float) -> None:
    """Move an average towards its network by a share of the way: weights and statistics; counts are copied.

    Args:
        average: of the same build as the network.
        network: just updated.
        share: 0..1.
    """
    pairs = zip(
        chain(average.parameters(), average.buffers()), chain(network.parameters(), network.buffers()), strict=True
    )
    for mean, current in pairs:
        if mean.is_floating_point() and share < 1:
            mean.lerp_(current, share)
        else:
            mean.copy_(current)
