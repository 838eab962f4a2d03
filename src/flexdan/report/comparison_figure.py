"""An SVG figure of a comparison: for each metric the paired differences from the baseline, with their intervals."""

import math
from collections.abc import Mapping

from markupsafe import Markup

from flexdan.report.comparison_tables import WAYS, metric_text
from flexdan.report.contest import Comparison
from flexdan.report.figures import Axis, nice_step
from flexdan.report.paired import Difference, Interval
from flexdan.report.sweep_figures import shorten
from flexdan.report.tables import number

WIDTH = 720
_LEFT, _RIGHT = 250, 690  # ends of the level axes
_ROW, _HEAD, _FOOT = 22, 26, 40  # heights in SVG units: of a configuration, above and below those of a metric
_HOLLOW = "fill: none; stroke: var(--c, #1f6feb); stroke-width: 1.5"
_KEY = "dot: mean over seeds, hollow: not shown; ticks: seeds; thick: over images; thin: over seeds (Student's t)"


def comparison_figure(comparison: Comparison, way: str) -> tuple[Markup, int]:
    """Draw the differences of every configuration from the baseline, one scale for each metric.

    Args:
        comparison: with at least one difference.
        way: pooled or image_mean.

    Returns:
        An `<svg>` and its height; its width is `WIDTH`.
    """
    panels = {}
    for level, metric in comparison.metrics:
        found = {name: comparison.find(name, level, metric, way) for name in comparison.differences}
        panels[metric_text(level, metric)] = {name: one for name, one in found.items() if one is not None}
    return differences_figure(f"{comparison.split}, {WAYS[way]}: minus {comparison.baseline}", panels)


def differences_figure(
    title: str, panels: Mapping[str, Mapping[str, Difference]], colours: Mapping[str, int] = {}
) -> tuple[Markup, int]:
    """Draw differences, one scale for each metric.

    Args:
        title: of the figure.
        panels: by the text of a metric the differences by name; those that are not a number are left out.
        colours: numbers of colours by name, which else go by row.

    Returns:
        An `<svg>` and its height; its width is `WIDTH`.
    """
    parts = [Markup('<text x="14" y="18">{}</text>').format(shorten(title, 100))]
    top = 30
    for metric, found in panels.items():
        there = {name: one for name, one in found.items() if not math.isnan(one.mean)}
        if there:
            parts.append(_panel(metric, there, top, colours))
            top += _HEAD + _ROW * len(there) + _FOOT
    parts.append(Markup('<text x="14" y="{}">{}</text>').format(top + 8, _KEY))
    height = top + 20
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(WIDTH, height, title)
    return head + Markup("").join(parts) + Markup("</svg>"), height


def _panel(title: str, found: dict[str, Difference], top: int, colours: Mapping[str, int]) -> Markup:
    ends = [0.0]
    for one in found.values():
        ends += [*one.by_seed.values(), *(one.over_images or ()), *(one.over_seeds or ())]
    low, high = min(ends), max(ends)
    step = nice_step(high - low, 6) if high > low else 1.0
    across = Axis(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step, _LEFT, _RIGHT)
    if across.low == across.high:
        across = Axis(low - 1, high + 1, 1, _LEFT, _RIGHT)
    bottom = top + _HEAD + _ROW * len(found)
    parts = [Markup('<text x="14" y="{}" font-weight="600">{}</text>').format(top + 16, title)]
    for tick in across.ticks():
        x = across.place(tick)
        parts.append(Markup('<path class="grid" d="M{:.1f} {}V{}"/>').format(x, top + _HEAD - 6, bottom))
        parts.append(
            Markup('<text class="across" x="{:.1f}" y="{}">{}</text>').format(x, bottom + 16, across.label(tick))
        )
    parts.append(Markup('<path class="axis" d="M{0:.1f} {1}V{2}"/>').format(across.place(0.0), top + _HEAD - 6, bottom))
    for at, (name, one) in enumerate(found.items()):
        parts.append(_row(colours.get(name, at), name, one, across, top + _HEAD + _ROW * at + _ROW / 2))
    return Markup("").join(parts)


def _row(colour: int, name: str, one: Difference, across: Axis, y: float) -> Markup:
    def bar(ends: Interval | None, width: float) -> Markup:
        if ends is None or any(map(math.isnan, ends)):
            return Markup("")
        form = '<path class="line" style="stroke-width: {}" d="M{:.1f} {:.1f}H{:.1f}"/>'
        return Markup(form).format(width, across.place(ends[0]), y, across.place(ends[1]))

    ticks = [
        Markup('<path class="line" style="stroke-width: 1" d="M{:.1f} {:.1f}v10"/>').format(across.place(value), y - 5)
        for value in one.by_seed.values()
    ]
    told = f"{name}: {number(one.mean, '+.4g')}, {one.verdict}"
    return Markup("").join(
        [
            Markup('<g class="s{}"><title>{}</title>').format(colour % 5, told),
            Markup('<text class="up" x="{}" y="{:.1f}">{}</text>').format(_LEFT - 10, y + 4, shorten(name, 34)),
            bar(one.over_seeds, 1.5),
            bar(one.over_images, 5),
            *ticks,
            Markup('<circle class="dot" style="{}" cx="{:.1f}" cy="{:.1f}" r="5"/></g>').format(
                "" if one.verdict in ("better", "worse") else _HOLLOW, across.place(one.mean), y
            ),
        ]
    )
