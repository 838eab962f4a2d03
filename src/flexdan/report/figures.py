"""Plain SVG figures, drawn from numbers: curves over epochs, and how many images reach which Dice."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from markupsafe import Markup, escape

WIDTH, HEIGHT = 480, 260  # of every figure, in SVG units; the page scales it
LEFT, RIGHT, TOP, BOTTOM = 56, 468, 14, 218  # edges of the area inside the axes
MAX_COLUMNS = 250  # at most so many epochs answer to the mouse


@dataclass(frozen=True, kw_only=True)
class Series:
    """One curve: its name and its value in each epoch, None where there is none."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Axis:
    """A straight scale: from `low` at the pixel `start` to `high` at the pixel `end`, with a tick at every `step`."""

    low: float
    high: float
    step: float
    start: float
    end: float

    def place(self, value: float) -> float:
        """Return the pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return the values of the ticks."""
        first, last = math.ceil(self.low / self.step - 1e-9), math.floor(self.high / self.step + 1e-9)
        return [number * self.step for number in range(first, last + 1)]

    def label(self, tick: float) -> str:
        """Return the text of a tick, with as many digits as the step needs."""
        if not 1e-4 <= self.step < 1e6:
            return f"{tick:.3g}"
        digits = next(
            digits for digits in range(7) if abs(self.step * 10**digits - round(self.step * 10**digits)) < 1e-6
        )
        return f"{tick:,.{digits}f}"


def nice_step(span: float, ticks: int) -> float:
    """Return the smallest of 1, 2, 2.5, 5 times a power of ten that divides a span into at most so many parts."""
    power = 10.0 ** math.floor(math.log10(span / ticks))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10, 20) if power * factor * ticks >= span * (1 - 1e-9))


def value_axis(values: Sequence[float]) -> Axis:
    """Return the upright axis for some values: from 0 unless they are all far from it."""
    low, high = min(values), max(values)
    if 0 <= low <= high / 2:
        low = 0.0
    if high - low < 1e-9 * max(abs(high), 1e-12):  # all equal
        low, high = (0.0, high) if high > 0 else (low - 1.0, high + 1.0)
    step = nice_step(high - low, 5)
    return Axis(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step, BOTTOM, TOP)


def epoch_axis(epochs: Sequence[int]) -> Axis:
    """Return the level axis for some epochs; its ticks are whole numbers."""
    low, high = epochs[0], epochs[-1]
    if low == high:
        return Axis(low - 0.5, high + 0.5, 1, LEFT, RIGHT)
    step = nice_step(high - low, 8)
    return Axis(low, high, 1 if step < 1 else math.ceil(step), LEFT, RIGHT)


def line_chart(
    title: str,
    epochs: Sequence[int],
    series: Sequence[Series],
    marked: int | None = None,
    *,
    within: Sequence[float] = (),
    levels: Mapping[str, float] = {},
    states: Mapping[int, str] = {},
) -> Markup:
    """Draw curves over epochs.

    Args:
        title: of the figure, with the unit of the values; for screen readers, the page sets its own heading.
        epochs: ascending.
        series: curves with one value for each epoch; at least one value is there.
        marked: an epoch that gets an upright line, the best one.
        within: values that the upright axis holds whatever the curves do.
        levels: values that get a level line, by the name that stands at it.
        states: a word for some of the epochs, drawn as a band above the curves; its colour is the class of that name.

    Returns:
        An `<svg>`; each epoch shows its values where the mouse rests on it.
    """
    across = epoch_axis(epochs)
    up = value_axis(
        [*(value for one in series for value in one.values if value is not None), *within, *levels.values()]
    )
    parts = [axes(across, up, "epoch"), _band(epochs, states, across)]
    for name, level in levels.items():
        y = up.place(level)
        parts.append(Markup('<path class="level" d="M{} {:.1f}H{}"/>').format(LEFT, y, RIGHT))
        parts.append(Markup('<text class="up" x="{}" y="{:.1f}">{}</text>').format(RIGHT, y - 4, name))
    if marked is not None:
        x = across.place(marked)
        parts.append(Markup('<path class="best" d="M{0:.1f} {1}V{2}"/>').format(x, TOP, BOTTOM))
    for number, one in enumerate(series):
        parts.append(_curve(number, one, epochs, across, up, hides=any(_same(one, other) for other in series[:number])))
    parts.append(_columns(epochs, series, across, marked))
    return svg(f"{title} by epoch", parts)


def histogram(title: str, values: Sequence[float], bins: int = 20) -> Markup:
    """Draw how many of some values, all in 0..1, lie in each of equal bins; the last bin holds the 1 too."""
    counts = [0] * bins
    for value in values:
        counts[min(int(value * bins + 1e-9), bins - 1)] += 1
    across = Axis(0, 1, 0.2, LEFT, RIGHT)
    step = max(1, math.ceil(nice_step(max(*counts, 1), 4)))
    up = Axis(0, math.ceil(max(*counts, 1) / step) * step, step, BOTTOM, TOP)
    bars = []
    for number, count in enumerate(counts):
        left, right = across.place(number / bins) + 1, across.place((number + 1) / bins) - 1
        top = up.place(count)
        text = f"Dice {number / bins:.2f} to {(number + 1) / bins:.2f}: {count} image{'s' * (count != 1)}"
        bars.append(
            Markup(
                '<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
                '<rect class="hit" x="{:.1f}" y="{}" width="{:.1f}" height="{}"><title>{}</title></rect>'
            ).format(left, top, right - left, BOTTOM - top, left - 1, TOP, right - left + 2, BOTTOM - TOP, text)
        )
    return svg(title, [axes(across, up, "Dice"), *bars])


