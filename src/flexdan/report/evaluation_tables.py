"""The figures of an evaluation as tables, each with its interval; for the terminal and for the page."""

from collections.abc import Mapping, Sequence
from typing import Any

from flexdan.config import PostprocessingConfig
from flexdan.report.facts import NONE, many
from flexdan.report.tables import Table

METRIC_NAMES = {
    "accuracy": "accuracy",
    "iou": "IoU",
    "dice": "Dice",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "object_dice": "object Dice",
    "object_hausdorff": "object Hausdorff",
    "panoptic_quality": "PQ",
    "aji": "AJI",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap": "AP",
    "boundary_f1": "boundary F1",
    "hd95": "HD95",
    "asd": "ASD",
    "ece": "ECE",
    "mce": "MCE",
}
PIXELS = ("accuracy", "iou", "dice", "precision", "recall")
CHALLENGE = ("f1", "precision", "recall", "object_dice", "object_hausdorff")
OBJECTS = ("panoptic_quality", "aji", "ap50", "ap75", "ap")
BOUNDARIES = ("dice", "iou", "boundary_f1", "hd95", "asd")
GROUPED = ("f1", "object_dice", "object_hausdorff", "dice")
DISTANCES = ("object_hausdorff", "hd95", "asd")
MOST_GROUPS = 12


def pixel_tables(figures: Mapping[str, Any]) -> list[Table]:
    """Return the tables of the network's classes, at each size that was measured."""
    sizes = {}
    if size := figures.get("network_size"):
        sizes["network_size"] = f"pixels, {size['width']} x {size['height']}"
    if "full_resolution" in figures:
        sizes["full_resolution"] = "pixels, full resolution"
    return [_level_table(title, figures[level], PIXELS, "all pixels") for level, title in sizes.items()]


def object_tables(figures: Mapping[str, Any]) -> list[Table]:
    """Return the tables of the objects and of their boundaries; none if an older evaluation did not measure them."""
    if "objects" not in figures:
        return []
    return [
        _level_table("objects, GlaS challenge", figures["objects"], CHALLENGE, "all objects (as the challenge)"),
        _level_table("objects, further measures", figures["objects"], OBJECTS, "all objects"),
        _level_table("their pixels and boundaries", figures["objects"], BOUNDARIES, "all images together"),
    ]


def group_tables(figures: Mapping[str, Any]) -> list[Table]:
    """Return a table for the grades, and one for the groups, where the manifest has several."""
    return [_group_table(kind, members) for kind, members in figures.get("groups", {}).items()]


def describe_objects(figures: Mapping[str, Any]) -> str:
    """Say how the objects came about; empty for masks of other programs."""
    if not (values := figures.get("postprocessing")):
        return ""
    settings = PostprocessingConfig(**values["settings"])
    if tuning := values["tuning"]:
        return f"{settings}; tuned on {tuning['split']} ({many(tuning['images'], 'image')}) for {tuning['metric']}"
    return f"{settings}; not tuned on validation images (--tune-postprocessing)"


def describe_intervals(figures: Mapping[str, Any]) -> str:
    """Say what stands in brackets."""
    bootstrap = figures["bootstrap"]
    over = "groups" if bootstrap["clusters"] else "images"
    return f"In brackets: 95 % intervals, bootstrap over {over}, {bootstrap['resamples']} resamples."


def figure_text(name: str, value: float | None) -> str:
    """Return a figure with as many digits as it deserves."""
    return NONE if value is None else f"{value:.1f}" if name in DISTANCES else f"{value:.3f}"


def _level_table(title: str, figures: Mapping[str, Any], names: Sequence[str], pooled: str) -> Table:
    ways = (("pooled", pooled), ("image_mean", "mean of images"))
    rows = [[over, *(_with_interval(name, figures, way) for name in names)] for way, over in ways]
    if len(figures.get("classes_pooled", ())) > 2:
        for label, row in enumerate(figures["classes_pooled"]):
            rows.append([f"pixels, class {label}", *(figure_text(name, row.get(name)) for name in names)])
    return Table(title=title, header=[title, *(METRIC_NAMES[name] for name in names)], rows=rows)


def _group_table(kind: str, members: Mapping[str, Any]) -> Table:
    rows = [
        [name, str(figures["images"]), *(_with_interval(one, figures["objects"], "pooled") for one in GROUPED)]
        for name, figures in list(members.items())[:MOST_GROUPS]
    ]
    title = f"by {kind}, pooled"
    more = f"and {len(members) - MOST_GROUPS} more in metrics.json" if len(members) > MOST_GROUPS else ""
    header = [title, "images", *(METRIC_NAMES[name] for name in GROUPED)]
    return Table(title=title, header=header, rows=rows, note=more)


def _with_interval(name: str, figures: Mapping[str, Any], way: str) -> str:
    value = figure_text(name, figures[way].get(name))
    ends = figures.get(f"{way}_interval", {}).get(name)
    return f"{value} [{figure_text(name, ends[0])}, {figure_text(name, ends[1])}]" if ends else value
