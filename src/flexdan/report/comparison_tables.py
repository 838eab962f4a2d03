"""The tables of a comparison: figures of each configuration, differences from the baseline, and all of it as CSV."""

import csv
import io
import math
from collections.abc import Sequence

from flexdan.metrics import LOWER_IS_BETTER
from flexdan.report.checks import is_fair
from flexdan.report.contest import Comparison, Spread
from flexdan.report.evaluation_tables import DISTANCES, METRIC_NAMES
from flexdan.report.facts import NONE, many
from flexdan.report.paired import Difference, Interval, Metric
from flexdan.report.tables import Table

WAYS = {"pooled": "pooled over all images", "image_mean": "mean over images"}
_LEVELS = {"network_size": "network's size", "full_resolution": "full resolution", "objects": "objects"}
_OWN = ("f1", "panoptic_quality", "segmentation_quality", "recognition_quality", "aji", "boundary_f1", *DISTANCES)
HOW = (
    "Differences are paired. 95 % intervals; over seeds: Student's t, would other trainings show it on these images; "
    "over images: bootstrap of {drawn}, {resamples} resamples, would these networks show it on other images; over "
    "both: seeds and images resampled, crossed. Better or worse is said only if all three lie on one side of zero."
)
COLUMNS = (
    *("configuration", "level", "metric", "over", "seeds", "mean", "deviation", "baseline", "part", "images"),
    *("paired_seeds", "difference", "seeds_low", "seeds_high", "images_low", "images_high", "both_low", "both_high"),
    *("better", "worse", "equal", "verdict", "fair"),
)


def metric_text(level: str, metric: str) -> str:
    """Return a metric in words; an arrow says that lower is better."""
    name = METRIC_NAMES.get(metric, f"AP{metric[2:]}" if metric[:2] == "ap" and metric[2:].isdigit() else None)
    name = name or metric.replace("_", " ")
    own = metric in _OWN or metric.startswith(("object_", "ap")) or level == "calibration"
    return name + ("" if own else f", {_LEVELS.get(level, level)}") + (" ↓" if metric in LOWER_IS_BETTER else "")


def figures_table(comparison: Comparison, way: str) -> Table:
    """Return mean and standard deviation over seeds of every configuration and metric."""
    rows = []
    for one in comparison.configurations:
        mark = " (baseline)" * (one.name == comparison.baseline and len(comparison.configurations) > 1)
        figures = comparison.figures[one.name]
        cells = [_spread(figures[level, metric, way], metric) for level, metric in comparison.metrics]
        rows.append([one.name + mark, str(len(one.members)), *cells])
    title = f"{comparison.split}: {many(comparison.images, 'image')}, {WAYS[way]}"
    header = ["configuration", "seeds", *(metric_text(*one) for one in comparison.metrics)]
    return Table(title=title, header=header, rows=rows, note="Mean ± standard deviation over seeds.")


def differences_table(comparison: Comparison, way: str) -> Table:
    """Return the difference of every other configuration from the baseline, its intervals and the verdict."""
    rows = []
    for one in comparison.configurations:
        for number, metric in enumerate(comparison.metrics):
            if found := comparison.find(one.name, *metric, way):
                rows.append([one.name if number == 0 else "", metric_text(*metric), *_cells(found)])
    title = f"minus {comparison.baseline}, {WAYS[way]}"
    note = f"{len(rows)} comparisons: the more there are, the more are shown by chance." if len(rows) > 1 else ""
    header = ["configuration", "metric", *_HEADER]
    return Table(title=title, header=header, rows=rows, text_columns=2, note=note)


def how(comparison: Comparison) -> str:
    """Return what the intervals mean, and what was resampled."""
    drawn = f"{comparison.groups} groups" if comparison.clusters else "single images"
    text = HOW.format(drawn=drawn, resamples=comparison.resamples)
    if comparison.groups and not comparison.clusters:
        text += f" Images of a group are alike, and there are {comparison.groups} groups: see --clusters."
    return text


def parts_table(comparison: Comparison, way: str, by: str) -> Table:
    """Return the differences in the images of each grade or group."""
    rows = [
        [name, part.name, str(part.images), metric_text(*metric), *_cells(one)]
        for name in comparison.differences
        for metric in comparison.metrics
        for part in comparison.parts
        for one in part.differences.get(name, ())
        if (one.level, one.metric, one.way) == (*metric, way)
    ]
    title = f"minus {comparison.baseline}, by {by}, {WAYS[way]}"
    header = ["configuration", by, "images", "metric", *_HEADER]
    return Table(title=title, header=header, rows=rows, text_columns=4)


def comparison_csv(comparison: Comparison, ways: Sequence[str]) -> str:
    """Return everything as CSV, one row for each configuration, metric and way, all digits kept."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    fair = "yes" if is_fair(comparison.checks) else "no"
    for one in comparison.configurations:
        for metric in comparison.metrics:
            for way in ways:
                row = _facts(one.name, metric, way, comparison) | {"fair": fair, "seeds": len(one.members)}
                mean, deviation = comparison.figures[one.name][(*metric, way)]
                row |= {"mean": _exact(mean), "deviation": _exact(deviation), "images": comparison.images}
                found = comparison.find(one.name, *metric, way)
                writer.writerow(row | (_difference(found) if found else {}))
    for part in comparison.parts:
        for name, found in part.differences.items():
            for one in found:
                if one.way in ways:
                    row = _facts(name, (one.level, one.metric), one.way, comparison) | {"fair": fair}
                    writer.writerow(row | {"part": part.name, "images": part.images} | _difference(one))
    return text.getvalue()


_HEADER = ("seeds", "difference", "over seeds", "over images", "over both", "images better/worse/equal", "verdict")


def _cells(one: Difference) -> list[str]:
    form = f"+{_form(one.metric)}"
    return [
        str(len(one.by_seed)),
        _number(one.mean, form),
        *(_interval(found, form) for found in (one.over_seeds, one.over_images, one.over_both)),
        f"{one.better}/{one.worse}/{one.equal}",
        one.verdict,
    ]


def _facts(name: str, metric: Metric, way: str, comparison: Comparison) -> dict[str, object]:
    level, metric_name = metric
    facts: dict[str, object] = {"configuration": name, "level": level, "metric": metric_name, "over": way}
    return facts | {"baseline": "" if name == comparison.baseline else comparison.baseline}


def _difference(one: Difference) -> dict[str, object]:
    found = {"seeds": one.over_seeds, "images": one.over_images, "both": one.over_both}
    ends = {
        f"{name}_{end}": "" if ends is None else _exact(ends[place])
        for name, ends in found.items()
        for place, end in enumerate(("low", "high"))
    }
    counts = {"better": one.better, "worse": one.worse, "equal": one.equal, "verdict": one.verdict}
    return {"paired_seeds": len(one.by_seed), "difference": _exact(one.mean), **ends, **counts}


def _exact(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.10g}"


def _form(metric: str) -> str:
    return ".2f" if metric in DISTANCES else ".4f"


def _number(value: float, form: str) -> str:
    return NONE if math.isnan(value) else format(value, form)


def _interval(found: Interval | None, form: str) -> str:
    if found is None or any(map(math.isnan, found)):
        return NONE
    return f"[{found[0]:{form}}, {found[1]:{form}}]"


def _spread(spread: Spread, metric: str) -> str:
    mean, deviation = spread
    text = _number(mean, _form(metric))
    return text if deviation is None or text == NONE else f"{text} ± {deviation:{_form(metric)}}"