def svg(title: str, parts: Sequence[Markup]) -> Markup:
    """Return an `<svg>` of the usual size; the title is for screen readers."""
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(WIDTH, HEIGHT, title)
    return head + Markup("").join(parts) + Markup("</svg>")


def axes(across: Axis, up: Axis, below: str) -> Markup:
    """Draw both axes with their ticks, and the name of the level one below it."""
    parts = []
    for tick in up.ticks():
        y = up.place(tick)
        parts.append(Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(LEFT, y, RIGHT))
        parts.append(Markup('<text class="up" x="{}" y="{:.1f}">{}</text>').format(LEFT - 7, y + 4, up.label(tick)))
    for tick in across.ticks():
        place, text = across.place(tick), across.label(tick)
        parts.append(Markup('<path class="axis" d="M{:.1f} {}v4"/>').format(place, BOTTOM))
        parts.append(Markup('<text class="across" x="{:.1f}" y="{}">{}</text>').format(place, BOTTOM + 17, text))
    parts.append(Markup('<path class="axis" d="M{} {}H{}"/>').format(LEFT, BOTTOM, RIGHT))
    middle = (LEFT + RIGHT) / 2
    parts.append(Markup('<text class="across" x="{:.1f}" y="{}">{}</text>').format(middle, HEIGHT - 6, below))
    return Markup("").join(parts)


def _band(epochs: Sequence[int], states: Mapping[int, str], across: Axis) -> Markup:
    """Draw a bar above the curves for each stretch of epochs in the same state."""
    edges = [LEFT, *((across.place(one) + across.place(after)) / 2 for one, after in pairwise(epochs)), RIGHT]
    parts = []
    for state, stretch in groupby(range(len(epochs)), lambda at: states.get(epochs[at])):
        if state is None:
            continue
        at = list(stretch)
        left, right, first, last = edges[at[0]], edges[at[-1] + 1], epochs[at[0]], epochs[at[-1]]
        text = f"{state}, epoch {first}" if first == last else f"{state}, epochs {first} to {last}"
        parts.append(
            Markup('<rect class="state {}" x="{:.1f}" y="2" width="{:.1f}" height="8"><title>{}</title></rect>').format(
                state, left, right - left, text
            )
        )
    return Markup("").join(parts)


def _same(one: Series, other: Series) -> bool:
    return all(value is None or value == twin for value, twin in zip(one.values, other.values, strict=True))


def _curve(number: int, one: Series, epochs: Sequence[int], across: Axis, up: Axis, hides: bool) -> Markup:
    """Draw one curve: with a gap where a value is missing, dots where there are few, dashed if it hides another one."""
    points = [
        None if value is None else (across.place(epoch), up.place(value))
        for epoch, value in zip(epochs, one.values, strict=True)
    ]
    path, dots = "", []
    for at, point in enumerate(points):
        if point is None:
            continue
        before = points[at - 1] if at else None
        after = points[at + 1] if at + 1 < len(points) else None
        path += f"{'L' if before else 'M'}{point[0]:.1f} {point[1]:.1f}"
        if len(points) <= 30 or (before is None and after is None):
            dots.append(Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="2.4"/>').format(*point))
    line = Markup('<path class="line{}" d="{}"/>').format(" twin" * hides, path)
    return Markup('<g class="s{}">').format(number) + line + Markup("").join(dots) + Markup("</g>")


def _columns(epochs: Sequence[int], series: Sequence[Series], across: Axis, marked: int | None) -> Markup:
    """Return an invisible column for each epoch that shows its values where the mouse rests on it."""
    stride = math.ceil(len(epochs) / MAX_COLUMNS)
    chosen = list(range(0, len(epochs), stride))
    half = (across.place(epochs[-1]) - across.place(epochs[0])) / max(len(chosen) - 1, 1) / 2 or 20
    parts = []
    for at in chosen:
        x = across.place(epochs[at])
        left, right = max(x - half, LEFT), min(x + half, RIGHT)
        lines = [f"epoch {epochs[at]}{' (best)' if epochs[at] == marked else ''}"]
        lines += [f"{one.name} {'-' if (value := one.values[at]) is None else f'{value:.4g}'}" for one in series]
        parts.append(
            Markup('<rect class="hit" x="{:.1f}" y="{}" width="{:.1f}" height="{}"><title>{}</title></rect>').format(
                left, TOP, right - left, BOTTOM - TOP, escape("\n".join(lines))
            )
        )
    return Markup("").join(parts)
