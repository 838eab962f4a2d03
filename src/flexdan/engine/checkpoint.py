"""Checkpoints: one dict of tensors and plain values, written atomically, loaded without running any code."""

import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from flexdan import __version__
from flexdan.config import RunConfig, UserError, config_from_mapping, network_outputs, network_shape, to_dict
from flexdan.config.files import atomic_path
from flexdan.models import build_segmentation_network

FORMAT = 1
CONTENT = {"config", "native_size", "epoch", "history", "sn", "training"}


@dataclass(frozen=True, kw_only=True)
class LoadedRun:
    """A trained network and what is needed to use it.

    Args:
        network: the segmentation network, in evaluation mode, fp32, on the CPU.
        config: the settings of its training, without any auto in the image size and the channels.
        native_size: height and width of what it saw at once, in pixels of the images as they are: the median of the
            training images, or, with `data.crop`, the window.
        epoch: after which its weights were taken.
    """

    network: nn.Module
    config: RunConfig
    native_size: tuple[int, int]
    epoch: int


def seen_size(config: RunConfig, native_size: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width of what a network sees at once, in pixels of the images as they are.

    Args:
        config: resolved.
        native_size: median height and width of the training images, which are seen as a whole without `data.crop`.
    """
    _, _, (height, width) = network_shape(config)
    factor = config.data.crop_reduce
    return native_size if factor is None else (round(height * factor), round(width * factor))


def save_checkpoint(
    path: Path,
    networks: Mapping[str, nn.Module],
    *,
    config: RunConfig,
    native_size: tuple[int, int],
    epoch: int,
    history: list[dict[str, Any]],
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint under a temporary name, make sure that it is on disk, and rename it.

    Args:
        path: the file.
        networks: sn, the segmentation network; where they are there and training is to go on from here, en, the
            evaluation network, and average, that of the weights.
        config: the resolved settings.
        native_size: see `LoadedRun`.
        epoch: the last finished epoch.
        history: metrics of every epoch so far.
        training: state of the optimisers and schedulers, where training is to go on from here.
    """
    content = {
        "format": FORMAT,
        "flexdan": __version__,
        "config": to_dict(config),
        "native_size": list(native_size),
        "epoch": epoch,
        "history": history,
        "en": {},
        **{name: network.state_dict() for name, network in networks.items()},
        "training": dict(training or {}),
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises:
        UserError: if the file is missing, broken, or no checkpoint of ours.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"there is no checkpoint {path}") from error
    except (
        OSError,
        RuntimeError,
        EOFError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        pickle.UnpicklingError,
    ) as error:
        if isinstance(error, OSError) and error.filename:  # of the system; torch's own about a broken file has no name
            raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
        raise UserError(f"{path} is broken, or no checkpoint of FlexDAN") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or not set(content) >= CONTENT:
        raise UserError(f"{path} is no checkpoint that FlexDAN {__version__} reads")
    return content


def load_run(run: Path, weights: Literal["best", "last"] = "best") -> LoadedRun:
    """Load the trained network of a run.

    Args:
        run: the run folder, or a checkpoint file.
        weights: best (by the validation metric) or last.

    Raises:
        UserError: if the run does not exist or has no such checkpoint yet.
    """
    content = load_checkpoint(checkpoint_path(Path(run), weights))
    config, _ = config_from_mapping(content["config"])
    channels, _, size = network_shape(config)
    network = build_segmentation_network(
        config.sn,
        input_channels=channels,
        num_classes=network_outputs(config),
        image_size=size,
        normalisation=(config.data.mean, config.data.std),
    )
    load_weights(network, trained_weights(content), f"the network of {run}")
    height, width = content["native_size"]
    return LoadedRun(network=network.eval(), config=config, native_size=(height, width), epoch=content["epoch"])


def trained_weights(content: Mapping[str, Any]) -> Mapping[str, torch.Tensor]:
    """Return the weights of a checkpoint that are to be used: the average, where training keeps one."""
    return content.get("average") or content["sn"]


def load_initial_weights(network: nn.Module, run: Path, name: Literal["sn", "en"]) -> None:
    """Start a network from that of another run, the SN as in its best epoch, the EN as in its last one.

    Raises:
        UserError: if the run has no checkpoint or no such network, or its network is another one.
    """
    which: Literal["best", "last"] = "best" if name == "sn" else "last"  # no validation metric says how good an EN is
    content = load_checkpoint(checkpoint_path(run, which))
    weights = trained_weights(content) if name == "sn" else content.get(name)
    what = {"sn": "segmentation network", "en": "evaluation network"}[name]
    if not weights:
        raise UserError(
            f"init_{name} is {run}, which has no {what}: name the folder of a run with an EN, such as strategy dan"
        )
    load_weights(network, weights, f"init_{name} is {run}, but its {what}", name)


def load_weights(network: nn.Module, weights: Mapping[str, torch.Tensor], whose: str, section: str = "sn") -> None:
    """Give a network the weights of another of the same build.

    Raises:
        UserError: if names or shapes differ; the message starts with `whose` and names the section of the settings.
    """
    own = network.state_dict()
    differing = [name for name in own if name not in weights or weights[name].shape != own[name].shape]
    differing += [name for name in weights if name not in own]
    if differing:
        raise UserError(
            f"{whose} is another one than these settings build: {len(differing)} tensors differ, the first is "
            f"{differing[0]}; the {section} settings must be those of its config.yaml"
        )
    network.load_state_dict(weights)


def checkpoint_path(run: Path, weights: Literal["best", "last"]) -> Path:
    """Return the checkpoint of a run folder, or the file itself where a file is given.

    Raises:
        UserError: if there is none.
    """
    if run.is_file():
        return run
    path = run / f"{weights}.ckpt"
    if not path.is_file():
        what = "has no finished epoch yet" if (run / "config.yaml").is_file() else "is no run folder"
        raise UserError(f"{run} {what}: there is no {path.name} in it; `flexdan train -o {run}` makes one")
    return path
