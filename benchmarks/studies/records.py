"""Records of the studies: tables of numbers, settings and names of images, and the paired differences in them."""

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flexdan.config.files import atomic_path
from flexdan.metrics import Scores, resample
from flexdan.report.paired import Difference, differences

Row = Mapping[str, Any]
GROUP = ("network", "recipe", "processor", "annotated")  # within which trainings are compared
CELL = (*GROUP, "strategy", "seed")
METRICS = (
    *(("objects", name) for name in ("f1", "object_dice", "object_hausdorff")),
    *(("full_resolution", name) for name in ("dice", "iou")),
)
RESAMPLES = 2000


def read_rows(name: str, studies: Path) -> list[dict[str, str]]:
    """Return the rows of a record in the folder of the studies; none where it is not there."""
    path = studies / "records" / f"{name}.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def write_rows(name: str, rows: Sequence[Row], studies: Path) -> None:
    """Write a record anew; columns are those of the first row."""
    path = studies / "records" / f"{name}.csv"
    if not rows:
        return
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"recorded: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}, {len(rows)} rows")


def recipe(*settings: Any) -> str:
    """Return a mark of settings that two lists of them share only if they are equal: eight hexadecimal digits."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


def processor(start: Row) -> str:
    """Return on what a training ran, from the first line of its record: the name of its GPU, or of its CPU."""
    environment = start["environment"]
    on_gpu = environment["gpus"] and start["config"]["training"]["device"] != "cpu"
    return environment["gpus"][0] if on_gpu else environment["processor"]


def merge_rows(name: str, rows: Sequence[Row], key: Sequence[str], studies: Path) -> None:
    """Write rows into a record, in the place of those that have the same key; all others stay."""

    def of(row: Row) -> tuple[str, ...]:
        return tuple(str(row[column]) for column in key)

    new = {of(one) for one in rows}
    write_rows(name, [*(one for one in read_rows(name, studies) if of(one) not in new), *rows], studies)


def count_rows(scores: Scores) -> Iterable[dict[str, str]]:
    """Return what was counted in each image, as far as `METRICS` need it."""
    levels = {level for level, _ in METRICS}
    for place, image in enumerate(scores.images):
        counts = {name: values[place] for name, values in scores.counts.items() if name.split(".")[0] in levels}
        yield {"image": Path(image).stem, **{name: f"{value:.9g}" for name, value in counts.items()}}


def find_differences(
    counts: Iterable[Row], baseline: str, column: str = "strategy", group: Sequence[str] = GROUP
) -> list[dict[str, Any]]:
    """Return how much each of several things has of each metric more than one of them, over the seeds that both have.

    Args:
        counts: what `count_rows` returns of each training, with its seed, its group and what it is one of.
        baseline: the one that the others are compared with.
        column: that tells them apart.
        group: columns that trainings which are compared have in common.
    """
    cells: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in counts:
        numbers = dict(row)
        cells.setdefault(tuple(str(numbers.pop(name)) for name in (*group, column, "seed")), []).append(numbers)
    groups: dict[tuple[str, ...], dict[str, dict[int, Scores]]] = {}
    for (*where, one, seed), rows in cells.items():
        groups.setdefault(tuple(where), {}).setdefault(one, {})[int(seed)] = _scores(rows)
    found = []
    for where, trainings in groups.items():
        theirs = trainings.get(baseline, {})
        for one, ours in trainings.items():
            if one == baseline or not set(ours) & set(theirs):
                continue
            weights = resample(len(next(iter(ours.values())).images), RESAMPLES)
            cell = {**dict(zip(group, where, strict=True)), column: one}
            found += [{**cell, **_as_row(difference)} for difference in differences(ours, theirs, METRICS, weights)]
    return found


def _scores(rows: list[dict[str, str]]) -> Scores:
    rows.sort(key=lambda row: row["image"])
    images = tuple(row.pop("image") for row in rows)
    nothing = ("",) * len(images)
    return Scores(images, nothing, nothing, {name: np.array([float(row[name]) for row in rows]) for name in rows[0]})


def _as_row(one: Difference) -> dict[str, Any]:
    spans = {"seeds": one.over_seeds, "images": one.over_images, "both": one.over_both}
    ends: dict[str, Any] = {}
    for name, span in spans.items():
        ends[f"{name}_low"], ends[f"{name}_high"] = span or ("", "")
    return {
        "level": one.level,
        "metric": one.metric,
        "over": one.way,
        "seeds": len(one.by_seed),
        "difference": one.mean,
        **ends,
        "better": one.better,
        "worse": one.worse,
        "equal": one.equal,
        "verdict": one.verdict,
    }
