"""Self-training where the EN takes the SN's result on an unannotated image for one on an annotated image.

Hung et al., "Adversarial learning for semi-supervised semantic segmentation", BMVC 2018.
"""

from dataclasses import dataclass

import torch

from flexdan.losses import pseudo_label_loss
from flexdan.strategies.cutmix import cutmix_masks, mix
from flexdan.strategies.en_input import EnInput, en_inputs, pixel_shares, predicted_maps
from flexdan.strategies.lesson import Lesson, Source, hard_labels, label_logits, labeller
from flexdan.strategies.step import Batch, Means, Players


@dataclass(frozen=True, kw_only=True)
class EnConfidence:
    r"""Cross-entropy with hard labels, :math:`1[D(S(u)) > T] H(\arg\max S(u), S(u'))` (equation 5), for each pixel.

    The paper has one view, u' = u, and an EN with a score for each pixel. Here u' has other colours and rectangles of
    other images; the scores of patches are interpolated, and a score of the whole image counts for all of its pixels.

    Args:
        labels_from: student, as in the paper, or average.
        confidence: T, of the EN's score as a share.
        cutmix: probability of a rectangle.
        en_input: what the EN sees.
        en_criterion: with which it learns.
        contours: whether the network has a class for contours, see `hard_labels`.
    """

    labels_from: Source = "student"
    confidence: float = 0.2
    cutmix: float = 0.0
    en_input: EnInput = "concatenate"
    en_criterion: str = "binary_cross_entropy"
    contours: bool = False

    def __call__(self, players: Players, batch: Batch, means: Means, generator: torch.Generator) -> Lesson:
        """Return the lesson of a batch with one strong view."""
        weak = batch.unannotated
        assert weak is not None, "en_confidence needs unannotated images"
        assert players.en is not None, "en_confidence needs an evaluation network"
        (strong,) = batch.strong
        logits = label_logits(labeller(players, self.labels_from), weak, means)
        scores = label_logits(players.en.bare, en_inputs(weak, predicted_maps(logits), self.en_input), means)
        shares = pixel_shares(scores, self.en_criterion, weak.shape[2:])
        masks = cutmix_masks(strong, self.cutmix, generator)
        labels, counted = mix(hard_labels(logits, self.contours), masks), mix(shares > self.confidence, masks)
        told = {"confident_share": counted.float().mean().item()}
        return Lesson(images=mix(strong, masks), loss=lambda logits: (pseudo_label_loss(logits, labels, counted), told))
