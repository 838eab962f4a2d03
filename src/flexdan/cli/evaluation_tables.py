"""The figures of an evaluation as tables on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from flexdan.cli.tables import print_table

NAMES = {
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
}
PIXELS = ("accuracy", "iou", "dice", "precision", "recall")
OBJECTS = ("f1", "object_dice", "object_hausdorff", "panoptic_quality", "aji", "ap50", "ap75", "ap")
BOUNDARIES = ("dice", "iou", "boundary_f1", "hd95", "asd")
GROUPED = ("f1", "object_dice", "object_hausdorff", "dice")
DISTANCES = ("object_hausdorff", "hd95", "asd")
MOST_GROUPS = 12


def print_figures(figures: Mapping[str, Any]) -> None:
    """Print what stands in metrics.json, each figure with its interval."""
    print(_title(figures))
    if "network_size" in figures:
        size = figures["network_size"]
        _print_level(f"pixels, {size['width']} x {size['height']}", size, PIXELS, "all pixels")
    if "full_resolution" in figures:
        _print_level("pixels, full resolution", figures["full_resolution"], PIXELS, "all pixels")
    if "postprocessing" in figures:
        print(f"\nPost-processing: {_postprocessing(figures['postprocessing'])}")
    _print_level("objects", figures["objects"], OBJECTS, "all objects (as the GlaS challenge)")
    _print_level("their pixels and boundaries", figures["objects"], BOUNDARIES, "all images together")
    if "calibration" in figures:
        ece = figures["calibration"]["pooled"]["ece"]
        print(f"\nCalibration: expected calibration error {_number('ece', ece)} (pooled over all pixels)")
    for kind, members in figures["groups"].items():
        _print_groups(kind, members)
    over = "groups" if figures["bootstrap"]["clusters"] else "images"
    print(f"\nIn brackets: 95 % intervals, bootstrap over {over}, {figures['bootstrap']['resamples']} resamples.")


def _title(figures: Mapping[str, Any]) -> str:
    images = f"{figures['images']} image{'s' * (figures['images'] != 1)}"
    if "weights" not in figures:
        return f"{figures['predictions']}: {images}"
    text = f"{figures['split']}: {images}, {figures['weights']} weights (epoch {figures['epoch']})"
    return text + (", mirror images averaged" if figures["tta"] else "")


def _postprocessing(values: Mapping[str, Any]) -> str:
    from flexdan.config import PostprocessingConfig

    settings = PostprocessingConfig(**values["settings"])
    if tuning := values["tuning"]:
        return f"{settings}; tuned on {tuning['split']} ({tuning['images']} images) for {tuning['metric']}"
    return f"{settings}; not tuned (--tune-postprocessing)"


def _print_level(title: str, figures: Mapping[str, Any], names: Sequence[str], pooled: str) -> None:
    rows = []
    for way, over in (("pooled", pooled), ("image_mean", "mean of images")):
        rows.append([over, *(_with_interval(name, figures, way) for name in names)])
    if len(figures.get("classes_pooled", ())) > 2:
        for label, row in enumerate(figures["classes_pooled"]):
            rows.append([f"pixels, class {label}", *(_number(name, row.get(name)) for name in names)])
    print()
    print_table([title, *(NAMES[name] for name in names)], rows)


def _print_groups(kind: str, members: Mapping[str, Any]) -> None:
    rows = [
        [name, str(figures["images"]), *(_with_interval(one, figures["objects"], "pooled") for one in GROUPED)]
        for name, figures in list(members.items())[:MOST_GROUPS]
    ]
    print()
    print_table([f"by {kind}, pooled", "images", *(NAMES[name] for name in GROUPED)], rows, numbers=(1,))
    if len(members) > MOST_GROUPS:
        print(f"and {len(members) - MOST_GROUPS} more in metrics.json")


def _with_interval(name: str, figures: Mapping[str, Any], way: str) -> str:
    ends = figures[f"{way}_interval"].get(name)
    value = _number(name, figures[way].get(name))
    return f"{value} [{_number(name, ends[0])}, {_number(name, ends[1])}]" if ends else value


def _number(name: str, value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}" if name in DISTANCES else f"{value:.3f}"
