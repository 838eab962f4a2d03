"""The figure of docs/results.md: what each strategy gains over supervised training, from the records."""

from pathlib import Path

from records import GROUP, read_rows

from flexdan.config.files import atomic_path
from flexdan.report.comparison_figure import WIDTH, differences_figure
from flexdan.report.paired import Difference, Interval
from flexdan.report.standalone import standalone

HERE = Path(__file__).parent
FIGURE = HERE.parents[1] / "docs" / "results-glas.svg"
METRICS = {  # level, metric, pooled or a mean over images -> text
    ("full_resolution", "dice", "image_mean"): "Dice of pixels, mean over images",
    ("objects", "f1", "pooled"): "F1 of objects, pooled",
    ("objects", "object_dice", "pooled"): "object Dice, pooled",
}


def figure_text(name: str) -> str:
    """Return the paired differences of all strategies, by number of annotated images, as the text of an SVG file.

    Ticks are those of all seeds, intervals of those whose counts are recorded.
    """
    trained: dict[tuple[str, ...], dict[int, dict[str, str]]] = {}
    for one in read_rows(f"{name}_prove", HERE):
        cell = (*(one[column] for column in GROUP), one["strategy"])
        trained.setdefault(cell, {})[int(one["seed"])] = one
    panels: dict[str, dict[str, Difference]] = {text: {} for text in METRICS.values()}
    rows = sorted(read_rows(f"{name}_prove_differences", HERE), key=lambda one: int(one["annotated"]))
    varied = [column for column in GROUP[:-1] if len({one[column] for one in rows}) > 1]  # what else tells rows apart
    strategies = list(dict.fromkeys(one["strategy"] for one in rows))
    colours: dict[str, int] = {}
    for one in rows:
        level, metric, way = kind = one["level"], one["metric"], one["over"]
        if kind not in METRICS:
            continue
        where = tuple(one[column] for column in GROUP)
        ours, theirs = trained[*where, one["strategy"]], trained[*where, "supervised"]
        column = f"{metric}.{way}"
        row = ", ".join([one["annotated"], one["strategy"], *(one[column].split("(")[0] for column in varied)])
        colours[row] = strategies.index(one["strategy"])
        panels[METRICS[kind]][row] = Difference(
            level=level,
            metric=metric,
            way=way,
            by_seed={seed: float(ours[seed][column]) - float(theirs[seed][column]) for seed in ours if seed in theirs},
            over_seeds=_ends(one, "seeds"),
            over_images=_ends(one, "images"),
            over_both=_ends(one, "both"),
            better=int(one["better"]),
            worse=int(one["worse"]),
            equal=int(one["equal"]),
        )
    title = f"{name}, test, by annotated images: minus supervised training of as many updates"
    drawing, height = differences_figure(title, panels, colours)
    return standalone(drawing, WIDTH, height)


def _ends(row: dict[str, str], over: str) -> Interval | None:
    low, high = row[f"{over}_low"], row[f"{over}_high"]
    return (float(low), float(high)) if low else None


def write_figure() -> None:
    """Draw the figure of docs/results.md anew."""
    with atomic_path(FIGURE) as temporary:
        temporary.write_text(figure_text("glas"), encoding="utf-8")
    print(f"written: {FIGURE.name}")
