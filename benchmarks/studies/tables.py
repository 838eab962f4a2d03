"""Tables of docs/results.md, from the records."""

import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from records import read_rows

from flexdan.config.files import atomic_path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "results.md"
WAYS = {"pooled": "pooled", "image_mean": "mean over images"}
OBJECTS = {"f1": "F1", "object_dice": "object Dice", "object_hausdorff": "object Hausdorff"}
NAMES = {**OBJECTS, "dice": "Dice of pixels", "iou": "IoU of pixels"}
PUBLISHED = (  # method, annotated, F1, object Dice, object Hausdorff
    ("DAN (Zhang et al. 2017), as published", "85, and 100 unannotated", "0.916", "0.903", "45.3"),
    ("its SN alone, as published", "85", "0.907", "0.898", "48.7"),
    ("best published since", "85", "0.931", "0.921", "32.3"),
)


def number(metric: str, value: str | float) -> str:
    """Return a score as text: distances with one digit, shares with three."""
    return f"{float(value):.1f}" if metric == "object_hausdorff" else f"{float(value):.3f}"


def full_table(name: str) -> list[Sequence[str]]:
    """Return the final network beside the published ones."""
    rows = [("method", "annotated", *OBJECTS.values()), *PUBLISHED]
    for one in read_rows(f"{name}_everything", HERE):
        for way, words in WAYS.items():
            cells = []
            for metric in OBJECTS:
                low, high = (number(metric, one[f"{metric}.{way}.{end}"]) for end in ("low", "high"))
                cells.append(f"{number(metric, one[f'{metric}.{way}'])} [{low}, {high}]")
            several = "" if one["networks"] == "1" else f"mean of {one['networks']} networks, "
            took = f"{several}{one['sn_updates']} updates, {one['minutes']} minutes on one core"
            rows.append((f"ours, {took}{' each' * bool(several)}, {words}", "85", *cells))
    return rows


def choose_table(name: str) -> list[Sequence[str]]:
    """Return the variants on the validation part, pooled, each with its difference from the first over the images."""
    rows: list[Sequence[str]] = [("variant", "seeds", *NAMES.values(), "minutes")]
    found: dict[str, list[dict[str, str]]] = {}
    for one in read_rows(f"{name}_choose", HERE):
        found.setdefault(one["variant"], []).append(one)
    differences = {
        (one["variant"], one["metric"]): f" ({_signed(one, 'difference')} {_interval(one, 'images')})"
        for one in read_rows(f"{name}_choose_differences", HERE)
        if one["over"] == "pooled"
    }
    for variant, those in found.items():
        cells = []
        for metric in NAMES:
            mean = statistics.fmean(float(one[f"{metric}.pooled"]) for one in those)
            cells.append(number(metric, mean) + differences.get((variant, metric), ""))
        minutes = statistics.fmean(float(one["minutes"]) for one in those)
        rows.append((variant, str(len(those)), *cells, f"{minutes:.1f}"))
    return rows


def prove_table(name: str) -> list[Sequence[str]]:
    """Return means and standard deviations over seeds of every strategy."""
    metrics = [name for name in NAMES if name != "iou"]
    names = (NAMES[metric] for metric in metrics)
    rows: list[Sequence[str]] = [("network", "processor", "annotated", "strategy", "seeds", *names, "minutes")]
    found: dict[tuple[str, str, int, str], list[dict[str, str]]] = {}
    for one in read_rows(f"{name}_prove", HERE):
        found.setdefault((*_group(one), one["strategy"]), []).append(one)
    for (network, processor, count, strategy), those in sorted(found.items(), key=lambda pair: pair[0][:3]):
        cells = []
        for metric in metrics:
            values = [float(one[f"{metric}.{'image_mean' if metric == 'dice' else 'pooled'}"]) for one in those]
            spread = number(metric, statistics.stdev(values)) if len(values) > 1 else "-"
            cells.append(f"{number(metric, statistics.fmean(values))} ± {spread}")
        minutes = statistics.fmean(float(one["minutes"]) for one in those)
        rows.append((network, processor, str(count), strategy, str(len(those)), *cells, f"{minutes:.1f}"))
    return rows


def _group(row: Mapping[str, str]) -> tuple[str, str, int]:
    return row["network"], row["processor"], int(row["annotated"])


def differences_table(name: str) -> list[Sequence[str]]:
    """Return the paired differences from supervised training: objects pooled, pixels as means over images."""
    spans = {name: f"over {name}" for name in ("seeds", "images", "both")}
    columns = ("network", "processor", "annotated", "strategy", "seeds", "metric", "difference")
    rows: list[Sequence[str]] = [(*columns, *spans.values(), "verdict")]
    for one in sorted(read_rows(f"{name}_prove_differences", HERE), key=_group):
        metric, way = one["metric"], "image_mean" if one["level"] == "full_resolution" else "pooled"
        if metric == "iou" or one["over"] != way:
            continue
        told = [_interval(one, name) for name in spans]
        cell = [one[column] for column in columns[:5]]
        rows.append((*cell, NAMES[metric], _signed(one, "difference"), *told, one["verdict"]))
    return rows


def _signed(row: Mapping[str, str], column: str) -> str:
    """Return a difference, or the end of an interval of it, as text."""
    return f"{float(row[column]):+.1f}" if row["metric"] == "object_hausdorff" else f"{float(row[column]):+.3f}"


def _interval(row: Mapping[str, str], over: str) -> str:
    ends = [f"{over}_{end}" for end in ("low", "high")]
    return f"[{', '.join(_signed(row, end) for end in ends)}]" if all(row[end] for end in ends) else "-"


TABLES: dict[str, Callable[[str], list[Sequence[str]]]] = {
    "full": full_table,
    "choose": choose_table,
    "prove": prove_table,
    "differences": differences_table,
}


def page_text() -> str:
    """Return docs/results.md with every table as the records have it."""

    def filled(found: re.Match[str]) -> str:
        name, kind = found[1].split()
        header, *rows = TABLES[kind](name)
        lines = [header, ["---"] * len(header), *rows]
        text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        return f"<!-- table: {found[1]} -->\n{text}\n<!-- end -->"

    return re.sub(r"<!-- table: ([\w ]+) -->\n.*?<!-- end -->", filled, PAGE.read_text(encoding="utf-8"), flags=re.S)


def write_tables() -> None:
    """Write the tables of docs/results.md anew."""
    text = page_text()
    with atomic_path(PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(f"written: {PAGE.name}")
