"""The page about a run: one HTML file that needs nothing else, not even a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from flexdan.report.curves import Figure, en_figures, epoch_figures
from flexdan.report.evaluation_tables import (
    describe_intervals,
    describe_objects,
    figure_text,
    group_tables,
    object_tables,
)
from flexdan.report.facts import facts
from flexdan.report.figures import histogram
from flexdan.report.reliability import reliability_chart
from flexdan.report.run import Evaluation, ImageScore, Run, best_and_worst
from flexdan.report.tables import NAMES, Table, epoch_table, evaluation_table, health_verdict, number, verdict
from flexdan.report.templates import template


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A small picture with its caption; `source` is a data URI."""

    source: str
    width: int
    height: int
    name: str
    note: str


@dataclass(frozen=True, kw_only=True)
class EvaluationPart:
    """What the page shows of one evaluation."""

    table: Table
    objects: Sequence[Table]
    about_objects: str
    groups: Sequence[Table]
    reliability: Figure | None
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
    return template("page.html").render(
        run=run,
        verdict=verdict(run),
        health=health_verdict(run),
        tiles=_tiles(run),
        facts=facts(run),
        curves=epoch_figures(run),
        en_curves=en_figures(run),
        evaluations=parts,
        gallery=pictures.get("", []),
        epochs=epoch_table(run),
        annotated=[str(image) for image in run.start.get("annotated") or []],
        settings=yaml.safe_dump(run.start.get("config"), sort_keys=False, allow_unicode=True),
        number=number,
    )


def _tiles(run: Run) -> list[tuple[str, str]]:
    """Return the large figures at the top: those of the best epoch on the validation images."""
    best = run.best
    if best is None:
        return []
    names = ("iou_score", "dice", "val_acc", "precision", "recall")
    return [(NAMES[name], number(best.get(name))) for name in names if name in best]


def _evaluation_part(
    evaluation: Evaluation, run: Run, images: int, pictures: Sequence[Picture], examples: Picture | None
) -> EvaluationPart:
    distribution = None
    if len(evaluation.images) > 1:
        title = "Dice of the images, full resolution"
        drawing = histogram(f"{title}: number of images", [one.dice for one in evaluation.images])
        distribution = Figure(title=title, unit="number of images", drawing=drawing)
    objects = object_tables(evaluation.figures)
    return EvaluationPart(
        table=evaluation_table(evaluation, run),
        objects=objects,
        about_objects=_about_objects(evaluation.figures) if objects else "",
        groups=group_tables(evaluation.figures),
        reliability=_reliability(evaluation.figures),
        distribution=distribution,
        ends=best_and_worst(evaluation.images, images),
        pictures=pictures,
        examples=None if pictures else examples,
    )


def _about_objects(figures: Mapping[str, Any]) -> str:
    how = describe_objects(figures)
    return " ".join([*([f"Objects: {how}."] if how else []), describe_intervals(figures)])


def _reliability(figures: Mapping[str, Any]) -> Figure | None:
    if not (calibration := figures.get("calibration")):
        return None
    ece = figure_text("ece", calibration["pooled"]["ece"])
    unit = f"accuracy by confidence; expected calibration error {ece}"
    return Figure(title="Calibration", unit=unit, drawing=reliability_chart(calibration))
