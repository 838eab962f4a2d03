"""SVG figures of a sweep: the metric by the values of one parameter, and all parameters side by side."""

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from flexdan.config.trials import SweepSummary, Trial, is_number, value_text
from flexdan.report.effects import Effect, Group, effects, metric_name
from flexdan.report.figures import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, nice_step, value_axis
from flexdan.report.tables import number

MAX_GROUPS = 20  # so many columns fit into one figure of an effect
MAX_LINES = 300  # of trials in the parallel coordinates
COLOURS = 8  # of the lines, from the worst to the best
CHARACTER = 6.4  # width in SVG units, on average
_LONGEST = 22  # characters of a slanted label
_HIGH, _LOW = 56, 376  # ends of the upright axes of the parallel coordinates
_SLANT = 40  # degrees


@dataclass(frozen=True, kw_only=True)
class Column:
    """One upright axis of the parallel coordinates.

    Args:
        name: of the parameter or the metric.
        ticks: pixel and text.
        bands: upper and lower pixel of each value, where each value has a stretch of the axis.
        places: the pixel of each trial, by its number; trials without a value are not in it.
    """

    name: str
    ticks: Sequence[tuple[float, str]]
    bands: Sequence[tuple[float, float]]
    places: Mapping[int, float]


def effect_figure(effect: Effect, metric: str, up: Axis) -> Markup:
    """Draw the complete trials by the values of a parameter, and for each value their mean ± one standard deviation.

    Args:
        effect: of the parameter; of more than `MAX_GROUPS` values, the first ones are drawn.
        metric: in words.
        up: the upright axis, the same for all parameters.
    """
    groups = effect.groups[:MAX_GROUPS]
    width = (RIGHT - LEFT) / len(groups)
    slanted = any(_lines(one.name, width) is None for one in groups)
    longest = min(max(len(one.name) for one in groups), _LONGEST) if slanted else 0
    height = max(HEIGHT + 16, BOTTOM + 40 + round(longest * CHARACTER * math.sin(math.radians(_SLANT))))
    parts = []
    for tick in up.ticks():
        y = up.place(tick)
        parts.append(Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(LEFT, y, RIGHT))
        parts.append(Markup('<text class="up" x="{}" y="{:.1f}">{}</text>').format(LEFT - 7, y + 4, up.label(tick)))
    parts.append(Markup('<path class="axis" d="M{} {}H{}"/>').format(LEFT, BOTTOM, RIGHT))
    for at, group in enumerate(groups):
        middle = LEFT + (at + 0.5) * width
        parts += [
            _label(group, middle, width, slanted),
            _hit(group, middle, width, metric),
            _dots(effect, group, middle, width, metric, up),
            _mean(group, middle, width, up),
        ]
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
        WIDTH, height, f"{metric} by {effect.parameter}"
    )
    return head + Markup("").join(parts) + Markup("</svg>")


def robust_axis(values: Sequence[float], within: Sequence[float] = ()) -> Axis:
    """Return the upright axis for some values, without those beyond three times the range of the middle half.

    Args:
        values: in question.
        within: values that the axis holds in any case.
    """
    low, high = min(values), max(values)
    if len(values) > 3:
        lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
        reach = 3 * (upper - lower)
        if reach > 0:
            low, high = max(low, lower - reach), min(high, upper + reach)
    return value_axis([*(one for one in values if low <= one <= high), *within])


def beyond(value: float, axis: Axis) -> bool:
    """Tell whether a value lies outside an axis, by more than rounding."""
    slack = 1e-9 * (axis.high - axis.low)
    return not axis.low - slack <= value <= axis.high + slack


