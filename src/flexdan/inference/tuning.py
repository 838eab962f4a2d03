"""Finding the post-processing that makes the objects in annotated images best: coordinate descent over small grids."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from flexdan.config import PostprocessingConfig, UserError
from flexdan.inference.instances import to_instances
from flexdan.metrics import LOWER_IS_BETTER, object_counts, object_metrics

OBJECTIVE = "f1+object_dice"
ROUNDS = 4
EQUAL = 1e-9  # values that differ by less are equal

# of each grid the simplest value first: it wins among equals
THRESHOLDS = (0.5, 0.45, 0.55, 0.4, 0.6, 0.35, 0.65, 0.3, 0.7)
SIZES = (0.02, 0.05, 0.1, 0.2, 0.35)  # of the median area of a true object
MIDDLES = (0.05, 0.2, 0.4)  # of that area, for the smallest middle of an object
DEPTHS = (0.4, 0.2, 0.1, 0.05)  # of the radius of a disc of that area
MARKERS = (0.8, 0.9, 0.7, 0.95, 0.98)
INSIDES = (0.5, 0.6, 0.4, 0.7, 0.8, 0.9)
PARTING = {
    "none": (),
    "distance": ("split_depth",),
    "marker": ("marker_threshold", "min_middle"),
    "contour": ("inside_threshold", "min_middle"),
}
OF_PARTING = ("split_depth", "marker_threshold", "inside_threshold", "min_middle")
Changes = Mapping[str, Any]


@dataclass(frozen=True)
class TuningTrial:
    """Settings that were tried, and the value of the objective with them."""

    settings: PostprocessingConfig
    value: float


def tune(
    probabilities: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    objective: str = OBJECTIVE,
    start: PostprocessingConfig | None = None,
    contours: bool = False,
    track: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> tuple[PostprocessingConfig, list[TuningTrial]]:
    """Return the post-processing with the best objective, pooled over the objects of all images.

    One setting after the other takes the best value of its grid while the others stay, until none changes or four
    rounds are over. Among equals the simplest wins: the threshold nearest to 0.5, no filling, no removal, no parting.
    Nothing is random, and no settings are measured twice.

    Args:
        probabilities: of each image, float (K, H, W); float16 takes half of the memory, and is good to 0.0005.
        truths: true objects of each image, integers (H, W), 0 is background, below 0 does not count.
        objective: a metric of `object_metrics`, or several with a plus between them, whose mean counts.
        start: where to begin; None: the defaults.
        contours: whether the last of the K is that of contours.
        track: wraps the steps of a round, for a progress bar.

    Returns:
        The best settings, and what was tried: the start first.

    Raises:
        UserError: if the objective is unknown, or no image has an object.
    """
    measure, sign = _objective(objective)
    steps = [(grid, changes) for grid in _grids(_median_area(truths), contours) for changes in grid]
    tried: dict[PostprocessingConfig, TuningTrial] = {}

    def attempt(settings: PostprocessingConfig) -> TuningTrial:
        if settings not in tried:
            counts = [
                object_counts(
                    np.maximum(truth, 0),
                    to_instances(one, settings, contours) * (truth >= 0),
                    distances="hausdorff" in objective,
                )
                for one, truth in zip(probabilities, truths, strict=True)
            ]
            tried[settings] = TuningTrial(settings, measure(_pooled(counts)))
        return tried[settings]

    best = attempt(_without_idle(start or PostprocessingConfig()))
    for _ in range(ROUNDS):
        before = best
        for grid, changes in track(steps):
            values = asdict(best.settings) | changes
            if values["split"] == "marker" and values["marker_threshold"] <= values["threshold"]:
                continue  # which no settings may have
            found = attempt(_without_idle(PostprocessingConfig(**values)))
            gain = sign * (found.value - best.value)
            simpler = _place(grid, found.settings) < _place(grid, best.settings)
            if gain > EQUAL or (gain >= -EQUAL and simpler):
                best = found
        if best == before:
            break
    return best.settings, list(tried.values())


def check_objective(text: str) -> None:
    """Raise a `UserError` if a text names no objective."""
    _objective(text)


def _objective(text: str) -> tuple[Callable[[Mapping[str, float]], float], int]:
    """Return what an objective is of pooled counts, and 1 if more of it is better, else -1."""
    nothing = np.zeros((1, 1), np.int32)
    known = object_metrics(object_counts(nothing, nothing))
    names = [name.strip() for name in text.split("+")]
    if unknown := [name for name in names if name not in known]:
        raise UserError(
            f"the metric to tune for is {text!r}, but {unknown[0]!r} is none of objects: they are {', '.join(known)}; "
            f"say one, or several whose mean counts, such as {OBJECTIVE}"
        )
    lower = [name for name in names if name in LOWER_IS_BETTER]
    if lower and len(names) > 1:
        raise UserError(
            f"the metric to tune for is {text!r}, but {lower[0]} is better when lower and has another unit: it cannot "
            "be averaged with others, so say it alone"
        )

    def measure(counts: Mapping[str, float]) -> float:
        metrics = object_metrics(counts)
        return float(np.mean([metrics[name] for name in names]))

    return measure, -1 if lower else 1


def _pooled(counts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: math.fsum(one[name] for one in counts) for name in counts[0]}


def _median_area(truths: Sequence[np.ndarray]) -> float:
    """Return the median area of the true objects, in pixels."""
    areas = [np.unique(truth[truth > 0], return_counts=True)[1] for truth in truths]
    if not sum(map(len, areas)):
        raise UserError(f"there is no object in {len(truths)} masks: post-processing cannot be tuned on them")
    return float(np.median(np.concatenate(areas)))


def _grids(area: float, contours: bool) -> list[list[Changes]]:
    """Return what is tried of each coordinate, the simplest first.

    The threshold comes last: earlier, it would make up for objects that are not parted yet, and stay there.
    """
    radius = math.sqrt(area / math.pi)
    sizes = dict.fromkeys([0, *(round(share * area) for share in SIZES)])
    middles = dict.fromkeys([0, *(round(share * area) for share in MIDDLES)])
    insides = INSIDES if contours else ()
    depths = dict.fromkeys(float(max(1, round(share * radius))) for share in DEPTHS)
    return [
        [{"fill_holes": value} for value in (False, True)],
        [{"min_size": value} for value in sizes],
        [
            _parting("none"),
            *(_parting("contour", inside_threshold=one, min_middle=size) for size in middles for one in insides),
            *(_parting("distance", split_depth=value) for value in depths),
            *(_parting("marker", marker_threshold=one, min_middle=size) for size in middles for one in MARKERS),
        ],
        [{"threshold": value} for value in THRESHOLDS],
    ]


def _parting(split: str, **thresholds: float) -> Changes:
    usual = PostprocessingConfig()
    return {"split": split} | {name: getattr(usual, name) for name in OF_PARTING} | thresholds


def _without_idle(settings: PostprocessingConfig) -> PostprocessingConfig:
    """Give settings without effect their default, so that what does the same is the same."""
    usual = PostprocessingConfig()
    names = [name for name in OF_PARTING if name not in PARTING[settings.split]]
    return replace(settings, **{name: getattr(usual, name) for name in names})


def _place(grid: Sequence[Changes], settings: PostprocessingConfig) -> int:
    """Return where in its grid a setting stands; one of the user's own comes last."""
    values = ({name: getattr(settings, name) for name in changes} for changes in grid)
    return next((place for place, (own, one) in enumerate(zip(values, grid, strict=True)) if own == one), len(grid))
