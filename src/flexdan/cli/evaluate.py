"""`flexdan evaluate`: measure a trained network on the annotated images of a split."""

import argparse
import csv
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from flexdan.cli.loading import Segmenter, add_network_options, load_segmenter, weights_name
from flexdan.cli.parser import describe
from flexdan.config.errors import UserError

if TYPE_CHECKING:
    from flexdan.data import ImageRecord
    from flexdan.data.dataset import Track
    from flexdan.inference import EvaluationResult

EXAMPLES = """\
  flexdan evaluate runs/first --split test
      writes metrics.json, images.csv and examples.png into runs/first/evaluation/test
  flexdan evaluate runs/first --split test --tta
      the same, averaged over mirror images, into runs/first/evaluation/test-tta
  flexdan evaluate runs/first --split test --manifest data/other.csv -o other/ --json
"""
WHAT = """\
Measure a trained network on the annotated images of a split: accuracy, IoU, Dice, precision and recall.

Each is given twice: pooled over the pixels of all images, and as the mean over images; and at two sizes: at the
network's, as validation during training does, and at full resolution, against the masks as they are in their files.
IoU, Dice, precision and recall are those of the foreground; for more than two classes, the mean over the classes
except the background that are in the masks or in the prediction, and those of every class too.
"""
LEVELS = ("network_size", "full_resolution")
NUM_EXAMPLES = 12


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(prog="flexdan evaluate", **describe(WHAT, EXAMPLES))
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="run folder, or a checkpoint file")
    add("--split", default="val", help="split of the manifest to measure; default: val")
    add("--manifest", type=Path, metavar="FILE", help="default: the manifest of the training")
    add(
        "-o",
        "--output",
        type=Path,
        metavar="FOLDER",
        help="default: RUN/evaluation/SPLIT, with the weights (unless best), -tta or -scale added where they apply",
    )
    add("--json", action="store_true", help="print the figures as JSON instead of a table")
    add_network_options(parser)
    return parser


def run(argv: list[str]) -> int:
    """Run the command."""
    options = make_parser().parse_args(argv)
    from flexdan.config.files import atomic_path, check_folder, refuse_existing

    output = options.output or _default_output(options)
    check_folder(output)
    refuse_existing(output, options.force)
    network = load_segmenter(options)
    manifest, records, left_out = _find_records(options, network)
    examples = Examples(records)
    small, full = _evaluate(network, records, examples)
    figures: dict[str, Any] = {
        "split": options.split,
        "manifest": str(manifest),
        "images": len(records),
        "unannotated_left_out": left_out,
        "weights": network.weights,
        "epoch": network.epoch,
        "tta": options.tta,
        "scale": options.scale,
        "network_size": {"height": network.image_size[0], "width": network.image_size[1], **_figures(small)},
        "full_resolution": _figures(full),
    }
    text = json.dumps(figures, indent=2, allow_nan=False)
    with atomic_path(output / "images.csv") as path:
        _write_images(path, records, small, full)
    with atomic_path(output / "examples.png") as path:
        examples.write(path, full)
    with atomic_path(output / "metrics.json") as path:
        path.write_text(text + "\n", encoding="utf-8")
    if options.json:
        print(text)
    else:
        _print_table(figures)
        print(f"written: {output / 'metrics.json'}, images.csv (a row for each image) and examples.png (a picture)")
    return 0


def _default_output(options: argparse.Namespace) -> Path:
    folder = options.run.parent if options.run.is_file() else options.run
    weights = weights_name(options)
    marks = [options.split] + [weights] * (weights != "best") + ["tta"] * options.tta
    marks += [f"scale{options.scale:g}"] if options.scale else []
    return folder / "evaluation" / "-".join(marks)


def _find_records(options: argparse.Namespace, network: Segmenter) -> "tuple[Path, list[ImageRecord], int]":
    """Return the manifest, the annotated images of the split, and how many others it has."""
    from flexdan.data import num_classes, read_manifest, select_split

    manifest = options.manifest or Path(network.config.data.manifest)
    if not options.manifest and not manifest.is_file():
        raise UserError(f"the manifest of the training, {manifest}, is not there: say --manifest FILE")
    members = select_split(read_manifest(manifest), options.split)
    records = [record for record in members if record.annotated]
    if not records:
        raise UserError(
            f"none of the {len(members)} images in the split {options.split!r} of {manifest} is annotated: "
            "there is nothing to measure against"
        )
    if (classes := num_classes(records)) > network.num_classes:
        raise UserError(f"the masks in {manifest} have {classes} classes, but the network {network.num_classes}")
    left_out = len(members) - len(records)
    if left_out:
        print(f"note: {left_out} unannotated of {len(members)} images are left out", file=sys.stderr)
    return manifest, records, left_out


