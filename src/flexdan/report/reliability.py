"""The reliability diagram of an evaluation: how often a network is right, by how sure it is."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from flexdan.report.figures import BOTTOM, LEFT, RIGHT, TOP, Axis, axes, svg
from flexdan.report.standalone import standalone


def reliability_chart(calibration: Mapping[str, Any]) -> Markup:
    """Draw the accuracy of the pixels of each bin of confidence (DeGroot and Fienberg 1983; Guo et al. 2017, figure 1).

    Args:
        calibration: what stands in metrics.json: `bins` with `pixels`, `confidence` and `accuracy`, None where a bin
            has no pixel, and the `pooled` figures.

    Returns:
        An `<svg>`: bars of accuracy over confidence, pale ones of the share of all pixels, and the diagonal, on which
        both are equal.
    """
    bins = calibration["bins"]
    count, total = len(bins["pixels"]), max(sum(bins["pixels"]), 1)
    across, up = Axis(0, 1, 0.2, LEFT, RIGHT), Axis(0, 1, 0.2, BOTTOM, TOP)
    bars = []
    for number in range(count):
        pixels, confidence, accuracy = (bins[name][number] for name in ("pixels", "confidence", "accuracy"))
        if not pixels:
            continue
        left, right = across.place(number / count) + 1, across.place((number + 1) / count) - 1
        share = pixels / total
        text = f"confidence {confidence:.3f}: right {accuracy:.3f}, {100 * share:.1f} % of the pixels"
        for kind, value, start, end in (
            ("bar", accuracy, left, (left + 2 * right) / 3),
            ("share", share, (left + 2 * right) / 3, right),
        ):
            bars.append(
                Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                    kind, start, up.place(value), end - start, BOTTOM - up.place(value)
                )
            )
        bars.append(
            Markup('<rect class="hit" x="{:.1f}" y="{}" width="{:.1f}" height="{}"><title>{}</title></rect>').format(
                left, TOP, right - left, BOTTOM - TOP, text
            )
        )
    diagonal = Markup('<path class="level" d="M{} {}L{} {}"/>').format(LEFT, BOTTOM, RIGHT, TOP)
    return svg("Accuracy by confidence", [axes(across, up, "confidence"), *bars, diagonal, *_legend()])


def _legend() -> list[Markup]:
    entry = Markup('<rect class="{}" x="{}" y="{}" width="10" height="10"/><text x="{}" y="{}">{}</text>')
    return [
        entry.format(kind, LEFT + 12, top, LEFT + 28, top + 9, name)
        for kind, top, name in (("bar", TOP + 8, "accuracy"), ("share", TOP + 26, "share of the pixels"))
    ]


def reliability_picture(calibration: Mapping[str, Any]) -> str:
    """Return the diagram as the text of an SVG file."""
    return standalone(reliability_chart(calibration))
