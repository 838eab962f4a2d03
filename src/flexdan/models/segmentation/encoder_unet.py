"""EncoderUNet, a U-Net on an encoder that may come with ImageNet weights."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flexdan.models.blocks import ConvBlock, initialise
from flexdan.models.recompute import Segment
from flexdan.models.segmentation.efficientnet_lite import MEAN, STD, EfficientNetLite

REDUCTION = 32  # of the deepest maps


class EncoderUNet(nn.Module):
    """A U-Net (Ronneberger et al. 2015) whose contracting path is an EfficientNet-Lite.

    The decoder goes from maps at 1/32 of the image size to 1/2, joining the encoder's maps at each size; the logits are
    upsampled from there. Images of other sizes are extended at bottom and right by their edge.

    Args:
        input_channels: channels of the images.
        output_channels: number of classes, background included.
        encoder: efficientnet_lite0, efficientnet_lite1 or efficientnet_lite2.
        decoder_channels: of the decoder's maps, at 1/16, 1/8, 1/4 and 1/2 of the image size.
        mean: that was subtracted from the intensities 0..1 of the images.
        std: that divided them; with both, the encoder gets its images as its ImageNet weights want them.
    """

    def __init__(
        self,
        *,
        input_channels: int = 3,
        output_channels: int = 2,
        encoder: str = "efficientnet_lite0",
        decoder_channels: Sequence[int] = (128, 96, 64, 48),
        mean: float = 0.5,
        std: float = 0.25,
    ):
        super().__init__()
        self.factor, self.offset = std / STD, (mean - MEAN) / STD
        self.encoder = EfficientNetLite(encoder, input_channels)
        *skips, channels = self.encoder.channels
        self.decoder = nn.ModuleList()
        for skip, width in zip(reversed(skips), decoder_channels, strict=True):
            self.decoder.append(Segment(ConvBlock(channels + skip, width), ConvBlock(width, width)))
            channels = width
        self.classifier = nn.Conv2d(channels, output_channels, kernel_size=1)
        initialise(self)
        nn.init.zeros_(self.classifier.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor, perturb: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Map images (N, C, H, W) of any size to logits (N, classes, H, W).

        Args:
            images: normalised with `mean` and `std`.
            perturb: changes the encoder's maps, each (N, channels, h, w), before the decoder gets them.
        """
        height, width = images.shape[2:]
        missing = (0, -width % REDUCTION, 0, -height % REDUCTION)
        images = images * self.factor + self.offset
        maps = self.encoder(F.pad(images, missing, mode="replicate") if any(missing) else images)
        *skips, decoded = maps if perturb is None else map(perturb, maps)
        for skip, block in zip(reversed(skips), self.decoder, strict=True):
            decoded = block(torch.cat([F.interpolate(decoded, scale_factor=2.0), skip], dim=1))
        logits = F.interpolate(self.classifier(decoded), scale_factor=2.0, mode="bilinear")
        return logits[..., :height, :width]
