"""What the evaluation network sees: images with the maps of their foreground; and what it says of each pixel."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from flexdan.config import IGNORE
from flexdan.losses import EN_LOSSES

EnInput = Literal["concatenate", "mask", "map"]


def predicted_maps(logits: Tensor) -> Tensor:
    """Return the probabilities of the foreground classes: logits (N, K, H, W) to float32 (N, K - 1, H, W)."""
    return logits.float().softmax(dim=1)[:, 1:]


def true_maps(targets: Tensor, num_classes: int) -> Tensor:
    """Return masks as maps of 0 and 1: classes (N, H, W) to float32 (N, K - 1, H, W); `IGNORE` is background."""
    classes = torch.where(targets == IGNORE, 0, targets).long()
    return F.one_hot(classes, num_classes)[..., 1:].movedim(-1, 1).float()


def en_inputs(images: Tensor, maps: Tensor, en_input: EnInput) -> Tensor:
    """Join images (N, C, H, W) and foreground maps (N, K - 1, H, W) to the EN's input.

    Returns:
        concatenate: (N, C + K - 1, H, W), the paper's. mask: (N, C * (K - 1), H, W), the image multiplied by each map,
        as in experiment 8 of the log; normalised images are 0 at the mean intensity, so that what a map takes away
        becomes that. map: the maps alone, (N, K - 1, H, W), as Hung et al. (BMVC 2018) have it.
    """
    if en_input == "map":
        return maps.to(images)
    if en_input == "concatenate":
        return torch.cat([images, maps.to(images)], dim=1)
    return (images[:, None] * maps.to(images)[:, :, None]).flatten(1, 2)


def pixel_shares(scores: Tensor, criterion: str, size: Sequence[int]) -> Tensor:
    """Return what the EN says of each pixel, as a share: 1 where it takes the result for one on an annotated image.

    Args:
        scores: (N, outputs) of whole images, which count for all of their pixels; or (N, 1, h, w) of patches or
            pixels, which are interpolated.
        criterion: with which the EN learns.
        size: height and width, H and W.

    Returns:
        0..1, (N, H, W).
    """
    shares = EN_LOSSES[criterion].share(scores)
    shares = shares.mean(dim=1)[:, None, None, None] if shares.dim() == 2 else shares  # (N, 1, h, w)
    return F.interpolate(shares, size=tuple(size), mode="bilinear")[:, 0]


def en_input_channels(image_channels: int, num_classes: int, en_input: EnInput) -> int:
    """Return the channels of `en_inputs` for images of C channels and K classes."""
    maps = num_classes - 1
    return {"concatenate": image_channels + maps, "mask": image_channels * maps, "map": maps}[en_input]
