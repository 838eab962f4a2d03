"""Mean teacher: the average of the SN's weights says what unannotated images show, and the SN learns to agree.

Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017; with uncertainty Yu et al.,
"Uncertainty-aware self-ensembling model for semi-supervised 3D left atrium segmentation", MICCAI 2019 (UA-MT).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from flexdan.losses import entropy, softmax_mse
from flexdan.strategies.cutmix import cutmix_masks, mix
from flexdan.strategies.lesson import Lesson, label_logits, labeller
from flexdan.strategies.step import Batch, Means, Players


@dataclass(frozen=True, kw_only=True)
class MeanTeacher:
    r"""The mean squared difference of the probabilities that teacher and student give, :math:`\lVert p' - p \rVert^2`.

    The teacher sees an unannotated image as it is, the student with other colours and rectangles of other images.

    Args:
        cutmix: probability of a rectangle.
        passes: T, of the teacher over images with noise; where the entropy of their mean probability is not below a
            limit, a pixel does not count (UA-MT, equations 2 to 4). 0: every pixel counts.
        noise: standard deviation of that noise.
        certainty: the limit, as a share of the largest entropy, ln K; UA-MT raises it from 3/4 to 1.
    """

    cutmix: float = 0.0
    passes: int = 0
    noise: float = 0.1
    certainty: float = 1.0

    def __call__(self, players: Players, batch: Batch, means: Means, generator: torch.Generator) -> Lesson:
        """Return the lesson of a batch with one strong view."""
        assert batch.unannotated is not None, "a teacher needs unannotated images"
        (strong,) = batch.strong
        teacher = labeller(players, "average")
        probabilities = label_logits(teacher, batch.unannotated, means).softmax(dim=1)
        counted = self._certain(teacher, batch.unannotated, means, generator)
        masks = cutmix_masks(strong, self.cutmix, generator)
        probabilities, counted = mix(probabilities, masks), mix(counted, masks)
        told = {"certain_share": counted.float().mean().item()} if self.passes else {}
        return Lesson(
            images=mix(strong, masks), loss=lambda logits: (softmax_mse(logits, probabilities, counted), told)
        )

    def _certain(self, teacher: nn.Module, images: Tensor, means: Means, generator: torch.Generator) -> Tensor:
        """Tell which pixels the teacher is certain about, bool (M, H, W)."""
        if not self.passes:
            return images.new_ones((len(images), *images.shape[-2:]), dtype=torch.bool)
        total: Tensor | None = None
        for _ in range(self.passes):
            noise = torch.randn(images.shape, generator=generator).to(images.device).clamp(-2, 2) * self.noise
            found = label_logits(teacher, images + noise, means).softmax(dim=1)
            total = found if total is None else total + found
        assert total is not None
        mean = total / self.passes
        return entropy(mean.log()) < self.certainty * math.log(mean.shape[1])
