"""Self-training: what a trained network makes of the unannotated images is annotation for the next one.

Lee, "Pseudo-label", ICML 2013 workshop; with strong changes of the images, from new weights each time, as Xie et al.,
"Self-training with noisy student improves ImageNet classification", CVPR 2020, and Yang et al., "ST++: make
self-training work better for semi-supervised semantic segmentation", CVPR 2022 (its ST, algorithm 1).
"""

from dataclasses import dataclass

import torch

from flexdan.strategies.cutmix import cutmix_masks, mix
from flexdan.strategies.lesson import Lesson
from flexdan.strategies.step import Batch, Means, Players


@dataclass(frozen=True, kw_only=True)
class SelfTraining:
    """The loss of the masks, with the labels of the generation before for masks, on a strong view.

    The labels come with the batch: they were made once, before the generation, see `label_images`, and have turned with
    their images.

    Args:
        cutmix: probability of a rectangle of another image, whose labels come with it.
    """

    cutmix: float = 0.0

    def __call__(self, players: Players, batch: Batch, means: Means, generator: torch.Generator) -> Lesson:
        """Return the lesson of a batch with one strong view."""
        assert batch.labels is not None, "self_training needs labelled images"
        (strong,) = batch.strong
        masks = cutmix_masks(strong, self.cutmix, generator)
        labels = mix(batch.labels, masks)
        return Lesson(images=mix(strong, masks), loss=lambda logits: (means.criterion(logits, labels), {}))
