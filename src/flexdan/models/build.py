"""Building networks from settings; the one place of this room that reads a configuration."""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from flexdan.config import EvaluationNetworkConfig, SegmentationNetworkConfig, UserError
from flexdan.models.evaluation import FlexVGG, PatchEN, ZhengEN
from flexdan.models.segmentation import ConcatenationFCN, EncoderUNet, ZhengSN

Normalisation = tuple[float, float]  # mean and standard deviation with which intensities 0..1 are normalised


def _concatenation_fcn(
    settings: SegmentationNetworkConfig, input_channels: int, num_classes: int, normalisation: Normalisation
) -> nn.Module:
    return ConcatenationFCN(
        input_channels=input_channels,
        output_channels=num_classes,
        input_block_depth=settings.input_block_depth,
        num_fcn_blocks=settings.num_fcn_blocks,
        block_depth=settings.block_depth,
        first_layer_out_channels=settings.first_layer_out_channels,
        block_pattern=settings.block_pattern,
        upsampling_pattern=settings.upsampling_pattern,
        pool_first_block=settings.pool_first_block,
    )


def _zheng_sn(
    settings: SegmentationNetworkConfig, input_channels: int, num_classes: int, normalisation: Normalisation
) -> nn.Module:
    return ZhengSN(input_channels=input_channels, output_channels=num_classes)


def _encoder_unet(
    settings: SegmentationNetworkConfig, input_channels: int, num_classes: int, normalisation: Normalisation
) -> nn.Module:
    mean, std = normalisation
    return EncoderUNet(
        input_channels=input_channels,
        output_channels=num_classes,
        encoder=settings.encoder,
        decoder_channels=settings.decoder_channels,
        mean=mean,
        std=std,
    )


def _flex_vgg(settings: EvaluationNetworkConfig, input_channels: int, image_size: tuple[int, int]) -> nn.Module:
    return FlexVGG(
        input_channels=input_channels,
        image_size=image_size,
        input_block_depth=settings.input_block_depth,
        num_fcn_blocks=settings.num_fcn_blocks,
        depth_fcn_block=settings.depth_fcn_block,
        first_layer_out_channels=settings.first_layer_out_channels,
        fcn_block_pattern=settings.fcn_block_pattern,
        head=settings.head,
        depth_linear_block=settings.depth_linear_block,
        linear_block_pattern=settings.linear_block_pattern,
        first_linear_layer_out_features=settings.first_linear_layer_out_features,
        out_features=settings.out_features,
    )


def _zheng_en(settings: EvaluationNetworkConfig, input_channels: int, image_size: tuple[int, int]) -> nn.Module:
    return ZhengEN(input_channels=input_channels, image_size=image_size)


def _patch_en(settings: EvaluationNetworkConfig, input_channels: int, image_size: tuple[int, int]) -> nn.Module:
    if min(image_size) < 2**settings.num_fcn_blocks:
        raise UserError(
            f"en.num_fcn_blocks is {settings.num_fcn_blocks}, but images of {image_size[0]}x{image_size[1]} pixels "
            "cannot be halved so often: say a smaller number"
        )
    return PatchEN(
        input_channels=input_channels,
        num_layers=settings.num_fcn_blocks,
        first_layer_out_channels=settings.first_layer_out_channels,
        output=settings.output,
    )


EVALUATION_NETWORKS: dict[str, Callable[[EvaluationNetworkConfig, int, tuple[int, int]], nn.Module]] = {
    "FlexVGG": _flex_vgg,
    "ZhengEN": _zheng_en,
    "PatchEN": _patch_en,
}

SEGMENTATION_NETWORKS: dict[str, Callable[[SegmentationNetworkConfig, int, int, Normalisation], nn.Module]] = {
    "ConcatenationFCN": _concatenation_fcn,
    "EncoderUNet": _encoder_unet,
    "ZhengSN": _zheng_sn,
}


def build_segmentation_network(
    settings: SegmentationNetworkConfig,
    *,
    input_channels: int,
    num_classes: int,
    image_size: tuple[int, int],
    normalisation: Normalisation = (0.5, 0.25),
) -> nn.Module:
    """Build the segmentation network of a configuration.

    Args:
        settings: the `sn` section.
        input_channels: channels of the images.
        num_classes: number of classes, background included.
        image_size: height and width on which a network of the user's own is tried, in prediction and in training.
        normalisation: mean and standard deviation with which the images, intensities 0..1, were normalised.

    Returns:
        A network that maps (N, C, H, W) images to (N, classes, H, W) logits, with fresh weights.

    Raises:
        UserError: for a network that is not known, cannot be imported or does not give such logits.
    """
    if settings.model_type not in SEGMENTATION_NETWORKS:
        network = _make_network(settings.model_type, settings.model_args)
        _try_network(network, settings.model_type, (input_channels, *image_size), num_classes)
        return network
    if settings.model_args:
        raise UserError(
            f"sn.model_args is {settings.model_args}: {settings.model_type} takes its arguments from the other "
            "settings of the section; model_args is for a network of your own"
        )
    return SEGMENTATION_NETWORKS[settings.model_type](settings, input_channels, num_classes, normalisation)


