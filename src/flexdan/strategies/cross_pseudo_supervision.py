"""Cross pseudo supervision: two segmentation networks from different weights, each taught by the labels of the other.

Chen et al., "Semi-supervised semantic segmentation with cross pseudo supervision", CVPR 2021.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from flexdan.losses import pseudo_label_loss
from flexdan.strategies.cutmix import cutmix_masks, mix
from flexdan.strategies.lesson import Lesson, hard_labels, label_logits, mean_numbers, taught_pass
from flexdan.strategies.step import Batch, Means, Players, update


def cross_pseudo_supervision_step(
    players: Players, batches: Sequence[Batch], means: Means, weight: float, cutmix: float, contours: bool = False
) -> dict[str, float]:
    r"""Do one update of each of the two networks: :math:`\ell_s + \lambda \ell_{cps}` (equations 1 to 4).

    Both see the annotated images, and the unannotated ones with rectangles of others (section 3, "incorporation with
    the CutMix augmentation"). Labels are what the other network, as it is before the update, makes of the images
    without rectangles; all pixels count. Annotated images have only their masks, and a pass of their own, as in the
    authors' runs with CutMix.

    Args:
        players: the SN and the second one, in training mode.
        batches: with unannotated images.
        means: how passes and updates are done.
        weight: lambda.
        cutmix: probability of a rectangle.
        contours: whether the networks have a class for contours, see `hard_labels`.

    Returns:
        Numbers of the SN, as of `supervised_step`; second_loss, of the other one on the masks, and the share of
        unannotated pixels on which the two agree, agreement.

    Raises:
        NonFiniteLossError: before an update, if a loss is not finite.
    """
    sn, second = players.sn, players.second
    assert second is not None, "cross pseudo supervision needs a second network"
    found = []
    for number, batch in enumerate(batches, start=1):
        assert batch.unannotated is not None, "cross pseudo supervision needs unannotated images"
        masks = cutmix_masks(batch.unannotated, cutmix, torch.Generator().manual_seed(batch.seed))
        images = mix(batch.unannotated, masks)
        first_labels, second_labels = (
            mix(hard_labels(label_logits(player.bare, batch.unannotated, means), contours), masks)
            for player in (sn, second)
        )
        losses = []
        for player, labels in ((sn, second_labels), (second, first_labels)):
            with means.sync(player.network, last=number == len(batches)):
                _, loss, numbers = taught_pass(player, batch, means, _lesson(images, labels), weight)
                means.backward(loss / len(batches))
            losses.append(numbers)
        agreement = (first_labels == second_labels).float().mean().item()
        found.append(losses[0] | {"second_loss": losses[1]["train_loss"], "agreement": agreement})
    for player in (sn, second):
        update(player, means.max_grad_norm)
    return mean_numbers(found) | {"sn_updates": 1.0}


def _lesson(images: Tensor, labels: Tensor) -> Lesson:
    every = torch.ones_like(labels, dtype=torch.bool)
    return Lesson(images=images, loss=lambda logits: (pseudo_label_loss(logits, labels, every), {}), together=False)
