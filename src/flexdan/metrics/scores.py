"""What was counted in each image of a part, and the figures that follow: of images, pooled, and resampled."""

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from flexdan.config import UserError
from flexdan.config.files import atomic_path
from flexdan.metrics.calibration import calibration_metrics
from flexdan.metrics.objects import object_metrics
from flexdan.metrics.pixel import image_metrics
from flexdan.metrics.surfaces import surface_metrics

Counts = Mapping[str, np.ndarray]
Figures = dict[str, np.ndarray]
FACTS = ("image", "group", "grade")
IMAGE_ONLY = ("hd95",)  # a percentile of one image: it has no pooled figure
LOWER_IS_BETTER = ("object_hausdorff", "hd95", "asd", "ece", "mce")


def pixel_counts(confusion: np.ndarray) -> dict[str, float]:
    """Name the counts of one image, (K, K): true class, predicted class."""
    return {f"pixels_{true}_{found}": float(value) for (true, found), value in np.ndenumerate(confusion)}


def _pixel_metrics(counts: Counts) -> Figures:
    classes = math.isqrt(len(counts))
    table = np.stack([np.asarray(counts[f"pixels_{a}_{b}"]) for a in range(classes) for b in range(classes)], axis=-1)
    confusion = torch.from_numpy(table.reshape(*table.shape[:-1], classes, classes))
    counted = table.sum(-1) > 0
    return {name: np.where(counted, values.numpy(), np.nan) for name, values in image_metrics(confusion).items()}


def _object_metrics(counts: Counts) -> Figures:
    counted = np.asarray(counts.get("pixels", 1.0)) > 0
    figures = object_metrics(counts) | surface_metrics(counts)
    return {name: np.where(counted, values, np.nan) for name, values in figures.items()}


METRICS_OF: dict[str, Callable[[Counts], Figures]] = {  # by level
    "network_size": _pixel_metrics,
    "full_resolution": _pixel_metrics,
    "objects": _object_metrics,
    "calibration": calibration_metrics,
}


@dataclass(frozen=True)
class Scores:
    """What was counted in each image of a part.

    Args:
        images: their files.
        groups: what images have in common, such as the patient; "" for none.
        grades: a label of each; "" for none.
        counts: "LEVEL.COUNT" to float64 (N,), with the levels of `METRICS_OF`: `network_size` and `full_resolution` are
            pixels of the network's classes, `objects` are those after post-processing, at full resolution, with their
            boundaries, and `calibration` pixels by confidence.
    """

    images: tuple[str, ...]
    groups: tuple[str, ...]
    grades: tuple[str, ...]
    counts: Counts

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels that were counted."""
        return tuple(level for level in METRICS_OF if any(name.startswith(f"{level}.") for name in self.counts))

    def level(self, level: str) -> dict[str, np.ndarray]:
        """Return the counts of one level, (N,) each, by their names in it."""
        return {name.partition(".")[2]: values for name, values in self.counts.items() if name.startswith(f"{level}.")}

    def per_image(self, level: str) -> Figures:
        """Return every metric of each image, (N,); NaN where an image has no counted pixel."""
        return METRICS_OF[level](self.level(level))

    def pooled(self, level: str) -> dict[str, float]:
        """Return every metric from the sums of the counts of all images; NaN for `IMAGE_ONLY`."""
        figures, _ = self.resampled(level, np.ones((1, len(self.images))))
        return {name: float(values[0]) for name, values in figures.items()}

    def image_mean(self, level: str) -> dict[str, float]:
        """Return the mean of every metric over the images where it is a number."""
        _, figures = self.resampled(level, np.ones((1, len(self.images))))
        return {name: float(values[0]) for name, values in figures.items()}

    def resampled(self, level: str, weights: np.ndarray) -> tuple[Figures, Figures]:
        """Return pooled figures and means of the images, (B,), where images count as often as `weights` (B, N) say."""
        counts = {name: weights @ values for name, values in self.level(level).items()}
        pooled = METRICS_OF[level](counts) | {name: np.full(len(weights), np.nan) for name in IMAGE_ONLY}
        each, means = self.per_image(level), {}
        for name, values in each.items():
            total = weights @ np.isfinite(values)
            means[name] = np.where(total > 0, weights @ np.nan_to_num(values) / np.maximum(total, 1), np.nan)
        return {name: pooled[name] for name in each}, means

    def select(self, places: Sequence[int]) -> "Scores":
        """Return the scores of some of the images."""
        at = list(places)
        facts = ([values[place] for place in at] for values in (self.images, self.groups, self.grades))
        return Scores(*map(tuple, facts), counts={name: values[at] for name, values in self.counts.items()})


def collect_scores(facts: Sequence[tuple[str, str, str]], counts: Sequence[Mapping[str, float]]) -> Scores:
    """Return the scores of some images.

    Args:
        facts: file, group and grade of each.
        counts: "LEVEL.COUNT" to number of each, all with the same names.
    """
    images, groups, grades = zip(*facts, strict=True)
    table = {name: np.array([one[name] for one in counts], np.float64) for name in counts[0]}
    return Scores(images, groups, grades, table)


def write_scores(path: Path, scores: Scores) -> None:
    """Write one row for each image: what it is, and what was counted in it."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*FACTS, *scores.counts])
        facts = (scores.images, scores.groups, scores.grades)
        columns = [[repr(float(value)) for value in values] for values in scores.counts.values()]
        writer.writerows(zip(*facts, *columns, strict=True))


def read_scores(path: Path) -> Scores:
    """Read what `write_scores` wrote.

    Raises:
        UserError: if the file is missing or something else.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            names, *rows = list(csv.reader(file))
        if tuple(names[: len(FACTS)]) != FACTS or not rows:
            raise ValueError("it has other columns, or no images")
        facts = list(zip(*(row[: len(FACTS)] for row in rows), strict=True))
        table = np.array([row[len(FACTS) :] for row in rows], np.float64)  # (N, counts)
        return Scores(*facts, counts=dict(zip(names[len(FACTS) :], table.T, strict=True)))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no table of counts ({error}): run `flexdan evaluate` again") from error