def build_evaluation_network(
    settings: EvaluationNetworkConfig, *, input_channels: int, image_size: tuple[int, int]
) -> nn.Module:
    """Build the evaluation network of a configuration.

    Args:
        settings: the `en` section; its `input_channels` must agree with what the images and the SN give.
        input_channels: image channels and map channels together.
        image_size: height and width of the input in pixels.

    Returns:
        A network that maps (N, C, H, W) to logits (N, 1), or (N, 1, h, w) of patches, with fresh weights.

    Raises:
        UserError: if the settings ask for another number of channels.
    """
    if settings.input_channels not in ("auto", input_channels):
        raise UserError(
            f"en.input_channels is {settings.input_channels}, but image and maps have {input_channels} channels with "
            "these settings of adversarial.en_input and sn: say auto"
        )
    network = EVALUATION_NETWORKS[settings.model_type](settings, input_channels, image_size)
    if settings.spectral_norm:
        for module in list(network.modules()):
            if isinstance(module, nn.Conv2d | nn.Linear):
                spectral_norm(module)
    return network


def can_perturb(network: nn.Module) -> bool:
    """Tell whether a network lets the maps of its encoder be changed: its forward method has an argument `perturb`."""
    return "perturb" in inspect.signature(network.forward).parameters


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def import_network_class(path: str) -> type:
    """Import a network class of the user's own from its import path.

    Raises:
        UserError: if it is not there.
    """
    module_name, _, class_name = path.rpartition(".")
    if not module_name:
        known = ", ".join(SEGMENTATION_NETWORKS)
        raise UserError(
            f"sn.model_type is {path!r}: say one of {known}, or the import path of a class of your own, "
            "such as monai.networks.nets.BasicUNet"
        )
    with _current_folder_first():
        try:
            return getattr(importlib.import_module(module_name), class_name)
        except Exception as error:  # whatever a user's file raises when it runs
            raise UserError(
                f"sn.model_type {path!r} cannot be imported: {_reason(error)}; files in the current folder are found, "
                "and installed packages"
            ) from error


def _make_network(path: str, arguments: dict[str, Any]) -> nn.Module:
    network_class = import_network_class(path)
    with _current_folder_first():
        try:
            network = network_class(**arguments)
        except Exception as error:  # whatever a user's class raises on its arguments
            raise UserError(f"{path} cannot be built with sn.model_args {arguments}: {_reason(error)}") from error
    if not isinstance(network, nn.Module):
        raise UserError(f"sn.model_type {path!r} is no torch.nn.Module")
    return network


@contextmanager
def _current_folder_first() -> Iterator[None]:
    """Let Python search the current folder first, as `python -m` does and an installed command does not."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with suppress(ValueError):
            sys.path.remove(folder)


def _try_network(network: nn.Module, name: str, shape: tuple[int, int, int], num_classes: int) -> None:
    """Run a network as prediction and as training do; its statistics, modes and the random numbers stay as they are.

    Without gradients, but not in inference mode: a lazy layer makes its weights here, and they are to learn.
    """
    modes = [(module, module.training) for module in network.modules()]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        _try_forward(network.eval(), name, "prediction", (1, *shape), num_classes)
        buffers = [(place, buffer, buffer.clone()) for place, buffer in network.named_buffers()]
        _try_forward(network.train(), name, "training", (2, *shape), num_classes)
        for place, buffer, value in buffers:  # batch norm has taken the zeros into its statistics
            owner, _, leaf = place.rpartition(".")
            setattr(network.get_submodule(owner), leaf, buffer.copy_(value))
    for module, training in modes:
        module.training = training


def _try_forward(network: nn.Module, name: str, what: str, shape: tuple[int, ...], num_classes: int) -> None:
    try:
        logits = network(torch.zeros(shape))
    except Exception as error:  # whatever a user's network raises on an input
        raise UserError(
            f"{name} fails in {what} on an input of shape {shape}: {_reason(error)}; check sn.model_args"
        ) from error
    expected = (shape[0], num_classes, *shape[2:])
    got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if got != expected:
        raise UserError(
            f"{name} gives {got} in {what} for an input of shape {shape}, but logits of shape {expected} are needed: "
            "check sn.model_args, sn.output_channels and sn.contour_width, which adds a class"
        )


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
