"""PatchEN, an evaluation network that judges every patch of an image."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from flexdan.models.blocks import initialise
from flexdan.models.recompute import Segment

WIDEST = 8  # times the channels of the first layer


class PatchEN(nn.Module):
    """Strided convolutions to a map of scores, as Isola et al. 2017 (PatchGAN) have it.

    Without batch norm, as the discriminator of Hung et al. 2018: a score depends on its own patch alone, and an image
    is judged alike whatever is beside it in the batch.

    Args:
        input_channels: image channels and map channels together.
        num_layers: 4x4 convolutions of stride 2, each followed by a leaky ReLU; a patch is 2^num_layers pixels apart
            from the next.
        first_layer_out_channels: of the first layer; each further one doubles them, up to eightfold.
        output: patch: a score for each patch; pixel: for each pixel, interpolated, as in Hung et al. 2018.
    """

    def __init__(
        self,
        *,
        input_channels: int = 4,
        num_layers: int = 4,
        first_layer_out_channels: int = 64,
        output: Literal["patch", "pixel"] = "patch",
    ):
        super().__init__()
        self.pixels = output == "pixel"
        widths = [first_layer_out_channels * min(2**layer, WIDEST) for layer in range(num_layers)]
        self.layers = nn.Sequential(
            *(
                Segment(nn.Conv2d(before, after, kernel_size=4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True))
                for before, after in zip([input_channels, *widths], widths, strict=False)
            )
        )
        self.classifier = nn.Conv2d(widths[-1], 1, kernel_size=3, padding=1)
        initialise(self)
        nn.init.normal_(self.classifier.weight, std=0.02)  # as Isola et al. 2017: undecided at the start
        nn.init.zeros_(self.classifier.bias)  # type: ignore[arg-type]

    def forward(self, inputs: Tensor) -> Tensor:
        """Map images with their maps (N, C, H, W) to logits (N, 1, h, w) or (N, 1, H, W), sides from 2^num_layers."""
        scores = self.classifier(self.layers(inputs))
        return F.interpolate(scores, size=inputs.shape[2:], mode="bilinear") if self.pixels else scores
