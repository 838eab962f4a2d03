"""Settings of the post-processing that turns class probabilities into objects, and the file of a run that keeps them.

They are no settings of the training: `flexdan evaluate --tune-postprocessing` finds them for a trained network.
"""

import json
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from flexdan.config.errors import UserError
from flexdan.config.files import atomic_path
from flexdan.config.views import Views

FILE_NAME = "postprocessing.json"
_VALUES: dict[Any, tuple[tuple[type, ...], str]] = {  # type of a field -> what JSON may have for it, and in words
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    float | None: ((int, float, type(None)), "a number or null"),
    str: ((str,), "a text"),
    Views: ((bool, str), "true, false or turns"),
}


@dataclass(frozen=True, kw_only=True)
class PostprocessingConfig:
    """How the probabilities of the classes become objects; see `flexdan.inference.to_instances`.

    Args:
        threshold: a pixel is foreground if its foreground probability is above it; with two classes 0.5 is where the
            foreground becomes the more probable one.
        fill_holes: fill what lies inside of an object.
        min_size: objects of fewer pixels, at full resolution, are removed; 0: none.
        split: how touching objects are parted; none: they stay one; distance: at the necks of their shape; marker:
            between regions of high foreground probability; contour: at the contours that a network with
            sn.contour_width sees.
        split_depth: for distance: how many pixels narrower, from its middle to its edge, the neck must be than both
            parts; the larger, the fewer are parted.
        marker_threshold: for marker: regions with a foreground probability above it are the middles of objects.
        inside_threshold: for contour: regions where the probability of the inside is above it are the middles.
        min_middle: for marker and contour: such regions of fewer pixels are the middle of nothing; 0: all are.
    """

    threshold: float = 0.5
    fill_holes: bool = False
    min_size: int = 0
    split: Literal["none", "distance", "marker", "contour"] = "none"
    split_depth: float = 2.0
    marker_threshold: float = 0.8
    inside_threshold: float = 0.5
    min_middle: int = 0

    def __post_init__(self):
        if not 0 < self.threshold < 1:
            raise UserError(f"threshold is {self.threshold}: it is a probability, above 0 and below 1")
        if self.min_size < 0:
            raise UserError(f"min_size is {self.min_size}: it must be 0 (no object is removed) or more pixels")
        if self.min_middle < 0:
            raise UserError(f"min_middle is {self.min_middle}: it must be 0 (every middle counts) or more pixels")
        choices = get_args(get_type_hints(type(self))["split"])
        if self.split not in choices:
            raise UserError(f"split is {self.split!r}: it must be one of {', '.join(choices)}")
        if not 0 < self.split_depth < float("inf"):
            raise UserError(f"split_depth is {self.split_depth}: it must be above 0 pixels")
        if not 0 < self.marker_threshold < 1:
            raise UserError(f"marker_threshold is {self.marker_threshold}: it is a probability, above 0 and below 1")
        if not 0 < self.inside_threshold < 1:
            raise UserError(f"inside_threshold is {self.inside_threshold}: it is a probability, above 0 and below 1")
        if self.split == "marker" and self.marker_threshold <= self.threshold:
            raise UserError(
                f"marker_threshold is {self.marker_threshold}, but threshold is {self.threshold}: the middles of "
                "objects are more probable than the rest of them, so it must be above threshold"
            )

    def __str__(self) -> str:
        """Say the settings that have an effect, in words."""
        middles = f" of at least {self.min_middle} pixels" * (self.min_middle > 0)
        parting = {
            "none": "touching objects stay one",
            "distance": f"parted at necks deeper than {self.split_depth:g} pixels",
            "marker": f"parted between regions above {self.marker_threshold:g}{middles}",
            "contour": f"parted at contours, between insides above {self.inside_threshold:g}{middles}",
        }
        words = [f"threshold {self.threshold:g}", *(["holes filled"] * self.fill_holes)]
        words += [f"at least {self.min_size} pixels"] if self.min_size else []
        return ", ".join([*words, parting[self.split]])


def usual_postprocessing(contours: bool) -> PostprocessingConfig:
    """Return the post-processing of a run that keeps none, by whether its network has a class for contours."""
    return PostprocessingConfig(split="contour" if contours else "none")


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How the post-processing of a run was found.

    Args:
        split: of the manifest, on which it was tuned.
        manifest: the file.
        manifest_sha256: of the file.
        images: on which it was tuned.
        weights: of the network: best, last, or the name of a checkpoint.
        tta: of which views the mean was taken.
        scale: as given by the user, or None.
        metric: what was to become best.
        before: its value with the settings at the start.
        after: its value with those found.
        trials: settings that were tried.
        networks: whose mean was taken.
    """

    split: str
    manifest: str
    manifest_sha256: str
    images: int
    weights: str
    tta: Views
    scale: float | None
    metric: str
    before: float
    after: float
    trials: int
    networks: int = 1


def write_postprocessing(run: Path, settings: PostprocessingConfig, tuning: Tuning) -> Path:
    """Write the post-processing of a run into its folder, in place of an earlier one; returns the file."""
    target = run / FILE_NAME
    with atomic_path(target) as path:
        text = json.dumps({"settings": asdict(settings), "tuning": asdict(tuning)}, indent=2, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")
    return target


def read_postprocessing(run: Path) -> tuple[PostprocessingConfig, Tuning] | None:
    """Read the post-processing of a run folder; None if it has none.

    Raises:
        UserError: if the file is broken.
    """
    path = run / FILE_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # undecodable text and broken JSON are ValueErrors
        raise _broken(path, error.strerror if isinstance(error, OSError) else error) from error
    if not isinstance(content, dict) or set(content) != {"settings", "tuning"}:
        raise _broken(path, "it must hold settings and tuning")
    try:
        settings = PostprocessingConfig(**_checked(PostprocessingConfig, content["settings"], "settings"))
        return settings, Tuning(**_checked(Tuning, content["tuning"], "tuning"))
    except UserError as error:
        raise _broken(path, error) from error


def _checked(kind: type, values: Any, what: str) -> dict[str, Any]:
    """Return the values if they are fields of a dataclass, all that have no default, each of its type."""
    names = [field.name for field in fields(kind)]
    needed = {field.name for field in fields(kind) if field.default is MISSING}  # files of before lack newer settings
    if not isinstance(values, dict) or not needed <= set(values) <= set(names):
        raise UserError(f"{what} must hold {', '.join(names)}, and nothing else")
    types_of = get_type_hints(kind)
    for name, value in values.items():
        kind_of_value = types_of[name]
        types, words = _VALUES.get(kind_of_value, _VALUES[str])
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise UserError(f"{name} is {value!r}: it must be {words}")
    return values


def _broken(path: Path, reason: object) -> UserError:
    return UserError(
        f"{path} is no post-processing of a run: {reason}; delete it, or tune anew with "
        "`flexdan evaluate --tune-postprocessing`"
    )
