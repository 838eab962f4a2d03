"""Options of the post-processing, for the commands that make objects."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from flexdan.config import PostprocessingConfig, Tuning, UserError, read_postprocessing, usual_postprocessing

ABOUT = """\
How probabilities become objects. What is not said is as --tune-postprocessing of `flexdan evaluate` has found it for
the run, or else: threshold 0.5, holes stay, nothing is removed, touching objects stay one."""
IDLE_UNLESS = {
    "split_depth": ("distance",),
    "marker_threshold": ("marker",),
    "inside_threshold": ("contour",),
    "min_middle": ("marker", "contour"),
}


def add_postprocessing_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `evaluate` and `predict` share: they go over what the run keeps."""
    add = parser.add_argument_group("post-processing", ABOUT).add_argument
    add("--threshold", type=float, metavar="P", help="foreground is what is more probable than this")
    add("--fill-holes", action=argparse.BooleanOptionalAction, help="fill what lies inside of an object")
    add("--min-size", type=int, metavar="PIXELS", help="remove objects of fewer pixels; 0: none")
    add(
        "--split-objects",
        choices=("none", "distance", "marker", "contour"),
        help="part touching objects: at the necks of their shape, between regions of high probability, or at the "
        "contours that a network with sn.contour_width sees (which is usual with it)",
    )
    add("--split-depth", type=float, metavar="PIXELS", help="for distance: how much narrower a neck must be; usual: 2")
    add("--marker-threshold", type=float, metavar="P", help="for marker: regions above it are middles; usual: 0.8")
    add("--inside-threshold", type=float, metavar="P", help="for contour: insides above it are middles; usual: 0.5")
    add("--min-middle", type=int, metavar="PIXELS", help="for marker, contour: smaller ones are no middles; usual: 0")


def given_postprocessing(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of the post-processing that the options name."""
    names = ("threshold", "fill_holes", "min_size", "split_objects", *IDLE_UNLESS)
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    return {"split" if name == "split_objects" else name: value for name, value in given.items()}


def option_name(setting: str) -> str:
    """Return the option that a setting of the post-processing has; --split is that of the manifest."""
    return "--split-objects" if setting == "split" else f"--{setting.replace('_', '-')}"


def postprocessing_settings(
    options: argparse.Namespace, folder: Path, contours: bool
) -> tuple[PostprocessingConfig, str]:
    """Return the post-processing that the options and the run folder ask for, and where it comes from.

    Args:
        options: those of `add_postprocessing_options` and of `add_network_options`.
        folder: of the run.
        contours: whether the network has a class for contours.

    Returns:
        the settings, and run, options, run and options, or default.

    Raises:
        UserError: if the file of the run is broken, or options have no effect or do not fit.
    """
    settings, source, tuning = _chosen(options, folder, contours)
    if settings.split == "contour" and not contours:
        raise UserError(
            "--split-objects is contour, but the network has no class for contours: train one with --sn.contour_width "
            "2, or say none, distance or marker"
        )
    if tuning:
        _tell_difference(tuning, options)
    return settings, source


def check_postprocessing(options: argparse.Namespace, folder: Path) -> None:
    """Raise a `UserError` as `postprocessing_settings` does, as far as it can be told without the network."""
    _chosen(options, folder, contours=given_postprocessing(options).get("split") in (None, "contour"))


def _chosen(
    options: argparse.Namespace, folder: Path, contours: bool
) -> tuple[PostprocessingConfig, str, Tuning | None]:
    """Return the settings, where they come from, and how those of the run were found."""
    stored, given = read_postprocessing(folder), given_postprocessing(options)
    settings = replace(stored[0] if stored else usual_postprocessing(contours), **given)
    for name, splits in IDLE_UNLESS.items():
        if name in given and settings.split not in splits:
            raise UserError(
                f"{option_name(name)} is {given[name]}, but has no effect with --split-objects {settings.split}: say "
                f"--split-objects {splits[0]} too, or leave it out"
            )
    sources = ["run"] * (stored is not None) + ["options"] * bool(given)
    return settings, " and ".join(sources) or "default", stored[1] if stored else None


def _tell_difference(tuning: Tuning, options: argparse.Namespace) -> None:
    """Warn if the network is used in another way than when its post-processing was tuned."""
    from flexdan.cli.loading import weights_name

    used = {"weights": weights_name(options), "tta": options.tta, "scale": options.scale}
    used["networks"] = 1 + len(options.ensemble)
    other = [f"{name} {getattr(tuning, name)}" for name, value in used.items() if getattr(tuning, name) != value]
    if other:
        print(
            f"note: the post-processing of the run was tuned with {', '.join(other)}; this may need another one",
            file=sys.stderr,
        )
