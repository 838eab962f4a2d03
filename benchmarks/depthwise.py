"""Time of the gradients of depthwise convolutions on one core: as torch finds them and as EncoderUNet does.

Every depthwise convolution of the encoder whose gradient is found in our way, at the size that its maps have in
training, and then a whole step, forward, backward and update. "torch" is `F.conv2d`, in fp32 and in bf16.

    python benchmarks/depthwise.py
    python benchmarks/depthwise.py --encoder efficientnet_lite2 --size 384 576 --steps 10
"""

import argparse
import statistics
import time
from collections.abc import Callable
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flexdan.models.depthwise import filter_channels
from flexdan.models.segmentation import efficientnet_lite
from flexdan.models.segmentation.encoder_unet import EncoderUNet

Filtering = Callable[[Tensor, Tensor, int, int], Tensor]


def as_torch_does(maps: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Convolve each channel with its own filter."""
    return F.conv2d(maps, weight, stride=stride, padding=padding, groups=len(weight))


def median_ms(call: Callable[[], object], times: int) -> float:
    """Return the median CPU time of a call, in ms, after two that do not count."""
    found = []
    for _ in range(times + 2):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return statistics.median(found[2:]) * 1e3


def slow_convolutions(network: nn.Module, images: Tensor) -> dict[tuple[int, ...], list[torch.Size]]:
    """Return the shapes of the maps that each kind (channels, kernel, stride) of them gets."""
    shapes: dict[tuple[int, ...], list[torch.Size]] = {}

    def record(maps: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        shapes.setdefault((*weight.shape[::3], stride, padding, *maps.shape[2:]), []).append(maps.shape)
        return as_torch_does(maps, weight, stride, padding)

    with patch.object(efficientnet_lite, "filter_channels", record), torch.inference_mode():
        network(images)
    return shapes


def gradients_ms(filtering: Filtering, shape: torch.Size, kind: tuple[int, ...], dtype: torch.dtype, times: int):
    """Return the time of both gradients of one convolution, in ms."""
    _, kernel, stride, padding, *_ = kind
    maps = torch.randn(shape).to(dtype, memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(shape[1], 1, kernel, kernel, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
        output = filtering(maps, weight, stride, padding)
    direction = torch.randn_like(output)
    return median_ms(lambda: torch.autograd.grad(output, (maps, weight), direction, retain_graph=True), times)


def step_ms(filtering: Filtering, network: nn.Module, images: Tensor, times: int) -> float:
    """Return the time of a training step in bf16, in ms."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    targets = torch.randint(2, (len(images), *images.shape[2:]))

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(images)
        optimizer.zero_grad()
        F.cross_entropy(logits.float(), targets).backward()
        optimizer.step()

    with patch.object(efficientnet_lite, "filter_channels", filtering):
        return median_ms(step, times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--encoder", default="efficientnet_lite0", choices=efficientnet_lite.VARIANTS)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--size", type=int, nargs=2, default=(128, 192), metavar=("H", "W"))
    parser.add_argument("--steps", type=int, default=20, help="times that each is measured; the median counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = torch.randn(options.batch_size, 3, *options.size).contiguous(memory_format=torch.channels_last)
    network = EncoderUNet(encoder=options.encoder).to(memory_format=torch.channels_last)
    print(f"{options.encoder}, batch {options.batch_size}, {options.size[0]}x{options.size[1]}, both gradients in ms")
    print("channels kernel stride     maps times    fp32    bf16  ours")
    ways = [(as_torch_does, torch.float32), (as_torch_does, torch.bfloat16), (filter_channels, torch.bfloat16)]
    for kind, shapes in slow_convolutions(network, images).items():
        fp32, bf16, ours = (gradients_ms(way, shapes[0], kind, dtype, options.steps) for way, dtype in ways)
        channels, kernel, stride, _, height, width = kind
        print(
            f"{channels:>8} {kernel:>6} {stride:>6} {f'{height}x{width}':>8} {len(shapes):>5} {fp32:>7.2f} {bf16:>7.2f}"
            f" {ours:>5.2f}",
            flush=True,
        )
    theirs, ours = (step_ms(way, network, images, options.steps) for way in (as_torch_does, filter_channels))
    print(f"a step in bf16: {theirs:.0f} ms as torch does, {ours:.0f} ms ours, {theirs / ours:.2f}x")


if __name__ == "__main__":
    main()
