"""The page about a learning curve, and its tables: means over seeds, and what strategies gain."""

from collections.abc import Iterator, Sequence
from typing import Any

from flexdan.config.trials import value_text
from flexdan.report.curves import Figure
from flexdan.report.evaluation_tables import DISTANCES
from flexdan.report.facts import NONE, many
from flexdan.report.learning_curve import (
    BASELINE,
    LearningCurve,
    Spread,
    comparisons,
    gains,
    missing,
    spreads,
)
from flexdan.report.learning_figures import curve_figure, gain_figure, sheet
from flexdan.report.learning_scores import WAYS, score_name
from flexdan.report.tables import Table
from flexdan.report.takeaways import FEW, signed
from flexdan.report.templates import template

UNLIKE = (
    "The networks were not all evaluated in the same way (weights, scale, post-processing, pixel size), so their "
    "figures cannot be compared: say --tune-postprocessing, or remove their folders evaluation and measure again."
)


def build_learning_page(curve: LearningCurve, scores: Sequence[str]) -> str:
    """Return the HTML of a learning curve.

    Args:
        curve: what is known of it.
        scores: full names of those that are drawn, see `learning_scores`.
    """
    return template("learning.html").render(
        curve=curve,
        verdict=learning_verdict(curve),
        unlike=UNLIKE,
        takeaways=learning_takeaways(curve, scores[0]),
        missing=missing(curve),
        rows=figure_rows(curve, scores),
        summary=summary_table(curve, both_ways(scores)),
        gains=gains_table(curve, scores),
        each=trials_table(curve, scores),
        fixed={name: value_text(value) for name, value in curve.fixed.items()},
        paired=BASELINE in curve.strategies and len(curve.strategies) > 1,
    )


def learning_sheet(curve: LearningCurve, scores: Sequence[str]) -> str:
    """Return the figures of a learning curve as one SVG file."""
    return sheet(figure_rows(curve, scores), curve.strategies)


def figure_rows(curve: LearningCurve, scores: Sequence[str]) -> list[list[Figure]]:
    """Return for each score that there is: the curve, and the gain where there is one."""
    rows = []
    for score in scores:
        better = "less is better" if score.split(".")[1] in curve.lower else ""
        layout = {"title": title_of(score), "better": better, "strategies": curve.strategies, "counts": curve.counts}
        row = [curve_figure(spreads(curve, score), **layout), gain_figure(gains(curve, score), **layout)]
        rows.append([figure for figure in row if figure is not None])
    return [row for row in rows if row]


def title_of(score: str) -> str:
    """Return a score in words that begin with a capital letter."""
    name = score_name(score)
    return name[:1].upper() + name[1:]


def learning_verdict(curve: LearningCurve) -> str:
    """Return one line: how much of the study is there."""
    done = sum(bool(one.scores) for one in curve.points)
    seeds = many(len({one.seed for one in curve.points}), "seed")
    what = f"{', '.join(curve.strategies)} with {', '.join(map(str, curve.counts))} annotated images, {seeds}"
    return f"{done} of {many(len(curve.points), 'training')} evaluated on {curve.split}: {what}"


def learning_takeaways(curve: LearningCurve, score: str) -> list[str]:
    """Return what each strategy gains with each number of annotated images, a line each."""
    return [
        f"{one.strategy} with {one.annotated} annotated: {gain_text(one, score, curve)}"
        for one in comparisons(curve, score)
        if one.values
    ]


def gain_text(gain: Spread, score: str, curve: LearningCurve) -> str:
    """Return a gain in one line."""
    verdict, form = gain_verdict(gain, score, curve), _form(score)
    text = f"{verdict}, {signed(gain.mean or 0.0, form)} {score_name(score)}"
    if gain.interval and len(gain.values) >= FEW:
        text += f" (95 % interval {' to '.join(signed(end, form) for end in gain.interval)})"
    return f"{text} against {gain.against}, n = {len(gain.values)}"


def gain_verdict(gain: Spread, score: str, curve: LearningCurve) -> str:
    """Return what the interval says: better, worse, no clear difference, or too few to tell."""
    if gain.interval is None or len(gain.values) < FEW:
        return "too few to tell"
    if gain.interval[0] <= 0 <= gain.interval[1]:
        return "no clear difference"
    return "better" if ((gain.mean or 0.0) < 0) == (score.split(".")[1] in curve.lower) else "worse"