def parallel_figure(summary: SweepSummary) -> Markup | None:
    """Draw one line for each of the best trials through its values and its metric; None for fewer than two."""
    trials = [one for one in summary.ranking[:MAX_LINES] if is_number(one.value)]
    if len(trials) < 2:
        return None
    metric = metric_name(summary.metric)
    shown = {one.number for one in trials}
    columns = []
    for effect in sorted(effects(summary), key=lambda one: list(summary.parameters).index(one.parameter)):
        there = [one for one in trials if effect.parameter in one.params]
        if not there:
            continue
        if effect.binned:
            values = {one.number: float(one.params[effect.parameter]) for one in there}
            log = effect.parameter in summary.log
            columns.append(number_column(effect.parameter, values, log and min(values.values()) > 0))
        else:
            columns.append(_value_column(effect, shown, summary))
    columns.append(number_column(metric, {one.number: one.value or 0.0 for one in trials}, log=False))
    if len(columns) < 2:
        return None
    step = max(118, 880 / (len(columns) - 1))
    across = [24 + at * step for at in range(len(columns))]
    width = round(across[-1] + 90)
    lines = [
        _line(one, columns, across, (len(trials) - 1 - rank) * COLOURS // len(trials), metric)
        for rank, one in enumerate(trials)
    ]
    parts = [Markup('<g class="lines{}">').format(" dense" * (len(lines) > 100)), *reversed(lines), Markup("</g>")]
    parts += [_upright(one, x, step) for one, x in zip(columns, across, strict=True)]
    head = Markup(
        '<svg class="parallel" viewBox="0 0 {0} {1}" style="min-width: {2}px" role="img" aria-label="{3}">'
    ).format(width, _LOW + 24, round(0.8 * width), f"values of the parameters and {metric} of each trial")
    return head + Markup("").join(parts) + Markup("</svg>")


def number_column(name: str, values: Mapping[int, float], log: bool) -> Column:
    """Return an axis for numbers, by the number of their trial; a logarithmic one where all are positive."""
    change = math.log10 if log else float
    low, high = min(map(change, values.values())), max(map(change, values.values()))
    if high - low < 1e-9 * max(abs(high), 1e-12):
        low, high = low - 0.5, high + 0.5
    step = nice_step(high - low, 6)
    axis = Axis(low, high, step, _LOW, _HIGH)
    if log:
        ticks = [(axis.place(math.log10(tick)), f"{tick:.3g}") for tick in _log_ticks(low, high)]
    else:
        ticks = [(axis.place(tick), axis.label(tick)) for tick in axis.ticks()]
    return Column(name=name, ticks=ticks, bands=[], places={at: axis.place(change(one)) for at, one in values.items()})


def _log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers between two powers of ten: as few as show the scale."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        ticks = [factor * 10.0**power for power in decades for factor in factors]
        ticks = [tick for tick in ticks if low - 1e-9 <= math.log10(tick) <= high + 1e-9]
        if len(ticks) > 2:
            return ticks[:: math.ceil(len(ticks) / 10)]
    return sorted({10**low, 10**high})


def _value_column(effect: Effect, shown: set[int], summary: SweepSummary) -> Column:
    """Return an axis on which each value has a stretch, and its trials lie side by side from the best to the worst."""
    size = (_LOW - _HIGH) / len(effect.groups)
    rising = all(is_number(one.params[effect.parameter]) for group in effect.groups for one in group.trials)
    groups = list(reversed(effect.groups)) if rising else list(effect.groups)  # large numbers are at the top
    ticks, bands, places = [], [], {}
    for at, group in enumerate(groups):
        middle = _HIGH + (at + 0.5) * size
        members = [one for one in summary.ranking if one in group.trials and one.number in shown]
        reach = min(0.32 * size, 2.0 * (len(members) - 1)) if members else 0.0
        for order, one in enumerate(members):
            places[one.number] = middle - reach + 2 * reach * (order / (len(members) - 1) if len(members) > 1 else 0.5)
        if at % math.ceil(len(groups) / MAX_GROUPS) == 0:
            ticks.append((middle - reach - 9, group.name))  # above the stretch, where fewer lines pass
        bands.append((middle - reach - 2, middle + reach + 2))
    return Column(name=effect.parameter, ticks=ticks, bands=bands, places=places)


def _label(group: Group, middle: float, width: float, slanted: bool) -> Markup:
    """Write the value of a column and its number of trials below it, the value slanted where it is wide."""
    n = f"n = {len(group.values)}" if width >= 44 else str(len(group.values))
    if not slanted:
        lines = [*(_lines(group.name, width) or []), n]
        return Markup("").join(
            Markup('<text class="across" x="{:.1f}" y="{}">{}</text>').format(middle, BOTTOM + 17 + 16 * at, line)
            for at, line in enumerate(lines)
        )
    return Markup(
        '<text class="across" x="{0:.1f}" y="{1}">{2}</text>'
        '<text class="up" transform="translate({3:.1f} {4}) rotate(-{5})">{6}</text>'
    ).format(middle, BOTTOM + 15, n, middle + 5, BOTTOM + 29, _SLANT, shorten(group.name, _LONGEST))


def _lines(name: str, width: float) -> list[str] | None:
    """Return the one or two lines of a label below a column; None where it is too long for that."""
    lines = wrap(name, max(int((width - 4) / CHARACTER), 1), 2)
    return lines if "".join(lines).replace(" ", "") == name.replace(" ", "") else None


def _hit(group: Group, middle: float, width: float, metric: str) -> Markup:
    """Return an invisible column that shows its figures where the mouse rests on it."""
    text = f"{group.name}: n = {len(group.values)} complete of {len(group.trials)}"
    if group.values:
        text += f"\nmean {metric} {number(group.mean)}, standard deviation {number(group.deviation)}"
        text += f"\nfrom {number(min(group.values))} to {number(max(group.values))}"
    return Markup('<rect class="hit" x="{:.1f}" y="{}" width="{:.1f}" height="{}"><title>{}</title></rect>').format(
        middle - width / 2, TOP, width, BOTTOM - TOP, text
    )


def _dots(effect: Effect, group: Group, middle: float, width: float, metric: str, up: Axis) -> Markup:
    """Draw one faint dot for each trial: in a range by its value, else spread so that none hides another one."""
    reach = 0.36 * width * (1 if effect.binned else min(1, len(group.values) / 12))
    parts, low, span, change = [], 0.0, 0.0, float
    if effect.binned:
        inside = [one.params[effect.parameter] for one in group.trials]
        change = math.log if min(inside) > 0 and max(inside) > 3 * min(inside) else float
        low, span = change(min(inside)), change(max(inside)) - change(min(inside))
    for order, one in enumerate(group.complete):
        share = (order + 1) * 0.618034 % 1
        if effect.binned:
            share = (change(one.params[effect.parameter]) - low) / span if span else 0.5
        setting = shorten(value_text(one.params[effect.parameter]), 80)
        text = f"trial {one.number}: {metric} {number(one.value)}, {effect.parameter} {setting}"
        value = min(max(one.value or 0.0, up.low), up.high)
        parts.append(
            Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="3"><title>{}</title></circle>').format(
                "trial outside" if beyond(one.value or 0.0, up) else "trial",
                middle + (2 * share - 1) * reach,
                up.place(value),
                text,
            )
        )
    return Markup("").join(parts)


