"""The page about a sweep: one HTML file that needs nothing else, not even a network."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flexdan.config.trials import SweepSummary, Trial, is_number, params_text, value_text
from flexdan.report.curves import Figure
from flexdan.report.effects import Effect, complete_trials, effects, metric_name
from flexdan.report.facts import NONE, many
from flexdan.report.figures import Axis, Series, line_chart
from flexdan.report.sweep_figures import (
    COLOURS,
    MAX_GROUPS,
    MAX_LINES,
    beyond,
    effect_figure,
    parallel_figure,
    robust_axis,
    shorten,
)
from flexdan.report.tables import Table, number
from flexdan.report.takeaways import best_of_all, differences, left_out
from flexdan.report.templates import template

GIB = 2**30
FIRST = 50  # rows of a long table that show at once
CURVES = 5  # of the best trials
TRACEBACKS = 20  # in full
_LINE, _TRACEBACK = 400, 20_000  # longest texts
_METHODS = {
    "grid": "grid: every combination",
    "random": "random: each trial is drawn by itself",
    "bayes": "bayes: each trial is drawn where the ones before were good",
}


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Trials that failed alike, with the line and the traceback of their error, which may be empty."""

    trials: str
    settings: str
    error: str
    traceback: str


def build_sweep_page(summary: SweepSummary) -> str:
    """Return the HTML of the report of a sweep."""
    trials = summary.ranking
    found = effects(summary)
    values = [one.value for one in complete_trials(summary.trials) if one.value is not None]
    means = [group.mean for effect in found for group in effect.groups if group.mean is not None]
    up = robust_axis(values, means) if values else None
    return template("sweep.html").render(
        summary=summary,
        metric=metric_name(summary.metric),
        verdict=sweep_verdict(summary),
        tiles=_tiles(summary),
        best=best_of_all(summary),
        differences=differences(summary),
        left_out=left_out(summary),
        ranking=_halves(ranking_table(summary)),
        running=running_table(summary),
        importance={one.parameter: one.importance for one in found if one.importance is not None},
        figures=_effect_figures(found, metric_name(summary.metric), up) if up else [],
        outside=sum(beyond(value, up) for value in values) if up else 0,
        parallel=parallel_figure(summary),
        lines=min(len(trials), MAX_LINES),
        ranked=len(trials),
        ends=(number(trials[min(len(trials), MAX_LINES) - 1].value), number(trials[0].value)) if trials else None,
        colours=COLOURS,
        curves=_curves(trials[:CURVES], metric_name(summary.metric)),
        unfit=_halves(unfit_table(summary)),
        failures=_failures([one for one in summary.trials if one.state == "failed"]),
        tracebacks=TRACEBACKS,
        silent=[one.number for one in summary.trials if one.state in ("complete", "pruned") and one.value is None],
        facts=_facts(summary),
        fixed={name: value_text(value) for name, value in summary.fixed.items()},
        first=FIRST,
        many=many,
    )


def sweep_verdict(summary: SweepSummary) -> str:
    """Return one line: the best trial, and what came of all of them."""
    if best := summary.ranking[0] if summary.ranking else None:
        epoch = "" if best.epoch is None else f" in epoch {best.epoch}"
        text = f"Best: trial {best.number}, {metric_name(summary.metric)} {number(best.value)}{epoch}"
    else:
        text = "No trial has a value yet"
    states = Counter("still to do" if one.state in ("waiting", "running") else one.state for one in summary.trials)
    names = ("infeasible", "out of memory", "pruned", "failed", "still to do")
    counts = [f"{states[name]} {name}" for name in names if states[name]]
    return ", ".join([f"{text}. {states['complete']} of {many(len(summary.trials), 'trial')} complete", *counts])


def ranking_table(summary: SweepSummary) -> Table:
    """Return the trials that have a value, from the best one on."""
    rows = [_row(str(rank), one, summary) for rank, one in enumerate(summary.ranking, start=1)]
    return Table(title="Ranking", header=_header(summary), rows=rows, text_columns=3)


def running_table(summary: SweepSummary) -> Table:
    """Return the trials that are running."""
    rows = [_row(NONE, one, summary) for one in summary.trials if one.state == "running"]
    return Table(title="Running", header=_header(summary), rows=rows, text_columns=3)


def unfit_table(summary: SweepSummary) -> Table:
    """Return the trials that did not fit into memory: what they need, against what there is."""
    unfit = [one for one in summary.trials if one.state in ("infeasible", "out of memory")]
    rows = [
        [
            str(one.number),
            one.state,
            *_params(one, summary.parameters),
            *(_gib(size) for size in (one.predicted_peak, one.measured_peak, summary.memory)),
            NONE if one.weights is None else f"{one.weights:,}",
        ]
        for one in unfit
    ]
    header = [
        "trial",
        "state",
        *summary.parameters,
        "predicted peak, GiB",
        "measured peak, GiB",
        "memory, GiB",
        "weights",
    ]
    reasons = Counter(shorten(one.error, _LINE) for one in unfit if one.error and one.predicted_peak is None)
    note = " ".join(f"{many(count, 'trial')}: {reason}." for reason, count in reasons.most_common(3))
    return Table(title="Did not fit into memory", header=header, rows=rows, text_columns=2, note=note)


