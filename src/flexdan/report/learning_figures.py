"""SVG figures of a learning curve: a score over the number of annotated images, and what a strategy gains."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from markupsafe import Markup, escape

from flexdan.report import standalone
from flexdan.report.curves import Figure
from flexdan.report.figures import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, value_axis
from flexdan.report.learning_curve import Spread

APART = 7.0  # SVG units between the strategies at one count
INSET = 24  # between the outermost counts and the ends of the axis
CAP = 3.5  # half of the width of the end of a bar
CHARACTER = 7.0  # width of a digit of a label
HEAD, GAP = 46, 24  # above a figure in the file that stands alone, and between two
STYLE = """\
.title { font-size: 14px; font-weight: 600; fill: #1d2126; } .name { font-size: 13px; fill: #1d2126; }
.spread { fill: none; stroke: var(--c); stroke-width: 1.4; } .middle { stroke: var(--c); stroke-width: 3; }
.seed { fill: var(--c); fill-opacity: .45; }
"""


def curve_figure(
    cells: Sequence[Spread], *, title: str, better: str, strategies: Sequence[str], counts: Sequence[int]
) -> Figure | None:
    """Draw a score over the number of annotated images: seeds, their mean, and ± one standard deviation.

    Args:
        cells: by strategy and count.
        title: the score in words.
        better: which direction is, where that must be said; empty otherwise.
        strategies: all of the study, each of which has a line in its colour.
        counts: all of the study, ascending.

    Returns:
        None if no network has the score.
    """
    bars = {
        (one.strategy, one.annotated): (one.mean - one.deviation, one.mean + one.deviation)
        for one in cells
        if one.mean is not None and one.deviation is not None
    }
    values = [value for one in cells for value in one.values.values()]
    if not values:
        return None
    ends = [end for bar in bars.values() for end in bar]
    up = value_axis([*values, *ends] if any(values) else [0.0, 1.0])
    drawing = _draw(title, cells, strategies, counts, bars, up, joined=True)
    unit = ", ".join(["mean ± sd", *([better] if better else [])])
    return Figure(title=title, unit=unit, drawing=drawing, names=list(strategies))


def gain_figure(
    cells: Sequence[Spread], *, title: str, better: str, strategies: Sequence[str], counts: Sequence[int]
) -> Figure | None:
    """Draw what strategies gain over the supervised one: seeds, their mean, and its 95 % interval.

    Args:
        cells: differences by strategy and count.
        title: see `curve_figure`, as the others.
        better: which direction is.
        strategies: all of the study.
        counts: all of the study.

    Returns:
        None if there is no pair.
    """
    bars = {(one.strategy, one.annotated): one.interval for one in cells if one.interval is not None}
    values = [value for one in cells for value in one.values.values()]
    if not values:
        return None
    low, high = min(*values, 0.0), max(*values, 0.0)
    reach = 1.5 * (high - low)  # of two seeds the interval is so long that nothing else could be seen
    ends = [min(max(end, low - reach), high + reach) for bar in bars.values() for end in bar]
    up = value_axis([low, high, *ends])
    drawing = _draw(f"{title}, minus supervised,", cells, strategies, counts, bars, up, joined=False)
    unit = ", ".join(["pairs, mean, 95 % interval", *([better] if better else [])])
    return Figure(title="Minus supervised", unit=unit, drawing=drawing)


def _draw(
    title: str,
    cells: Sequence[Spread],
    strategies: Sequence[str],
    counts: Sequence[int],
    bars: Mapping[tuple[str, int], tuple[float, float]],
    up: Axis,
    *,
    joined: bool,
) -> Markup:
    places = count_places(counts)
    parts = [_axes(places, up), _columns(cells, places)]
    for number, strategy in enumerate(strategies):
        shift = APART * (number - (len(strategies) - 1) / 2)
        path, marks = "", []
        for one in cells:
            if one.strategy != strategy or one.mean is None:
                continue
            x, y = places[one.annotated] + shift, up.place(one.mean)
            path += f"{'L' if path else 'M'}{x:.1f} {y:.1f}"
            if (bar := bars.get((strategy, one.annotated))) is not None:
                marks.append(_bar(x, bar, up))
            for value in one.values.values():
                dot = '<circle class="seed" cx="{:.1f}" cy="{:.1f}" r="2.6"/>'
                marks.append(Markup(dot).format(x, up.place(value)))
            marks.append(Markup('<path class="middle" d="M{:.1f} {:.1f}h9"/>').format(x - 4.5, y))
        line = Markup('<path class="line" d="{}"/>').format(path) if joined and path else Markup("")
        parts.append(Markup('<g class="s{}">').format(number % 5) + line + Markup("").join(marks) + Markup("</g>"))
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
        WIDTH, HEIGHT, f"{title} by number of annotated images"
    )
    return head + Markup("").join(parts) + Markup("</svg>")


def count_places(counts: Sequence[int]) -> dict[int, float]:
    """Return the pixel of each count on a logarithmic axis; one alone stands in the middle."""
    low, high = math.log(counts[0]), math.log(counts[-1])
    if low == high:
        return {counts[0]: (LEFT + RIGHT) / 2}
    width = RIGHT - LEFT - 2 * INSET
    return {count: LEFT + INSET + (math.log(count) - low) / (high - low) * width for count in counts}


def _bar(x: float, bar: tuple[float, float], up: Axis) -> Markup:
    """Draw a bar; an end beyond the axis is cut and has no cap."""
    ends = [up.place(min(max(end, up.low), up.high)) for end in bar]
    path = f"M{x:.1f} {ends[0]:.1f}V{ends[1]:.1f}"
    slack = 1e-9 * (up.high - up.low)
    for end, y in zip(bar, ends, strict=True):
        if up.low - slack <= end <= up.high + slack:
            path += f"M{x - CAP:.1f} {y:.1f}h{2 * CAP:g}"
    return Markup('<path class="spread" d="{}"/>').format(path)


def _axes(places: Mapping[int, float], up: Axis) -> Markup:
    parts = []
    for tick in up.ticks():
        y = up.place(tick)
        parts.append(Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(LEFT, y, RIGHT))
        parts.append(Markup('<text class="up" x="{}" y="{:.1f}">{}</text>').format(LEFT - 7, y + 4, up.label(tick)))
    if up.low < 0 < up.high:
        parts.append(Markup('<path class="level" d="M{} {:.1f}H{}"/>').format(LEFT, up.place(0.0), RIGHT))
    free = -math.inf  # right end of the last label
    for count, x in places.items():
        parts.append(Markup('<path class="axis" d="M{:.1f} {}v4"/>').format(x, BOTTOM))
        half = len(str(count)) * CHARACTER / 2
        if x - half > free:
            parts.append(Markup('<text class="across" x="{:.1f}" y="{}">{}</text>').format(x, BOTTOM + 17, count))
            free = x + half + 3
    parts.append(Markup('<path class="axis" d="M{} {}H{}"/>').format(LEFT, BOTTOM, RIGHT))
    middle, text = (LEFT + RIGHT) / 2, "annotated images, logarithmic"
    parts.append(Markup('<text class="across" x="{:.1f}" y="{}">{}</text>').format(middle, HEIGHT - 6, text))
    return Markup("").join(parts)


def _columns(cells: Sequence[Spread], places: Mapping[int, float]) -> Markup:
    """Return an invisible column for each count that shows its values where the mouse rests on it."""
    edges = [LEFT, *((one + other) / 2 for one, other in pairwise(places.values())), RIGHT]
    parts = []
    for at, count in enumerate(places):
        lines = [f"{count} annotated"]
        for one in cells:
            if one.annotated == count and one.mean is not None:
                spread = f" ± {one.deviation:.4g}" if one.deviation is not None else ""
                seeds = ", ".join(f"{value:.4g}" for value in one.values.values())
                lines.append(f"{one.strategy} {one.mean:.4g}{spread} ({seeds})")
        parts.append(
            Markup('<rect class="hit" x="{:.1f}" y="{}" width="{:.1f}" height="{}"><title>{}</title></rect>').format(
                edges[at], TOP, edges[at + 1] - edges[at], BOTTOM - TOP, escape("\n".join(lines))
            )
        )
    return Markup("").join(parts)


def sheet(rows: Sequence[Sequence[Figure]], strategies: Sequence[str]) -> str:
    """Return one SVG file with figures side by side, with their headings, and the colours of the strategies.

    Args:
        rows: of figures.
        strategies: in the order of their colours.
    """
    width = max((len(row) for row in rows), default=1) * (WIDTH + GAP) + GAP
    height = 40 + len(rows) * (HEAD + HEIGHT)
    parts = [Markup(f"<style>{standalone.STYLE}{STYLE}</style>")]
    parts.append(Markup('<rect width="{}" height="{}" fill="#fff"/>').format(width, height))
    x = float(GAP)
    for number, name in enumerate(strategies):
        parts.append(
            Markup('<g class="s{}"><path class="line" d="M{:.0f} 22h18"/><text class="name" x="{:.0f}" y="26">').format(
                number % 5, x, x + 24
            )
            + Markup("{}</text></g>").format(name)
        )
        x += 24 + CHARACTER * len(name) + 24
    for down, row in enumerate(rows):
        for across, figure in enumerate(row):
            x, y = GAP + across * (WIDTH + GAP), 40 + down * (HEAD + HEIGHT)
            parts.append(Markup('<text class="title" x="{}" y="{}">{}</text>').format(x, y + 20, figure.title))
            parts.append(Markup('<text x="{}" y="{}">{}</text>').format(x, y + 36, figure.unit))
            parts.append(Markup('<g transform="translate({} {})">{}</g>').format(x, y + HEAD, _inner(figure.drawing)))
    head = Markup('<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}">').format(
        width, height
    )
    return str(head + Markup("").join(parts) + Markup("</svg>\n"))


def _inner(drawing: Markup) -> Markup:
    """Return what is between the tags of an `<svg>`."""
    return Markup(drawing[drawing.index(">") + 1 : drawing.rindex("</svg>")])
