"""Options of the post-processing, for the commands that make objects."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from flexdan.config import PostprocessingConfig, Tuning, UserError, read_postprocessing

ABOUT = """\
How probabilities become objects. What is not said is as --tune-postprocessing of `flexdan evaluate` has found it for
the run, or else: threshold 0.5, holes stay, nothing is removed, touching objects stay one."""
IDLE_UNLESS = {"split_depth": "distance", "marker_threshold": "marker"}


def add_postprocessing_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `evaluate` and `predict` share: they go over what the run keeps."""
    add = parser.add_argument_group("post-processing", ABOUT).add_argument
    add("--threshold", type=float, metavar="P", help="foreground is what is more probable than this")
    add("--fill-holes", action=argparse.BooleanOptionalAction, help="fill what lies inside of an object")
    add("--min-size", type=int, metavar="PIXELS", help="remove objects of fewer pixels; 0: none")
    add(
        "--split-objects",
        choices=("none", "distance", "marker"),
        help="part touching objects: at the necks of their shape, or between regions of high probability",
    )
    add("--split-depth", type=float, metavar="PIXELS", help="for distance: how much narrower a neck must be; usual: 2")
    add("--marker-threshold", type=float, metavar="P", help="for marker: regions above it are middles; usual: 0.8")


def given_postprocessing(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of the post-processing that the options name."""
    names = ("threshold", "fill_holes", "min_size", "split_objects", "split_depth", "marker_threshold")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    return {"split" if name == "split_objects" else name: value for name, value in given.items()}


def option_name(setting: str) -> str:
    """Return the option that a setting of the post-processing has; --split is that of the manifest."""
    return "--split-objects" if setting == "split" else f"--{setting.replace('_', '-')}"


def postprocessing_settings(options: argparse.Namespace, folder: Path) -> tuple[PostprocessingConfig, str]:
    """Return the post-processing that the options and the run folder ask for, and where it comes from.

    Args:
        options: those of `add_postprocessing_options` and of `add_network_options`.
        folder: of the run.

    Returns:
        the settings, and run, options, run and options, or default.

    Raises:
        UserError: if the file of the run is broken, or options have no effect or do not fit.
    """
    stored, given = read_postprocessing(folder), given_postprocessing(options)
    settings = replace(stored[0] if stored else PostprocessingConfig(), **given)
    for name, split in IDLE_UNLESS.items():
        if name in given and settings.split != split:
            raise UserError(
                f"{option_name(name)} is {given[name]}, but has no effect with --split-objects {settings.split}: say "
                f"--split-objects {split} too, or leave it out"
            )
    if stored:
        _tell_difference(stored[1], options)
    sources = ["run"] * (stored is not None) + ["options"] * bool(given)
    return settings, " and ".join(sources) or "default"


def _tell_difference(tuning: Tuning, options: argparse.Namespace) -> None:
    """Warn if the network is used in another way than when its post-processing was tuned."""
    from flexdan.cli.loading import weights_name

    used = {"weights": weights_name(options), "tta": options.tta, "scale": options.scale}
    other = [f"{name} {getattr(tuning, name)}" for name, value in used.items() if getattr(tuning, name) != value]
    if other:
        print(
            f"note: the post-processing of the run was tuned with {', '.join(other)}; this may need another one",
            file=sys.stderr,
        )
