"""ZhengSN, the segmentation network of Zhang et al. 2017 (DAN), as the experiments log recorded it."""

from collections.abc import Callable

from torch import Tensor, nn

from flexdan.models.blocks import MapBlock, UpsampleBlock, concatenate_upsampled, conv_run, initialise


class ZhengSN(nn.Module):
    """The segmentation network of Zhang et al., MICCAI 2017, "Deep Adversarial Networks for Biomedical Image …".

    A VGG-like contracting path; its last three blocks are upsampled to the image size and joined. The paper's figure
    has 256 to 256 channels in the third block, where the recorded network, built here, has 128 to 256.

    Args:
        input_channels: channels of the images.
        output_channels: number of classes, background included.
    """

    def __init__(self, *, input_channels: int = 3, output_channels: int = 2):
        super().__init__()
        self.block1 = conv_run([input_channels, 64, 64], pool=False)
        self.block2 = conv_run([64, 128], pool=True)
        self.block3 = conv_run([128, 128, 256], pool=True)
        self.block4 = conv_run([256, 512, 512], pool=True)
        self.block5 = conv_run([512, 512, 512], pool=True)
        self.block6 = conv_run([512, 1024, 1024], pool=True)
        self.upsample = nn.ModuleList(UpsampleBlock(channels) for channels in (512, 512, 1024))
        self.map_block = MapBlock(2048, 1024, output_channels)
        initialise(self)

    def forward(self, images: Tensor, perturb: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Map images (N, C, H, W) of any size to logits (N, classes, H, W).

        Args:
            images: of any size.
            perturb: changes the maps of the last three blocks, each (N, channels, h, w), before they are joined.
        """
        tap1 = self.block4(self.block3(self.block2(self.block1(images))))
        tap2 = self.block5(tap1)
        tap3 = self.block6(tap2)
        size = (images.shape[2], images.shape[3])
        taps = [tap1, tap2, tap3] if perturb is None else [perturb(tap) for tap in (tap1, tap2, tap3)]
        return self.map_block(concatenate_upsampled(taps, self.upsample, size))
