"""Building blocks of the networks."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flexdan.models.recompute import Recomputable, Segment, recomputed

BlockPattern = Literal["single_run", "double_run", "single_width"]


class ConvBlock(Segment):
    """3x3 convolution without bias, batch norm, ReLU: (N, in, H, W) to (N, out, H, W)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


def conv_run(channels: Iterable[int], pool: bool) -> Segment:
    """Return a block: a pool if asked for, then convolutions along the given channels (the first is the input's)."""
    channels = list(channels)
    convolutions = [ConvBlock(before, after) for before, after in pairwise(channels)]
    return Segment(*([max_pool()] if pool else []), *convolutions)


def max_pool() -> nn.MaxPool2d:
    """Return the networks' pool: 2x2, stride 2, padding 1, so that a side of length L becomes L // 2 + 1."""
    return nn.MaxPool2d(kernel_size=2, stride=2, padding=1)


def block_channels(in_channels: int, depth: int, pattern: BlockPattern) -> list[int]:
    """Return the channels along a block: the input's, then one entry for each convolution.

    Args:
        in_channels: channels that enter the block.
        depth: number of convolutions.
        pattern: single_run doubles at every convolution; double_run keeps, doubles, keeps, doubles, …; single_width
            never doubles.
    """
    channels = [in_channels]
    for position in range(depth):
        doubles = pattern == "single_run" or (pattern == "double_run" and position % 2 == 1)
        channels.append(channels[-1] * (2 if doubles else 1))
    return channels


def fcn_blocks(
    in_channels: int, num_blocks: int, depth: int, pattern: BlockPattern, pool_first: bool = False
) -> tuple[nn.ModuleList, list[int]]:
    """Return FCN blocks, of which each but the first starts with a pool, and the channels after each of them.

    Args:
        in_channels: channels that enter the first block.
        num_blocks: number of blocks.
        depth: convolutions in each.
        pattern: see `block_channels`.
        pool_first: let the first block start with a pool too.
    """
    blocks, widths = nn.ModuleList(), [in_channels]
    for position in range(num_blocks):
        channels = block_channels(widths[-1], depth, pattern)
        blocks.append(conv_run(channels, pool=position > 0 or pool_first))
        widths.append(channels[-1])
    return blocks, widths[1:]


class LinearBlock(nn.Sequential):
    """Linear layer, batch norm, ReLU: (N, in) to (N, out)."""

    def __init__(self, in_features: int, out_features: int):
        super().__init__(nn.Linear(in_features, out_features), nn.BatchNorm1d(out_features), nn.ReLU(inplace=True))


def pooled_size(size: tuple[int, int], pools: int) -> tuple[int, int]:
    """Return height and width after so many of the networks' pools."""
    height, width = size
    for _ in range(pools):
        height, width = height // 2 + 1, width // 2 + 1
    return height, width


class UpsampleBlock(Recomputable):
    """Bilinear upsampling to a given size, batch norm, ReLU: (N, C, h, w) to (N, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Upsample the maps to a height and width in pixels."""
        if self.recompute and torch.is_grad_enabled():
            return recomputed(self, maps, size)
        maps = F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
        return F.relu(self.norm(maps), inplace=True)


class MapBlock(nn.Sequential):
    """3x3 convolution (with batch norm and ReLU) and 1x1 convolution to class logits (N, classes, H, W)."""

    def __init__(self, in_channels: int, hidden_channels: int, num_classes: int):
        super().__init__(
            ConvBlock(in_channels, hidden_channels),
            nn.Conv2d(hidden_channels, num_classes, kernel_size=1, bias=False),
        )


def initialise(network: nn.Module) -> None:
    """Draw the weights anew: Kaiming normal for convolutions, Xavier uniform for linear layers."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def concatenate_upsampled(taps: list[Tensor], upsample: nn.ModuleList, size: tuple[int, int]) -> Tensor:
    """Upsample every tap to the image size and join them along the channels: (N, sum of C, H, W)."""
    return torch.cat([block(tap, size) for block, tap in zip(upsample, taps, strict=True)], dim=1)