def _mean(group: Group, middle: float, width: float, up: Axis) -> Markup:
    if group.mean is None:
        return Markup("")
    reach, spread = min(0.3 * width, 22), group.deviation or 0.0
    ends = [group.mean - spread, group.mean + spread]
    inside = [min(max(end, up.low), up.high) for end in ends]
    bar = Markup('<path d="M{:.1f} {:.1f}V{:.1f}"/>').format(middle, *map(up.place, inside))
    for end in ends:
        if not beyond(end, up):  # a bar without its end goes on beyond the axis
            bar += Markup('<path d="M{:.1f} {:.1f}h{:.1f}"/>').format(middle - reach / 3, up.place(end), reach * 2 / 3)
    mark = Markup('<path class="middle" d="M{:.1f} {:.1f}h{:.1f}"/>').format(
        middle - reach, up.place(min(max(group.mean, up.low), up.high)), 2 * reach
    )
    return Markup('<g class="mean">') + (bar if spread else Markup("")) + mark + Markup("</g>")


def _line(trial: Trial, columns: Sequence[Column], across: Sequence[float], colour: int, metric: str) -> Markup:
    points = [
        f"{x:.0f} {one.places[trial.number]:.1f}"
        for one, x in zip(columns, across, strict=True)
        if trial.number in one.places
    ]
    pruned = " (pruned)" * (trial.state == "pruned")
    lines = [f"trial {trial.number}{pruned}: {metric} {number(trial.value)}"]
    lines += [f"{name} {shorten(value_text(value), 80)}" for name, value in trial.params.items()]
    return Markup(
        '<g class="q{0}{1}"><title>{2}</title><path class="wider" d="M{3}"/><path class="thread" d="M{3}"/></g>'
    ).format(colour, " pruned" * (trial.state == "pruned"), "\n".join(lines), "L".join(points))


def _upright(column: Column, x: float, step: float) -> Markup:
    """Draw an axis with its name above it, in at most three lines, and its ticks on top of the lines of the trials."""
    words = wrap(column.name, int((step - 12) / CHARACTER))
    parts = [
        Markup('<text class="head" x="{:.0f}" y="{}">{}<title>{}</title></text>').format(
            x - 8, _HIGH - 12 - 14 * (len(words) - 1 - at), word, column.name
        )
        for at, word in enumerate(words)
    ]
    parts.append(Markup('<path class="axis" d="M{:.0f} {}V{}"/>').format(x, _HIGH, _LOW))
    for high, low in column.bands:
        parts.append(Markup('<path class="band" d="M{:.0f} {:.1f}V{:.1f}"/>').format(x, high, low))
    for y, text in column.ticks:
        if not column.bands:
            parts.append(Markup('<path class="axis" d="M{:.0f} {:.1f}h4"/>').format(x, y))
        room = int((min(step, 130) - 14) / CHARACTER)
        parts.append(
            Markup('<text class="value" x="{:.0f}" y="{:.1f}">{}</text>').format(x + 8, y + 4, shorten(text, room))
        )
    return Markup("").join(parts)


def shorten(text: str, longest: int) -> str:
    """Return a text of at most so many characters; three dots stand for the rest."""
    return text if len(text) <= longest else f"{text[: max(longest - 1, 1)]}…"


def wrap(name: str, longest: int, lines: int = 3) -> list[str]:
    """Divide a name at its dots, spaces and underscores into lines of at most so many characters."""
    words, line = [], ""
    for part in re.split(r"(?<=[_ ])|(?<=\.)(?=[^\d])", name):
        if line and len((line + part).strip()) > longest:
            words.append(line)
            line = ""
        line += part
    words.append(line)
    if len(words) > lines:
        words = [*words[: lines - 1], "".join(words[lines - 1 :])]
    return [shorten(word.strip(), longest) for word in words]
