"""A comparison of configurations: their figures, their differences from a baseline, and whether it is fair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from flexdan.config import UserError
from flexdan.metrics import Scores, resample
from flexdan.report.checks import Check
from flexdan.report.configurations import Configuration
from flexdan.report.fairness import check_fairness
from flexdan.report.paired import WAYS, Difference, Metric, differences

DEFAULT: tuple[Metric, ...] = (
    *(("objects", "f1"), ("objects", "object_dice"), ("objects", "object_hausdorff")),
    *(("full_resolution", "dice"), ("full_resolution", "iou")),
)
FIRST_LEVELS = ("full_resolution", "objects", "calibration", "network_size")  # where a name without level is looked up
Spread = tuple[float, float | None]  # mean and standard deviation over seeds


@dataclass(frozen=True, kw_only=True)
class Part:
    """The images of one grade or group.

    Args:
        name: of the grade or group.
        images: how many.
        differences: from the baseline, by configuration.
    """

    name: str
    images: int
    differences: Mapping[str, Sequence[Difference]]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What came out.

    Args:
        split: that was measured.
        images: how many.
        configurations: in their order.
        baseline: name of the one that the others are compared with.
        metrics: level and name.
        figures: of each configuration, by level, name and way.
        differences: of each other configuration that shares a seed with the baseline.
        parts: the same by grade or group, where that was asked for.
        resamples: of the bootstrap.
        clusters: whether groups were resampled, not single images.
        groups: how many groups the images have, such as patients; 0: none.
        checks: lines of the fair-comparison check.
    """

    split: str
    images: int
    configurations: Sequence[Configuration]
    baseline: str
    metrics: Sequence[Metric]
    figures: Mapping[str, Mapping[tuple[str, str, str], Spread]]
    differences: Mapping[str, Sequence[Difference]]
    resamples: int
    clusters: bool
    groups: int
    checks: Sequence[Check]
    parts: Sequence[Part] = field(default=())

    def find(self, name: str, level: str, metric: str, way: str) -> Difference | None:
        """Return a difference of a configuration from the baseline; None where there is none."""
        wanted = (level, metric, way)
        found = self.differences.get(name, ())
        return next((one for one in found if (one.level, one.metric, one.way) == wanted), None)


def choose_metrics(scores: Scores, names: Sequence[str] = ()) -> list[Metric]:
    """Return the metrics of some names.

    Args:
        scores: of any of the runs.
        names: such as f1 or full_resolution.dice; all: every one; none: `DEFAULT`, as far as they were counted.

    Raises:
        UserError: for an unknown name.
    """
    there = [(level, name) for level in FIRST_LEVELS if level in scores.levels for name in scores.per_image(level)]
    if "all" in names:
        return sorted(there, key=lambda one: scores.levels.index(one[0]))
    found = [one for one in DEFAULT if one in there] if not names else []
    for name in names:
        matching = [one for one in there if name in (one[1], ".".join(one))]
        if not matching:
            known = ", ".join(dict.fromkeys(one[1] for one in there))
            raise UserError(
                f"--metric is {name!r}: it must be all or one of {known}; or LEVEL.NAME, LEVEL one of "
                f"{', '.join(scores.levels)}"
            )
        found.append(matching[0])
    return list(dict.fromkeys(found))


def compare_configurations(
    configurations: Sequence[Configuration],
    baseline: Configuration,
    metrics: Sequence[Metric],
    *,
    resamples: int,
    seed: int = 0,
    clusters: bool = False,
    by: Literal["", "grade", "group"] = "",
) -> Comparison:
    """Compare configurations with one of them.

    Args:
        configurations: measured on the same images in the same order.
        baseline: one of them.
        metrics: level and name.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        clusters: resample whole groups of images, such as patients, instead of single ones.
        by: repeat the differences for the images of each grade or group.

    Raises:
        UserError: if groups or grades are asked for and there are none.
    """
    first = next(iter(baseline.members.values()))
    if clusters and not any(first.scores.groups):
        raise UserError("--clusters resamples groups, but the images that were measured have none: leave it out")
    found = _differences(configurations, baseline, metrics, resamples, seed, clusters)
    return Comparison(
        split=first.evaluation.figures["split"],
        images=len(first.scores.images),
        configurations=configurations,
        baseline=baseline.name,
        metrics=metrics,
        figures={one.name: _figures(one, metrics) for one in configurations},
        differences=found,
        resamples=resamples,
        clusters=clusters,
        groups=len(set(first.scores.groups) - {""}),
        checks=check_fairness(configurations),
        parts=_parts(configurations, baseline, metrics, resamples, seed, clusters, by) if by else (),
    )


def _differences(
    configurations: Sequence[Configuration],
    baseline: Configuration,
    metrics: Sequence[Metric],
    resamples: int,
    seed: int,
    clusters: bool,
) -> dict[str, list[Difference]]:
    scores = next(iter(baseline.scores.values()))
    weights = resample(len(scores.images), resamples, seed, scores.groups if clusters else ())
    return {
        one.name: differences(one.scores, baseline.scores, metrics, weights, seed)
        for one in configurations
        if one is not baseline and set(one.members) & set(baseline.members)
    }


def _figures(configuration: Configuration, metrics: Sequence[Metric]) -> dict[tuple[str, str, str], Spread]:
    """Return mean and standard deviation over seeds of each metric, pooled and as the mean over images."""
    levels = dict.fromkeys(level for level, _ in metrics)
    each = [
        {(level, way): getattr(scores, way)(level) for level in levels for way in WAYS}
        for scores in configuration.scores.values()
    ]
    found = {}
    for level, metric in metrics:
        for way in WAYS:
            values = [figures[level, way][metric] for figures in each]
            deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None  # NaN where there is no figure
            found[level, metric, way] = (float(np.mean(values)), deviation)
    return found


def _parts(
    configurations: Sequence[Configuration],
    baseline: Configuration,
    metrics: Sequence[Metric],
    resamples: int,
    seed: int,
    clusters: bool,
    by: str,
) -> list[Part]:
    scores = next(iter(baseline.scores.values()))
    labels = scores.grades if by == "grade" else scores.groups
    if not any(labels):
        raise UserError(f"--by is {by}, but no image that was measured has a {by}: it is a column of the manifest")
    found = []
    for label in sorted(set(labels)):
        places = [place for place, other in enumerate(labels) if other == label]
        chosen = {one.name: _select(one, places) for one in configurations}
        its = _differences(list(chosen.values()), chosen[baseline.name], metrics, resamples, seed, clusters)
        found.append(Part(name=label or "(none)", images=len(places), differences=its))
    return found


def _select(configuration: Configuration, places: Sequence[int]) -> Configuration:
    members = {seed: replace(one, scores=one.scores.select(places)) for seed, one in configuration.members.items()}
    return replace(configuration, members=members)
