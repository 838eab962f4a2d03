"""The page about a run: one HTML file that needs nothing else, not even a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import jinja2
import yaml
from markupsafe import Markup

from flexdan.report.figures import Series, histogram, line_chart
from flexdan.report.run import Evaluation, ImageScore, Run, best_and_worst
from flexdan.report.tables import NAMES, Table, epoch_table, evaluation_table, facts, number, verdict

_CURVES = (  # title, unit, the numbers of an epoch that are drawn
    ("Loss", "mean over images", ("train_loss", "val_loss")),
    ("Validation: IoU, Dice, accuracy", "pooled over all pixels, 0 to 1", ("iou_score", "dice", "val_acc")),
    ("Learning rate", "at the end of the epoch", ("lr",)),
    ("Speed of training", "images per second", ("images_per_second",)),
)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A small picture with its caption; `source` is a data URI."""

    source: str
    width: int
    height: int
    name: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawn figure with its heading and the names of its curves."""

    title: str
    unit: str
    drawing: Markup
    names: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class EvaluationPart:
    """What the page shows of one evaluation."""

    table: Table
    distribution: Figure | None
    ends: Sequence[ImageScore]
    pictures: Sequence[Picture]
    examples: Picture | None


def build_page(
    run: Run,
    images: int = 8,
    pictures: Mapping[str, Sequence[Picture]] | None = None,
    examples: Mapping[str, Picture] | None = None,
) -> str:
    """Return the HTML of a report.

    Args:
        run: what `read_run` returned.
        images: the best and worst images of each evaluation that are named, together.
        pictures: of predictions: for the name of an evaluation, or for "" those that belong to none.
        examples: the picture that evaluate has drawn, for the name of an evaluation that has no pictures.
    """
    pictures, examples = pictures or {}, examples or {}
    parts = [
        _evaluation_part(one, run, images, pictures.get(one.name, []), examples.get(one.name))
        for one in run.evaluations
    ]
    return _template().render(
        run=run,
        verdict=verdict(run),
        tiles=_tiles(run),
        facts=facts(run),
        curves=_curves(run),
        evaluations=parts,
        gallery=pictures.get("", []),
        epochs=epoch_table(run.rows),
        annotated=[str(image) for image in run.start.get("annotated") or []],
        settings=yaml.safe_dump(run.start.get("config"), sort_keys=False, allow_unicode=True),
        number=number,
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(files("flexdan.report").joinpath("page.html").read_text(encoding="utf-8"))


def _tiles(run: Run) -> list[tuple[str, str]]:
    """Return the large figures at the top: those of the best epoch on the validation images."""
    best = run.best
    if best is None:
        return []
    names = ("iou_score", "dice", "val_acc", "precision", "recall")
    return [(NAMES[name], number(best.get(name))) for name in names]


def _curves(run: Run) -> list[Figure]:
    """Draw the numbers of the epochs; further losses, such as those of the adversarial part, get a figure too."""
    drawn = {name for _, _, names in _CURVES for name in names}
    further = tuple(
        dict.fromkeys(name for row in run.rows for name in row if name.endswith("loss") and name not in drawn)
    )
    figures = []
    for title, unit, names in (*_CURVES, ("Further losses", "mean over images", further)):
        figure = _curve(run, title, unit, names)
        figures += [figure] if figure else []
    return figures


def _curve(run: Run, title: str, unit: str, names: Sequence[str]) -> Figure | None:
    series = [
        Series(name=NAMES.get(name, name.replace("_", " ")), values=[row.get(name) for row in run.rows])
        for name in names
    ]
    series = [one for one in series if any(value is not None for value in one.values)]
    if not series:
        return None
    epochs = [int(row["epoch"] or 0) for row in run.rows]
    best = run.best
    drawing = line_chart(f"{title}, {unit},", epochs, series, int(best["epoch"] or 0) if best else None)
    return Figure(title=title, unit=unit, drawing=drawing, names=[one.name for one in series])


def _evaluation_part(
    evaluation: Evaluation, run: Run, images: int, pictures: Sequence[Picture], examples: Picture | None
) -> EvaluationPart:
    distribution = None
    if len(evaluation.images) > 1:
        title = "Dice of the images, full resolution"
        drawing = histogram(f"{title}: number of images", [one.dice for one in evaluation.images])
        distribution = Figure(title=title, unit="number of images", drawing=drawing, names=[])
    return EvaluationPart(
        table=evaluation_table(evaluation, run),
        distribution=distribution,
        ends=best_and_worst(evaluation.images, images),
        pictures=pictures,
        examples=None if pictures else examples,
    )
