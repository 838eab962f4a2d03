"""Depthwise convolution with gradients that are fast on a CPU."""

import torch
from torch import Tensor
from torch.nn import functional as F


def filter_channels(maps: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """Convolve each channel of maps (N, C, H, W) with its own filter of (C, 1, k, k), as `F.conv2d` with C groups does.

    What differs is how a CPU finds the gradients: in fp32 also where the maps are bf16, in which it takes three to nine
    times as long; and those of filters wider than 3 as a convolution of maps with gradients, of which all images and
    channels are groups. `benchmarks/depthwise.py` measures both.
    """
    return _FilterChannels.apply(maps, weight, stride, padding)


class _FilterChannels(torch.autograd.Function):
    @staticmethod
    def forward(maps: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        return F.conv2d(maps, weight, stride=stride, padding=padding, groups=len(weight))

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        *tensors, ctx.stride, ctx.padding = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx, gradient: Tensor):  # type: ignore[override]
        maps, weight = ctx.saved_tensors
        kind, (for_maps, for_weight, *_) = maps.dtype, ctx.needs_input_grad
        exact = torch.promote_types(kind, torch.float32)
        maps, gradient = maps.to(exact), gradient.to(exact)
        stride, padding = [ctx.stride] * 2, [ctx.padding] * 2
        wide = weight.shape[-1] > 3
        of_maps, of_weight, _ = torch.ops.aten.convolution_backward(
            gradient, maps, weight.to(exact), None, stride, padding, [1, 1], False, [0, 0], len(weight),
            [for_maps, for_weight and not wide, False],
        )  # fmt: skip
        if for_weight and wide:
            of_weight = _by_groups(maps, weight.shape, gradient, ctx.stride, ctx.padding)
        of_weight = (
            torch.empty_like(weight).copy_(of_weight) if for_weight else None
        )  # with the strides that DDP expects
        return of_maps.to(kind) if for_maps else None, of_weight, None, None


def _by_groups(maps: Tensor, shape: torch.Size, gradient: Tensor, stride: int, padding: int) -> Tensor:
    pairs = len(maps) * shape[0]
    images = maps.contiguous().view(1, pairs, *maps.shape[2:])
    filters = gradient.contiguous().view(pairs, 1, *gradient.shape[2:])
    found = F.conv2d(images, filters, padding=padding, dilation=stride, groups=pairs)
    found = found[..., : shape[2], : shape[3]]  # there may be one more, where the stride left a row or column over
    return found.reshape(len(maps), *shape).sum(0)
