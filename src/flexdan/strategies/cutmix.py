"""CutMix: rectangles of one image pasted into another one, in images and in their labels alike.

Yun et al. 2019; for segmentation without annotation French et al. 2020, "Semi-supervised semantic segmentation needs
strong, varied perturbations".
"""

import math

import torch
from torch import Tensor

AREA = 0.5  # of the image, in each rectangle (French et al. 2020, section 3.4)


def cutmix_masks(like: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Draw a rectangle for each image: half of the area, any position inside, sides as unlike as that allows.

    Args:
        like: images (N, ..., H, W), of which only size and device matter.
        probability: that an image gets one; else its mask is empty.
        generator: a CPU generator; the same state gives the same rectangles on every device.

    Returns:
        bool (N, H, W), true where the other image shows.
    """
    count, (height, width) = len(like), like.shape[-2:]
    chosen = torch.rand(count, generator=generator) < probability
    share, top, left = torch.rand(3, count, generator=generator)
    high = torch.exp(share * math.log(AREA))  # AREA..1 of the height, on a logarithmic scale
    wide = AREA / high
    rows = _inside(height, top * (1 - high), high) & chosen[:, None]  # (N, H)
    columns = _inside(width, left * (1 - wide), wide)  # (N, W)
    return (rows[:, :, None] & columns[:, None, :]).to(like.device)


def mix(values: Tensor, masks: Tensor) -> Tensor:
    """Paste into each image or label map what the mask shows of the one before it in the batch.

    Args:
        values: (N, H, W), or (N, C, H, W).
        masks: bool (N, H, W).
    """
    others = values.roll(1, dims=0)
    return torch.where(masks if values.dim() == masks.dim() else masks[:, None], others, values)


def _inside(length: int, start: Tensor, extent: Tensor) -> Tensor:
    """Tell which pixel centres of a side lie within a part of it, both as shares of the side: (N, length)."""
    centres = (torch.arange(length) + 0.5) / length
    return (centres >= start[:, None]) & (centres < (start + extent)[:, None])
