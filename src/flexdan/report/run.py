"""What a report is made from: the record of a run and its evaluations, read and checked once."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flexdan.config import METRICS, UserError
from flexdan.config.record import read_record

Row = dict[str, float | None]
LEVELS = ("network_size", "full_resolution")
WAYS = ("pooled", "image_mean")
OUT_OF_MEMORY = "out of memory"


@dataclass(frozen=True, kw_only=True)
class ImageScore:
    """Dice of one image of an evaluation, at full resolution, 0..1, and the size of the image in pixels."""

    image: Path
    dice: float
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One folder that `flexdan evaluate` has written.

    Args:
        name: of the folder.
        figures: what stands in its metrics.json.
        images: the rows of its images.csv, from the best to the worst Dice; empty if there is none.
    """

    name: str
    figures: dict[str, Any]
    images: tuple[ImageScore, ...]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run as its files tell it.

    Args:
        folder: the run folder.
        start: the first event of the record.
        rows: the metrics of every finished epoch; None for figures that were not finite.
        health: how the evaluation network stood, by epoch, where there is one.
        advice: what the last of these epochs advises.
        resumes: how often the run went on after a stop.
        end: the last event, or None while the run goes on or after it broke off.
        evaluations: by name.
    """

    folder: Path
    start: dict[str, Any]
    rows: tuple[Row, ...]
    health: dict[int, str]
    advice: str
    resumes: int
    end: dict[str, Any] | None
    evaluations: tuple[Evaluation, ...]

    @property
    def name(self) -> str:
        """The name of the run folder."""
        return self.folder.resolve().name

    @property
    def metric(self) -> str:
        """The metric that says which epoch is the best."""
        metric = pick(self.start, "config", "training", "best_metric")
        return metric if metric in METRICS else "iou_score"

    @property
    def best(self) -> Row | None:
        """The epoch with the best value of the metric, the first of several; None if no epoch has a value."""
        sign = 1 if METRICS[self.metric] == "max" else -1
        valued = [(sign * value, row) for row in self.rows if (value := row.get(self.metric)) is not None]
        return max(valued, key=lambda pair: pair[0])[1] if valued else None

    @property
    def finished(self) -> bool:
        """Whether it came to its end, and not that of the memory."""
        return self.end is not None and self.end.get("reason") != OUT_OF_MEMORY

    @property
    def num_epochs(self) -> int:
        """The planned epochs."""
        planned = pick(self.start, "config", "training", "num_epochs")
        return planned if isinstance(planned, int) else len(self.rows)

    @property
    def status(self) -> str:
        """How the run stands: why it ended, or that it did not."""
        if self.end:
            return str(self.end.get("reason", "finished"))
        if not self.rows:
            return "still running or stopped before the end of the first epoch"
        return f"still running or stopped after epoch {self.rows[-1]['epoch']:g}"


def pick(mapping: Any, *names: str) -> Any:
    """Return what stands under names one in the other; None where one is missing, as in records of other versions."""
    for name in names:
        mapping = mapping.get(name) if isinstance(mapping, dict) else None
    return mapping


def read_run(folder: Path) -> Run:
    """Read the record of a run, and every evaluation in its folder.

    Raises:
        UserError: if the record or a file of an evaluation is missing or broken.
    """
    path = folder / "record.jsonl"
    events = read_record(path)
    if not events or events[0]["event"] != "start":
        raise UserError(f"{path} does not begin with the start of a run: it is empty or damaged")
    rows, health, advice = {}, {}, {}
    for event in events:
        if event["event"] == "epoch":
            if not isinstance(event.get("epoch"), int):
                raise UserError(f"{path} has an epoch without its number: {json.dumps(event)[:80]}")
            numbers = {name: _number(value) for name, value in event.items() if not isinstance(value, str)}
            rows[event["epoch"]] = numbers
            if "en_health" in event:
                health[event["epoch"]] = str(event["en_health"])
                advice[event["epoch"]] = str(event.get("en_advice", ""))
    ends = [event for event in events if event["event"] == "end"]
    return Run(
        folder=folder,
        start=events[0],
        rows=tuple(rows[epoch] for epoch in sorted(rows)),
        health=dict(sorted(health.items())),
        advice=advice[max(advice)] if advice else "",
        resumes=sum(event["event"] == "resume" for event in events),
        end={"reason": OUT_OF_MEMORY} if events[-1]["event"] == "out_of_memory" else ends[-1] if ends else None,
        evaluations=tuple(map(_read_evaluation, sorted(folder.glob("evaluation/*/metrics.json")))),
    )


def best_and_worst(images: Sequence[ImageScore], limit: int) -> list[ImageScore]:
    """Return at most `limit` of the images, which are sorted from best to worst: half from each end."""
    if len(images) <= limit:
        return list(images)
    worst = limit // 2
    return [*images[: limit - worst], *images[len(images) - worst :]]


def _read_evaluation(path: Path) -> Evaluation:
    again = "run `flexdan evaluate` again"
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
        _check_figures(figures)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no result of an evaluation ({_say(error)}): {again}") from error
    table = path.with_name("images.csv")
    try:
        images = _read_images(table) if table.is_file() else []
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f"{table} is no table of an evaluation ({_say(error)}): {again}") from error
    return Evaluation(name=path.parent.name, figures=figures, images=tuple(images))


def _check_figures(figures: Any) -> None:
    for name in ("split", "images", "weights", "epoch", "manifest"):
        _ = figures[name]
    for name in ("height", "width"):
        _ = figures["network_size"][name]
    for level in LEVELS:
        for way in WAYS:
            for name, value in figures[level][way].items():
                if value is not None and _number(value) is None:
                    raise ValueError(f"{level}, {way}: {name} is {value!r}")
        if not all(_number(value) is not None for row in figures[level]["classes_pooled"] for value in row.values()):
            raise ValueError(f"{level}: a figure of a class is no number")


def _read_images(path: Path) -> list[ImageScore]:
    with path.open(newline="", encoding="utf-8") as file:
        images = [
            ImageScore(
                image=Path(row["image"]),
                dice=float(row["full_resolution_dice"]),
                height=int(row["height"]),
                width=int(row["width"]),
            )
            for row in csv.DictReader(file)
        ]
    finite = [one for one in images if math.isfinite(one.dice)]
    return sorted(finite, key=lambda one: (-one.dice, str(one.image)))


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) else None


def _say(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
