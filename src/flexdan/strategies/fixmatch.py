"""FixMatch: confident labels of an image as it is are learnt on a strongly changed view of it.

Sohn et al., "FixMatch: simplifying semi-supervised learning with consistency and confidence", NeurIPS 2020.
"""

from dataclasses import dataclass

import torch

from flexdan.losses import pseudo_label_loss
from flexdan.strategies.cutmix import cutmix_masks, mix
from flexdan.strategies.lesson import Lesson, Source, confident_labels, label_logits, labeller
from flexdan.strategies.step import Batch, Means, Players


@dataclass(frozen=True, kw_only=True)
class FixMatch:
    r"""Cross-entropy with hard labels, :math:`1[\max q \ge \tau] H(\arg\max q, p)` (equation 4), for each pixel.

    The weak view is the augmented image, the strong one has other colours and rectangles of other images, whose labels
    come with them.

    Args:
        labels_from: student, as in the paper, or average, as in self-training with a mean teacher.
        confidence: tau.
        cutmix: probability of a rectangle.
        contours: whether the network has a class for contours, see `confident_labels`.
    """

    labels_from: Source = "student"
    confidence: float = 0.95
    cutmix: float = 0.0
    contours: bool = False

    def __call__(self, players: Players, batch: Batch, means: Means, generator: torch.Generator) -> Lesson:
        """Return the lesson of a batch with one strong view."""
        assert batch.unannotated is not None, "fixmatch needs unannotated images"
        (strong,) = batch.strong
        logits = label_logits(labeller(players, self.labels_from), batch.unannotated, means)
        labels, confident = confident_labels(logits, self.confidence, self.contours)
        masks = cutmix_masks(strong, self.cutmix, generator)
        labels, confident = mix(labels, masks), mix(confident, masks)
        told = {"confident_share": confident.float().mean().item()}
        return Lesson(
            images=mix(strong, masks), loss=lambda logits: (pseudo_label_loss(logits, labels, confident), told)
        )
