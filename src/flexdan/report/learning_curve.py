"""A learning curve: scores of trained networks over the number of annotated images, and what follows from them."""

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flexdan.config.errors import UserError
from flexdan.config.trials import SweepSummary, Trial
from flexdan.experiments import CONTROL, CURVES
from flexdan.report.learning_scores import read_scores
from flexdan.report.paired import t_interval

BASELINE = "supervised"  # with which the others are compared


@dataclass(frozen=True, kw_only=True)
class Point:
    """One trained network.

    Args:
        trial: its number in the sweep.
        strategy: the curve that it belongs to.
        annotated: annotated images that it learnt from.
        seed: of its training; with one seed all strategies have the same annotated images.
        state: of the trial.
        why: nothing came of it; empty otherwise.
        epoch: of the weights that were evaluated.
        scores: by name, such as `objects.f1.pooled`; empty where it is not evaluated.
        conditions: of the evaluation; figures of different ones should not be compared.
    """

    trial: int
    strategy: str
    annotated: int
    seed: int
    state: str
    why: str = ""
    epoch: int | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    conditions: str = ""


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """What is known of a learning curve.

    Args:
        name: of the study.
        split: on which the networks were evaluated.
        points: by number of the trial.
        fixed: settings of all trainings other than the defaults, by dotted name.
        lower: metrics of which less is better; of the others more is.
        note: about the split; empty if there is nothing to say.
    """

    name: str
    split: str
    points: tuple[Point, ...]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    lower: frozenset[str] = frozenset()
    note: str = ""

    @property
    def strategies(self) -> list[str]:
        """The curves, in their usual order."""
        there = {one.strategy for one in self.points}
        return [name for name in CURVES if name in there]

    @property
    def counts(self) -> list[int]:
        """The numbers of annotated images, ascending."""
        return sorted({one.annotated for one in self.points})

    @property
    def alike(self) -> bool:
        """Whether all networks were evaluated in the same way."""
        return len({one.conditions for one in self.points if one.scores}) < 2

    @property
    def scores(self) -> list[str]:
        """The names of all scores that some network has, as they were written."""
        return list(dict.fromkeys(name for one in self.points for name in one.scores))


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A score of one strategy with so many annotated images: its value for each seed that has one.

    Args:
        strategy: the curve.
        annotated: number of annotated images.
        values: by seed.
        planned: how many seeds there are to be.
        against: the strategy whose scores are subtracted; empty where none are.
    """

    strategy: str
    annotated: int
    values: Mapping[int, float]
    planned: int
    against: str = ""

    @property
    def mean(self) -> float | None:
        """Mean over the seeds; None without any."""
        return statistics.fmean(self.values.values()) if self.values else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation over the seeds, with n - 1; None for fewer than two."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean from Student's t with n - 1 degrees of freedom; None for fewer than two seeds."""
        return t_interval(list(self.values.values()))


def read_learning_curve(
    summary: SweepSummary, folder: Path, split: str, *, lower: Iterable[str] = (), note: str = ""
) -> LearningCurve:
    """Read the evaluations of the trials of a study.

    Args:
        summary: of its sweep.
        folder: of the sweep.
        split: that was evaluated.
        lower: metrics of which less is better.
        note: about the split.

    Raises:
        UserError: if an evaluation is broken.
    """
    return LearningCurve(
        name=summary.name,
        split=split,
        points=tuple(_point(one, folder, split) for one in summary.trials),
        fixed=summary.fixed,
        lower=frozenset(lower),
        note=note,
    )


def _point(trial: Trial, folder: Path, split: str) -> Point:
    figures: Mapping[str, Any] = {}
    file = folder / trial.folder / "evaluation" / split / "metrics.json"
    if trial.state == "complete" and file.is_file():
        figures = _read_figures(file)
    return Point(
        trial=trial.number,
        strategy=trial.params["strategy"],
        annotated=trial.params["data.annotated"],
        seed=trial.params["seed"],
        state=trial.state,
        why=trial.error,
        epoch=figures.get("epoch"),
        scores=read_scores(figures),
        conditions=_conditions(figures) if figures else "",
    )


def _read_figures(file: Path) -> Mapping[str, Any]:
    try:
        figures = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is broken: {error}; remove it, and it is measured again") from error
    if not isinstance(figures, dict):
        raise UserError(f"{file} is broken: it holds no figures; remove it, and it is measured again")
    return figures


def _conditions(figures: Mapping[str, Any]) -> str:
    chosen = {name: figures.get(name) for name in ("weights", "tta", "scale", "spacing", "manifest_sha256")}
    postprocessing = figures.get("postprocessing") or {}
    if tuning := postprocessing.get("tuning"):  # then each network has the one that suits it
        how: Any = {name: tuning.get(name) for name in ("split", "metric")}
    else:
        how = postprocessing.get("settings")
    return json.dumps(chosen | {"postprocessing": how}, sort_keys=True)


def spreads(curve: LearningCurve, score: str) -> list[Spread]:
    """Return a score by strategy and number of annotated images."""
    found = []
    for strategy in curve.strategies:
        for count in curve.counts:
            cell = [one for one in curve.points if one.strategy == strategy and one.annotated == count]
            values = {one.seed: one.scores[score] for one in cell if score in one.scores}
            if cell:
                found.append(Spread(strategy=strategy, annotated=count, values=values, planned=len(cell)))
    return found


def gains(curve: LearningCurve, score: str, against: str = BASELINE) -> list[Spread]:
    """Return by how much a score of each strategy exceeds that of another one with the same annotated images."""
    cells = spreads(curve, score)
    others = {one.annotated: one for one in cells if one.strategy == against}
    found = []
    for one in cells:
        other = others.get(one.annotated)
        if one.strategy == against or other is None:
            continue
        pairs = {seed: value - other.values[seed] for seed, value in one.values.items() if seed in other.values}
        planned = min(one.planned, other.planned)
        found.append(
            Spread(strategy=one.strategy, annotated=one.annotated, values=pairs, planned=planned, against=against)
        )
    return found


def comparisons(curve: LearningCurve, score: str) -> list[Spread]:
    """Return all gains that say something: over supervised, and over the control, which tells what the EN adds."""
    return [*gains(curve, score), *(one for one in gains(curve, score, CONTROL) if one.strategy != BASELINE)]


def missing(curve: LearningCurve) -> list[str]:
    """Return what is not there yet, one line for each strategy and number of annotated images."""
    lines: dict[tuple[str, int, str], list[int]] = {}
    for one in sorted(curve.points, key=lambda one: (curve.strategies.index(one.strategy), one.annotated)):
        if not one.scores:
            state = "not evaluated" if one.state == "complete" else one.state + (f" ({one.why})" if one.why else "")
            lines.setdefault((one.strategy, one.annotated, state), []).append(one.seed)
    return [
        f"{strategy} with {annotated} annotated, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}: {state}"
        for (strategy, annotated, state), seeds in lines.items()
    ]
