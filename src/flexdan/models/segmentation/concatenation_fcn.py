"""ConcatenationFCN, the parameterised segmentation network of the experiments log."""

from collections.abc import Callable

from torch import Tensor, nn

from flexdan.models.blocks import (
    BlockPattern,
    MapBlock,
    UpsampleBlock,
    concatenate_upsampled,
    conv_run,
    fcn_blocks,
    initialise,
)


class ConcatenationFCN(nn.Module):
    """A fully convolutional network whose last three blocks are upsampled to the image size and joined.

    Args:
        input_channels: channels of the images.
        output_channels: number of classes, background included.
        input_block_depth: convolutions before the first FCN block.
        num_fcn_blocks: FCN blocks, at least 3; each but the first starts with a pool.
        block_depth: convolutions in each FCN block.
        first_layer_out_channels: channels after the first convolution.
        block_pattern: single_run doubles the channels at every convolution; double_run keeps, doubles, keeps, …
            starting afresh in every block, so that with a depth of 1 the whole network has one width; single_width
            never doubles.
        upsampling_pattern: last_three.
        pool_first_block: let the first FCN block start with a pool too.
    """

    def __init__(
        self,
        *,
        input_channels: int = 3,
        output_channels: int = 2,
        input_block_depth: int = 1,
        num_fcn_blocks: int = 5,
        block_depth: int = 1,
        first_layer_out_channels: int = 64,
        block_pattern: BlockPattern = "double_run",
        upsampling_pattern: str = "last_three",
        pool_first_block: bool = False,
    ):
        super().__init__()
        if num_fcn_blocks < 3:
            raise ValueError(f"num_fcn_blocks is {num_fcn_blocks}: the last three blocks are joined, so at least 3")
        if upsampling_pattern != "last_three":
            raise ValueError(f"upsampling_pattern is {upsampling_pattern!r}: the only pattern is last_three")
        width = first_layer_out_channels
        self.input_block = conv_run([input_channels] + [width] * input_block_depth, pool=False)
        self.blocks, widths = fcn_blocks(width, num_fcn_blocks, block_depth, block_pattern, pool_first_block)
        self.upsample = nn.ModuleList(UpsampleBlock(channels) for channels in widths[-3:])
        joined = sum(widths[-3:])
        self.map_block = MapBlock(joined, joined, output_channels)
        initialise(self)

    def forward(self, images: Tensor, perturb: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Map images (N, C, H, W) of any size to logits (N, classes, H, W).

        Args:
            images: of any size.
            perturb: changes the maps of the last three blocks, each (N, channels, h, w), before they are joined.
        """
        maps = self.input_block(images)
        taps = []
        for block in self.blocks:
            maps = block(maps)
            taps.append(maps)
        size = (images.shape[2], images.shape[3])
        taps = taps[-3:] if perturb is None else [perturb(tap) for tap in taps[-3:]]
        return self.map_block(concatenate_upsampled(taps, self.upsample, size))
