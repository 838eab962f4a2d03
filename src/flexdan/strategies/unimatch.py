"""UniMatch: one weak view teaches two strong ones and itself with channels of its features left out.

Yang et al., "Revisiting weak-to-strong consistency in semi-supervised semantic segmentation", CVPR 2023.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from flexdan.losses import pseudo_label_loss
from flexdan.strategies.cutmix import cutmix_masks, mix
from flexdan.strategies.lesson import Lesson, Source, confident_labels, label_logits, labeller
from flexdan.strategies.step import Batch, Means, Players

FEATURES = 0.5  # lambda of equation 7: the weight of the perturbed features; the strong views have the rest, half each


@dataclass(frozen=True, kw_only=True)
class UniMatch:
    r"""FixMatch thrice (equation 7): :math:`\frac12 H(p^w, p^{fp}) + \frac14 (H(p^w, p^{s_1}) + H(p^w, p^{s_2}))`.

    Each is over the pixels whose label is confident.

    Args:
        labels_from: student, as in the paper, or average.
        confidence: tau.
        cutmix: probability of a rectangle in each strong view, drawn anew for each.
        feature_dropout: share of the channels of the encoder's maps that are left out for p^fp; the others are
            enlarged to make up for it (dropout of channels, section 3.2).
        contours: whether the network has a class for contours, see `confident_labels`.
    """

    labels_from: Source = "student"
    confidence: float = 0.95
    cutmix: float = 0.0
    feature_dropout: float = 0.5
    contours: bool = False

    def __call__(self, players: Players, batch: Batch, means: Means, generator: torch.Generator) -> Lesson:
        """Return the lesson of a batch with two strong views."""
        weak = batch.unannotated
        assert weak is not None, "unimatch needs unannotated images"
        logits = label_logits(labeller(players, self.labels_from), weak, means)
        labels, confident = confident_labels(logits, self.confidence, self.contours)
        images, wanted = [], []
        for strong in batch.strong:
            masks = cutmix_masks(strong, self.cutmix, generator)
            images.append(mix(strong, masks))
            wanted.append((mix(labels, masks), mix(confident, masks)))
        weights = [(1 - FEATURES) / len(images)] * len(images) + [FEATURES]
        wanted.append((labels, confident))
        told = {"confident_share": confident.float().mean().item()}

        def loss(logits: Tensor) -> tuple[Tensor, dict[str, float]]:
            parts = zip(weights, logits.split(len(weak)), wanted, strict=True)
            return torch.stack([weight * pseudo_label_loss(one, *label) for weight, one, label in parts]).sum(), told

        drop = partial(drop_channels, count=len(weak), share=self.feature_dropout, generator=generator)
        return Lesson(images=torch.cat([*images, weak]), loss=loss, perturb=drop)


def drop_channels(maps: Tensor, *, count: int, share: float, generator: torch.Generator) -> Tensor:
    """Set channels of the last maps of a batch to 0, at random, and divide the others by the share that is kept.

    Args:
        maps: (N, C, h, w).
        count: images at the end that this happens to; the others stay as they are.
        share: 0..1 of the channels, excluding 1.
        generator: a CPU generator.
    """
    kept = (torch.rand(count, maps.shape[1], generator=generator) >= share).float() / (1 - share)
    factors = torch.cat([torch.ones(len(maps) - count, maps.shape[1]), kept]).to(maps)
    return maps * factors[:, :, None, None]