def _header(summary: SweepSummary) -> list[str]:
    measures = ["predicted peak, GiB", "measured peak, GiB", "weights", "minutes", "folder"]
    return ["rank", "trial", "state", metric_name(summary.metric), "epoch", *summary.parameters, *measures]


def _row(rank: str, trial: Trial, summary: SweepSummary) -> list[str]:
    return [
        rank,
        str(trial.number),
        trial.state,
        number(trial.value),
        NONE if trial.epoch is None else str(trial.epoch),
        *_params(trial, summary.parameters),
        _gib(trial.predicted_peak),
        _gib(trial.measured_peak),
        NONE if trial.weights is None else f"{trial.weights:,}",
        number(None if trial.seconds is None else trial.seconds / 60, ".1f"),
        trial.folder or NONE,
    ]


def _params(trial: Trial, names: Mapping[str, str]) -> list[str]:
    return [shorten(value_text(trial.params[name]), 60) if name in trial.params else NONE for name in names]


def _gib(size: int | None) -> str:
    return number(None if size is None else size / GIB, ",.2f")


def _halves(table: Table) -> tuple[Table, Table]:
    """Return the rows of a table that show at once, and the rest."""
    return replace(table, rows=table.rows[:FIRST]), replace(table, rows=table.rows[FIRST:])


def _tiles(summary: SweepSummary) -> list[tuple[str, str]]:
    """Return the large figures at the top."""
    states = Counter(one.state for one in summary.trials)
    seconds = [one.seconds for one in summary.trials if one.seconds is not None]
    best = summary.ranking[0].value if summary.ranking else None
    return [
        (f"best {metric_name(summary.metric)}", number(best)),
        ("complete", f"{states['complete']} of {len(summary.trials)}"),
        ("did not fit into memory", str(states["infeasible"] + states["out of memory"])),
        ("pruned, failed", f"{states['pruned']}, {states['failed']}"),
        ("training, all trials", f"{sum(seconds) / 3600:,.1f} h" if seconds else NONE),
    ]


def _effect_figures(found: Sequence[Effect], metric: str, up: Axis) -> list[Figure]:
    figures = []
    for effect in found:
        if not any(group.values for group in effect.groups):
            continue
        notes = [] if effect.importance is None else [f"importance {100 * effect.importance:.0f} %"]
        notes += ["four ranges of about as many trials each"] * effect.binned
        notes += [f"the first {MAX_GROUPS} of {len(effect.groups)} values"] * (len(effect.groups) > MAX_GROUPS)
        drawing = effect_figure(effect, metric, up)
        figures.append(Figure(title=effect.parameter, unit=", ".join(notes), drawing=drawing))
    return figures


def _curves(trials: Sequence[Trial], metric: str) -> Figure | None:
    curves = [{epoch: value for epoch, value in one.curve.items() if is_number(value)} for one in trials]
    epochs = sorted({epoch for curve in curves for epoch in curve})
    if not epochs:
        return None
    series = [
        Series(name=f"trial {one.number}", values=[curve.get(epoch) for epoch in epochs])
        for one, curve in zip(trials, curves, strict=True)
        if curve
    ]
    names = [one.name for one in series]
    names = names if len(names) > 1 else []
    title = f"{metric[:1].upper()}{metric[1:]} by epoch"
    return Figure(title=title, unit="", drawing=line_chart(metric, epochs, series), names=names)


def _failures(trials: Sequence[Trial]) -> list[Failure]:
    """Return the failed trials; those with the same error are told together."""
    alike: dict[tuple[str, str], list[Trial]] = {}
    for one in trials:
        alike.setdefault((one.error, one.traceback), []).append(one)
    found = []
    for (error, traceback), members in alike.items():
        numbers = ", ".join(str(one.number) for one in members[:FIRST])
        found.append(
            Failure(
                trials=f"trial{'s' * (len(members) > 1)} {numbers}" + " and more" * (len(members) > FIRST),
                settings=shorten(params_text(members[0].params), _LINE) if len(members) == 1 else "",
                error=shorten(error, _LINE) or "no reason is known",
                traceback=traceback[-_TRACEBACK:],
            )
        )
    return found


def _facts(summary: SweepSummary) -> list[tuple[str, str]]:
    better = "higher" if summary.goal == "max" else "lower"
    return [
        ("Method", _METHODS[summary.method]),
        ("Metric", f"{metric_name(summary.metric)}, {better} is better; each trial counts with its best epoch"),
        ("Trials", str(len(summary.trials))),
        ("Memory", "not asked about" if summary.memory is None else f"{_gib(summary.memory)} GiB"),
        *((name, text) for name, text in summary.parameters.items()),
    ]
