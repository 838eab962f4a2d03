"""Entropy minimisation: the SN is to be sure of what it sees in unannotated images, whatever it is.

Grandvalet and Bengio, "Semi-supervised learning by entropy minimization", NeurIPS 2005; Vu et al., "ADVENT", CVPR 2019.
"""

import torch
from torch import Tensor

from flexdan.losses import entropy_loss
from flexdan.strategies.lesson import Lesson
from flexdan.strategies.step import Batch, Means, Players


def entropy_minimisation(players: Players, batch: Batch, means: Means, generator: torch.Generator) -> Lesson:
    """Return the lesson of a batch: the mean entropy of the SN's probabilities (Vu et al. 2019, equations 1 and 2).

    The unannotated images have a pass of their own, as in their code.
    """
    assert batch.unannotated is not None, "entropy_minimisation needs unannotated images"
    return Lesson(images=batch.unannotated, loss=_loss, together=False)


def _loss(logits: Tensor) -> tuple[Tensor, dict[str, float]]:
    return entropy_loss(logits), {}
