"""ZhengEN, the evaluation network of Zhang et al. 2017 (DAN)."""

from torch import Tensor, nn

from flexdan.models.blocks import LinearBlock, conv_run, initialise, pooled_size


class ZhengEN(nn.Module):
    """The evaluation network of Zhang et al., MICCAI 2017, "Deep Adversarial Networks for Biomedical Image …".

    A VGG-like contracting path, flattened, and three linear layers.

    Args:
        input_channels: image channels and map channels together.
        image_size: height and width of the input in pixels, which the first linear layer depends on.
    """

    def __init__(self, *, input_channels: int = 4, image_size: tuple[int, int] = (224, 332)):
        super().__init__()
        self.features = nn.Sequential(
            conv_run([input_channels, 64, 64], pool=False),
            conv_run([64, 128], pool=True),
            conv_run([128, 256, 256], pool=True),
            conv_run([256, 512, 512], pool=True),
            conv_run([512, 512, 512], pool=True),
        )
        height, width = pooled_size(image_size, 4)
        self.head = nn.Sequential(
            LinearBlock(512 * height * width, 256), LinearBlock(256, 128), LinearBlock(128, 64), nn.Linear(64, 1)
        )
        initialise(self)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map images with their maps (N, C, H, W), of the size that was announced, to logits (N, 1)."""
        return self.head(self.features(inputs).flatten(1))
