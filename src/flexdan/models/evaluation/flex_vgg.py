"""FlexVGG, the parameterised evaluation network of the experiments log."""

from typing import Literal

from torch import Tensor, nn

from flexdan.models.blocks import BlockPattern, LinearBlock, conv_run, fcn_blocks, initialise, pooled_size

Head = Literal["flatten", "global_average"]


class FlexVGG(nn.Module):
    """A VGG-like contracting path and linear layers that each halve the width.

    Args:
        input_channels: image channels and map channels together.
        image_size: height and width of the input in pixels; a flattened head depends on it.
        input_block_depth: convolutions before the first FCN block.
        num_fcn_blocks: FCN blocks; each but the first starts with a pool.
        depth_fcn_block: convolutions in each FCN block.
        first_layer_out_channels: channels after the first convolution.
        fcn_block_pattern: single_run doubles the channels at every convolution; double_run keeps, doubles, keeps, …
            starting afresh in every block; single_width never doubles.
        head: what the linear layers see of the last maps (N, C, h, w): flatten, all C * h * w values, as in the log,
            whose memory went there; or global_average, the C means, for any image size.
        depth_linear_block: linear layers that each halve the width, after the first one.
        linear_block_pattern: single_run.
        first_linear_layer_out_features: width after the first linear layer.
        out_features: scores for each image.

    Raises:
        ValueError: if the width cannot be halved so often.
    """

    def __init__(
        self,
        *,
        input_channels: int = 4,
        image_size: tuple[int, int] = (224, 332),
        input_block_depth: int = 1,
        num_fcn_blocks: int = 4,
        depth_fcn_block: int = 2,
        first_layer_out_channels: int = 64,
        fcn_block_pattern: BlockPattern = "double_run",
        head: Head = "flatten",
        depth_linear_block: int = 1,
        linear_block_pattern: str = "single_run",
        first_linear_layer_out_features: int = 128,
        out_features: int = 1,
    ):
        super().__init__()
        if linear_block_pattern != "single_run":
            raise ValueError(f"linear_block_pattern is {linear_block_pattern!r}: the only pattern is single_run")
        widths = [first_linear_layer_out_features >> halvings for halvings in range(depth_linear_block + 1)]
        if widths[-1] < 1:
            raise ValueError(
                f"first_linear_layer_out_features is {widths[0]}: it cannot be halved {depth_linear_block} times"
            )
        width = first_layer_out_channels
        self.input_block = conv_run([input_channels] + [width] * input_block_depth, pool=False)
        self.blocks, channels = fcn_blocks(width, num_fcn_blocks, depth_fcn_block, fcn_block_pattern)
        if head == "flatten":
            height, width = pooled_size(image_size, num_fcn_blocks - 1)
            pooling, features = nn.Flatten(), channels[-1] * height * width
        else:
            pooling, features = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), channels[-1]
        hidden = [LinearBlock(before, after) for before, after in zip([features, *widths], widths, strict=False)]
        self.head = nn.Sequential(pooling, *hidden, nn.Linear(widths[-1], out_features))
        initialise(self)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map images with their maps (N, C, H, W) to logits (N, out_features)."""
        maps = self.input_block(inputs)
        for block in self.blocks:
            maps = block(maps)
        return self.head(maps)
