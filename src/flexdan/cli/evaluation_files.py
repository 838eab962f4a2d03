"""The files that an evaluation leaves: figures, tables and pictures."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flexdan.config.files import atomic_path
from flexdan.data import ImageRecord, image_size, write_image
from flexdan.metrics import Scores, write_scores
from flexdan.report.comparison import compare, draw_page
from flexdan.report.reliability import reliability_picture

if TYPE_CHECKING:
    import numpy as np

NUM_EXAMPLES = 12


class Examples:
    """Up to twelve images, evenly chosen, with the outlines of annotated and of segmented objects.

    Args:
        records: the images that will be visited, in their order.
    """

    def __init__(self, records: Sequence[ImageRecord]):
        step = max(1, math.ceil(len(records) / NUM_EXAMPLES))
        self._places = {str(record.image): place for place, record in enumerate(records) if place % step == 0}
        self._pictures: dict[int, Any] = {}

    def visit(self, record: ImageRecord, pixels: "np.ndarray", truth: "np.ndarray", found: "np.ndarray") -> None:
        """Keep a small picture of an image if it is one of the chosen; objects are labels (H, W)."""
        place = self._places.get(str(record.image))
        if place is not None:
            self._pictures[place] = compare(record.name, pixels, truth, found)

    def write(self, path: Path, scores: Scores) -> None:
        """Write the pictures, those with the best Dice of their pixels first."""
        measured = scores.per_image("objects")
        order = sorted(self._pictures, key=lambda place: -measured["dice"][place])
        dice, f1 = measured["dice"], measured["f1"]
        captions = {
            place: f"{self._pictures[place].caption}   Dice {dice[place]:.3f}, F1 {f1[place]:.2f}" for place in order
        }
        write_image(path, draw_page([replace(self._pictures[place], caption=captions[place]) for place in order]))


def write_evaluation(output: Path, scores: Scores, figures: dict[str, Any], examples: Examples | None = None) -> None:
    """Write the files of an evaluation, the one that says that it is complete last."""
    write_scores(output / "counts.csv", scores)
    with atomic_path(output / "images.csv") as path:
        write_images(path, scores)
    if examples is not None:
        with atomic_path(output / "examples.png") as path:
            examples.write(path, scores)
    if "calibration" in figures:
        with atomic_path(output / "reliability.svg") as path:
            path.write_text(reliability_picture(figures["calibration"]), encoding="utf-8")
    with atomic_path(output / "metrics.json") as path:
        path.write_text(json.dumps(figures, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_images(path: Path, scores: Scores) -> None:
    """Write a row for each image: what it is, and every figure at every level."""
    measured = {
        f"{level}_{name}": values.tolist()
        for level in scores.levels
        for name, values in scores.per_image(level).items()
    }
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "group", "grade", "height", "width", *measured])
        facts = zip(scores.images, scores.groups, scores.grades, strict=True)
        for (image, group, grade), *values in zip(facts, *measured.values(), strict=True):
            height, width, _ = image_size(Path(image))
            cells = [f"{value:.6f}" if math.isfinite(value) else "" for value in values]
            writer.writerow([image, group, grade, height, width, *cells])
