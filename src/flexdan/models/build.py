"""Building networks from settings; the one place of this room that reads a configuration."""

import importlib
from typing import Any

import torch
from torch import nn

from flexdan.config import SegmentationNetworkConfig, UserError
from flexdan.models.segmentation import ConcatenationFCN, ZhengSN

SEGMENTATION_NETWORKS = {"ConcatenationFCN": ConcatenationFCN, "ZhengSN": ZhengSN}


def build_segmentation_network(
    settings: SegmentationNetworkConfig, *, input_channels: int, num_classes: int, image_size: tuple[int, int]
) -> nn.Module:
    """Build the segmentation network of a configuration.

    Args:
        settings: the `sn` section.
        input_channels: channels of the images.
        num_classes: number of classes, background included.
        image_size: height and width on which a network of the user's own is tried once.

    Returns:
        A network that maps (N, C, H, W) images to (N, classes, H, W) logits, with fresh weights.

    Raises:
        UserError: for a network that is not known, cannot be imported or does not give such logits.
    """
    channels = {"input_channels": input_channels, "output_channels": num_classes}
    if settings.model_type not in SEGMENTATION_NETWORKS:
        network = _import_network(settings.model_type, settings.model_args)
        _try_network(network, settings.model_type, (1, input_channels, *image_size), num_classes)
        return network
    if settings.model_args:
        raise UserError(
            f"sn.model_args is {settings.model_args}: {settings.model_type} takes its arguments from the other "
            "settings of the section; model_args is for a network of your own"
        )
    if settings.model_type == "ZhengSN":
        return ZhengSN(**channels)
    return ConcatenationFCN(
        **channels,
        input_block_depth=settings.input_block_depth,
        num_fcn_blocks=settings.num_fcn_blocks,
        block_depth=settings.block_depth,
        first_layer_out_channels=settings.first_layer_out_channels,
        block_pattern=settings.block_pattern,
        upsampling_pattern=settings.upsampling_pattern,
        pool_first_block=settings.pool_first_block,
    )


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def _import_network(path: str, arguments: dict[str, Any]) -> nn.Module:
    module_name, _, class_name = path.rpartition(".")
    if not module_name:
        known = ", ".join(SEGMENTATION_NETWORKS)
        raise UserError(
            f"sn.model_type is {path!r}: say one of {known}, or the import path of a class of your own, "
            "such as monai.networks.nets.BasicUNet"
        )
    try:
        network_class = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"sn.model_type {path!r} cannot be imported: {error}") from error
    try:
        network = network_class(**arguments)
    except Exception as error:  # whatever a user's class raises on its arguments
        raise UserError(f"{path} cannot be built with sn.model_args {arguments}: {error}") from error
    if not isinstance(network, nn.Module):
        raise UserError(f"sn.model_type {path!r} is no torch.nn.Module")
    return network


def _try_network(network: nn.Module, name: str, shape: tuple[int, ...], num_classes: int) -> None:
    training = network.training
    try:
        with torch.inference_mode():
            logits = network.eval()(torch.zeros(shape))
    except Exception as error:  # whatever a user's network raises on an input
        raise UserError(f"{name} fails on an input of shape {shape}: {error}; check sn.model_args") from error
    finally:
        network.train(training)
    expected = (shape[0], num_classes, *shape[2:])
    got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if got != expected:
        raise UserError(
            f"{name} gives {got} for an input of shape {shape}, but logits of shape {expected} are needed: "
            "check sn.model_args and sn.output_channels"
        )