class Examples:
    """Up to twelve images, evenly chosen, with the outlines of annotation and prediction.

    Args:
        records: the images that will be visited.
    """

    def __init__(self, records: "Sequence[ImageRecord]"):
        step = max(1, math.ceil(len(records) / NUM_EXAMPLES))
        self._places = {str(record.image): place for place, record in enumerate(records) if place % step == 0}
        self._pictures: dict[int, Any] = {}

    def visit(self, record: "ImageRecord", pixels: Any, truth: Any, predicted: Any) -> None:
        """Keep a small picture of an image if it is one of the chosen."""
        from flexdan.report.comparison import compare

        place = self._places.get(str(record.image))
        if place is not None:
            self._pictures[place] = compare(record.name, pixels, truth, predicted)

    def write(self, path: Path, result: "EvaluationResult") -> None:
        """Write the pictures, the best first, with their Dice."""
        from flexdan.data import write_image
        from flexdan.metrics import image_metrics
        from flexdan.report.comparison import draw_page

        dice = image_metrics(result.counts)["dice"].tolist()
        order = sorted(self._pictures, key=lambda place: -dice[place])
        captions = {place: f"{self._pictures[place].caption}   Dice {dice[place]:.3f}" for place in order}
        write_image(path, draw_page([replace(self._pictures[place], caption=captions[place]) for place in order]))


def _evaluate(
    network: Segmenter, records: "Sequence[ImageRecord]", examples: Examples
) -> "tuple[EvaluationResult, EvaluationResult]":
    """Measure at the network's size and at full resolution."""
    from flexdan.inference import evaluate_full_size, evaluate_network_size

    data = network.config.data
    small = evaluate_network_size(
        network.network,
        records,
        image_size=network.image_size,
        channels=network.channels,
        intensity=data.intensity,
        mean=data.mean,
        std=data.std,
        num_classes=network.num_classes,
        batch_size=network.config.training.batch_size,
        autocast=network.autocast,
        device=network.device,
        track=_bar("network's size"),
    )
    full = evaluate_full_size(
        network.segment,
        records,
        channels=network.channels,
        intensity=data.intensity,
        num_classes=network.num_classes,
        track=_bar("full resolution"),
        visit=examples.visit,
    )
    return small, full


def _bar(what: str) -> "Track":
    from flexdan.cli.progress import track

    return lambda items: track(cast("Sequence[Any]", items), what)


def _figures(result: "EvaluationResult") -> dict[str, Any]:
    """Return what stands in the JSON for one size: NaN, the mean over no images, becomes null."""
    from flexdan.metrics import MEASURES, class_metrics

    metrics = {name: None if math.isnan(value) else value for name, value in result.metrics().items()}
    return {
        "pooled": {name: metrics[name] for name in MEASURES},
        "image_mean": {name: metrics[f"{name}_image_mean"] for name in MEASURES},
        "classes_pooled": class_metrics(result.counts),
    }


def _write_images(
    path: Path, records: "Sequence[ImageRecord]", small: "EvaluationResult", full: "EvaluationResult"
) -> None:
    from flexdan.metrics import image_metrics

    measured = {
        f"{level}_{name}": values.tolist()
        for level, result in zip(LEVELS, (small, full), strict=True)
        for name, values in image_metrics(result.counts).items()
    }
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "group", "grade", "height", "width", *measured])
        for record, *values in zip(records, *measured.values(), strict=True):
            facts = [record.image, record.group, record.grade, record.height, record.width]
            writer.writerow(facts + [f"{value:.6f}" for value in values])


def _print_table(figures: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    small = figures["network_size"]
    title = f"{figures['split']}: {figures['images']} images, {figures['weights']} weights (epoch {figures['epoch']})"
    table = Table(title=title + (", mirror images averaged" if figures["tta"] else ""), title_justify="left")
    table.add_column("size")
    table.add_column("figure over")
    for measure in small["pooled"]:
        table.add_column("IoU" if measure == "iou" else measure.capitalize(), justify="right")
    sizes = {"network_size": f"{small['width']} x {small['height']}", "full_resolution": "full"}
    for level, size in sizes.items():
        rows = {"all pixels": figures[level]["pooled"], "mean of images": figures[level]["image_mean"]}
        if len(figures[level]["classes_pooled"]) > 2:
            rows |= {f"pixels, class {label}": row for label, row in enumerate(figures[level]["classes_pooled"])}
        for number, (name, row) in enumerate(rows.items()):
            values = [row.get(measure) for measure in small["pooled"]]
            cells = ["-" if value is None else f"{value:.4f}" for value in values]
            table.add_row(size if number == 0 else "", name, *cells, end_section=number == len(rows) - 1)
    Console().print(table)
