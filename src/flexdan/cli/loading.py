"""Options and loading of a trained network, for the commands that use one."""

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flexdan.config.errors import UserError
from flexdan.config.views import Views

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from flexdan.config import RunConfig


def view_option(views: Views) -> str:
    """Return the option that asks for views, of which there are some."""
    return "--tta-turns" if views == "turns" else "--tta"


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `evaluate` and `predict` share."""
    add = parser.add_argument
    add("--weights", choices=("best", "last"), help="of the run folder; default: best")
    add("--tta", action="store_true", default=False, help="average over the image and its mirror images: four views")
    add(
        "--tta-turns",
        dest="tta",
        action="store_const",
        const="turns",
        help="and over the same after a quarter turn: eight views; for networks that were trained on turned images",
    )
    add(
        "--ensemble",
        type=Path,
        nargs="+",
        default=[],
        metavar="RUN",
        help="average with the networks of these runs, each at its own size; takes that many times as long",
    )
    add(
        "--scale",
        type=float,
        metavar="FACTOR",
        help="reduce (or enlarge) every image by this factor and slide a window over it; default: an image up to 1.25 "
        "times as high and wide as the training images is resized as a whole, as in training, and a window slides "
        "over a larger one, reduced as much as the training images were; a network that was trained with data.crop "
        "has a window slide over every image, reduced by data.reduce",
    )
    add("--overlap", type=float, default=0.25, help="share of the window by which neighbours overlap; default: 0.25")
    add("--device", choices=("auto", "cpu"), default="auto", help="auto: a GPU where there is one")
    add("--force", action="store_true", help="overwrite results that are there already")


@dataclass(frozen=True, kw_only=True)
class Segmenter:
    """A trained network on its device, with everything that belongs to using it.

    Args:
        network: images to logits; with test-time augmentation where that was asked for.
        config: the resolved settings of its training.
        weights: best, last, or the name of the checkpoint file that was given.
        epoch: after which its weights were taken.
        channels: of its input.
        num_classes: background included.
        image_size: height and width of its input.
        device: where it is.
        autocast: makes the context of a forward pass.
        segment: image uint8 (H, W, C) to probabilities float32 (K, H, W), or (K + 1, H, W) with contours.
    """

    network: "nn.Module"
    config: "RunConfig"
    weights: str
    epoch: int
    channels: int
    num_classes: int
    image_size: tuple[int, int]
    device: "torch.device"
    autocast: Callable[[], AbstractContextManager]
    segment: "Callable[[np.ndarray], np.ndarray]"

    @property
    def contours(self) -> bool:
        """Whether the network has one more class, of the contours of objects."""
        return self.config.sn.contour_width > 0


def weights_name(options: argparse.Namespace) -> str:
    """Return which weights the options name: best, last, or the name (without suffix) of a checkpoint file.

    Raises:
        UserError: if there is a checkpoint file and --weights too.
    """
    if not options.run.is_file():
        return options.weights or "best"
    if options.weights:
        raise UserError(
            f"{options.run} is a checkpoint: leave --weights {options.weights} out, or name the run folder instead"
        )
    return options.run.stem


def run_folder(options: argparse.Namespace) -> Path:
    """Return the folder of the run that the options name, also where they name a checkpoint in it."""
    return options.run.parent if options.run.is_file() else options.run


def load_segmenter(options: argparse.Namespace) -> Segmenter:
    """Load the network of a run as the options say, and with it those that are averaged with it.

    Raises:
        UserError: if a run has no such weights, an option is out of its range, or the networks do not go together.
    """
    first = _load_one(options)
    if not options.ensemble:
        return first
    from flexdan.inference import EnsembleMean, segment_by_all

    everyone = [first]
    for run in options.ensemble:
        everyone.append(_load_one(argparse.Namespace(**{**vars(options), "run": run})))
        _refuse_other_kind(options.run, first, run, everyone[-1])
    return replace(
        first,
        network=EnsembleMean([one.network for one in everyone], [one.image_size for one in everyone]),
        segment=partial(segment_by_all, [one.segment for one in everyone]),
    )


def _refuse_other_kind(run: Path, first: Segmenter, other_run: Path, other: Segmenter) -> None:
    """Raise a `UserError` if the results of two networks cannot be averaged."""
    kinds = [
        {
            "channels": one.channels,
            "classes": one.num_classes,
            "contours": "yes" if one.contours else "no",
            "data.crop": one.config.data.crop,
            "data.intensity": one.config.data.intensity,
            "data.mean and data.std": (one.config.data.mean, one.config.data.std),
        }
        for one in (first, other)
    ]
    for name, value in kinds[0].items():
        if value != kinds[1][name]:
            raise UserError(
                f"--ensemble has {other_run} with {name} {kinds[1][name]}, where {run} has {value}: only networks that "
                "see and say the same can be averaged"
            )
    if first.config.data.crop:
        raise UserError(
            f"{run} was trained with data.crop: networks that see windows cannot be averaged; leave --ensemble out"
        )


def _load_one(options: argparse.Namespace) -> Segmenter:
    """Load one network."""
    weights = weights_name(options)
    if options.scale is not None and not 0 < options.scale <= 16:
        raise UserError(f"--scale is {options.scale}: it must be above 0 and at most 16")
    if not 0 <= options.overlap <= 0.9:
        raise UserError(f"--overlap is {options.overlap}: it must be 0 to 0.9")

    import torch

    from flexdan.config import network_shape
    from flexdan.engine.checkpoint import load_run
    from flexdan.engine.precision import make_autocast, resolve_precision
    from flexdan.inference import over_views, predict_image

    loaded = load_run(options.run, options.weights or "best")
    config = loaded.config
    channels, classes, size = network_shape(config)
    found = torch.accelerator.current_accelerator(check_available=True) if options.device == "auto" else None
    device = found or torch.device("cpu")
    layout = torch.channels_last if config.training.channels_last else torch.contiguous_format  # as in training
    network = loaded.network.to(device=device, memory_format=layout)  # type: ignore[call-overload]
    autocast = make_autocast(resolve_precision(config.training.precision, device.type), device.type)
    segment = partial(
        predict_image,
        network,
        image_size=size,
        native_size=loaded.native_size,
        mean=config.data.mean,
        std=config.data.std,
        tta=options.tta,
        overlap=options.overlap,
        scale=options.scale or (config.data.crop_reduce and 1 / config.data.crop_reduce),
        device=device,
        autocast=autocast,
    )
    return Segmenter(
        network=over_views(network, options.tta),
        config=config,
        weights=weights,
        epoch=loaded.epoch,
        channels=channels,
        num_classes=classes,
        image_size=size,
        device=device,
        autocast=autocast,
        segment=segment,
    )