def summary_table(curve: LearningCurve, scores: Sequence[str]) -> Table:
    """Return means and standard deviations over the seeds: a row for each strategy and count."""
    shown = [score for score in scores if score in curve.scores]
    cells = {score: {(one.strategy, one.annotated): one for one in spreads(curve, score)} for score in shown}
    rows = []
    for strategy in curve.strategies:
        for count in curve.counts:
            here = [cells[score].get((strategy, count)) for score in shown]
            there = [one for one in curve.points if (one.strategy, one.annotated) == (strategy, count)]
            if there:
                done = f"{sum(bool(one.scores) for one in there)} of {len(there)}"
                texts = [_spread_text(one, score) for one, score in zip(here, shown, strict=True)]
                rows.append([strategy, str(count), done, *texts])
    note = (
        f"Mean ± standard deviation (n - 1) over the seeds, on {curve.split}. Pooled: counts of all images added up "
        "first, as the GlaS challenge does; mean over images: of the figure of each image."
    )
    header = ["strategy", "annotated", "seeds", *map(score_name, shown)]
    return Table(title=f"{curve.name}: means over seeds", header=header, rows=rows, text_columns=1, note=note)


def gains_table(curve: LearningCurve, scores: Sequence[str]) -> Table:
    """Return what each strategy gains over the supervised one and over the control, with the same annotated images."""
    rows = []
    for score in scores:
        form = _form(score)
        for one in comparisons(curve, score):
            if one.mean is not None:
                interval = " to ".join(signed(end, form) for end in one.interval) if one.interval else NONE
                verdict = gain_verdict(one, score, curve)
                count = f"{len(one.values)} of {one.planned}"
                mean = signed(one.mean, form)
                who = [score_name(score), one.strategy, one.against]
                rows.append([*who, str(one.annotated), count, mean, interval, verdict])
    note = (
        "Pairs of the same seed and the same annotated images. The interval is that of the mean over seeds (Student's "
        f"t, 95 %), for each line by itself; with fewer than {FEW} seeds nothing is concluded. It holds for new "
        "seeds on these images, not for new images."
    )
    header = ["metric", "strategy", "against", "annotated", "pairs", "difference", "95 % interval", "verdict"]
    return Table(title=f"{curve.name}: differences", header=header, rows=rows, text_columns=3, note=note)


def trials_table(curve: LearningCurve, scores: Sequence[str]) -> Table:
    """Return every training with its scores."""
    rows = [
        [
            str(one.trial),
            one.strategy,
            one.state,
            str(one.annotated),
            str(one.seed),
            NONE if one.epoch is None else str(one.epoch),
            *(format(one.scores[score], _form(score)) if score in one.scores else NONE for score in scores),
        ]
        for one in curve.points
    ]
    header = ["trial", "strategy", "state", "annotated", "seed", "epoch", *map(score_name, scores)]
    return Table(title="Every training", header=header, rows=rows, text_columns=3)


def trial_rows(curve: LearningCurve) -> Iterator[dict[str, Any]]:
    """Yield the row of each training in a CSV: what it is, and all its scores."""
    for one in curve.points:
        facts = {"trial": one.trial, "strategy": one.strategy, "annotated": one.annotated, "seed": one.seed}
        facts |= {"state": one.state, "split": curve.split, "epoch": one.epoch, "error": one.why}
        yield facts | {score: one.scores.get(score) for score in curve.scores}


def summary_rows(curve: LearningCurve) -> Iterator[dict[str, Any]]:
    """Yield the row of each strategy, count and score in a CSV; `over` is how the images are totalled."""
    for score in curve.scores:
        for one in spreads(curve, score):
            values = one.values.values()
            ends = {"min": min(values, default=None), "max": max(values, default=None)}
            yield _cell(one, score) | {"seeds": len(values), "mean": one.mean, "sd": one.deviation} | ends


def gain_rows(curve: LearningCurve) -> Iterator[dict[str, Any]]:
    """Yield the row of each comparison in a CSV, with the ends of its 95 % interval."""
    for score in curve.scores:
        for one in comparisons(curve, score):
            low, high = one.interval or (None, None)
            figures = {"pairs": len(one.values), "mean": one.mean, "sd": one.deviation, "low": low, "high": high}
            yield _cell(one, score) | {"against": one.against} | figures


def _cell(one: Spread, score: str) -> dict[str, Any]:
    metric, _, way = score.rpartition(".")
    names = {"strategy": one.strategy, "annotated": one.annotated, "metric": metric, "over": way}
    return names | {"planned": one.planned}


def both_ways(scores: Sequence[str]) -> list[str]:
    """Return scores pooled and as the mean over images, side by side."""
    stems = dict.fromkeys(score.rpartition(".")[0] for score in scores)
    return [f"{stem}.{way}" for stem in stems for way in WAYS]


def _spread_text(one: Spread | None, score: str) -> str:
    if one is None or one.mean is None:
        return NONE
    form = _form(score)
    return f"{one.mean:{form}}" + (f" ± {one.deviation:{form}}" if one.deviation is not None else "")


def _form(score: str) -> str:
    """Return the form of a score: distances are in pixels, all others are shares."""
    return ".2f" if score.split(".")[1] in DISTANCES else ".4f"
