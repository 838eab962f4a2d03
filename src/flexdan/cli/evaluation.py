"""Measuring a trained network on a split: what `flexdan evaluate` does, and other commands that need its figures."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from flexdan.cli.loading import Segmenter, add_network_options, load_segmenter, run_folder, view_option, weights_name
from flexdan.cli.postprocessing import add_postprocessing_options, postprocessing_settings
from flexdan.config.errors import UserError
from flexdan.config.views import Views

if TYPE_CHECKING:
    from flexdan.config import PostprocessingConfig
    from flexdan.data import ImageRecord
    from flexdan.metrics import Scores

TUNE_METRIC = "f1+object_dice"


def add_statistics_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of intervals and distances."""
    add = parser.add_argument
    add("--spacing", type=float, nargs=2, metavar=("HEIGHT", "WIDTH"), help="of a pixel, for distances; default: 1 1")
    add("--resamples", type=int, default=2000, metavar="N", help="of the bootstrap; default: 2000")
    add("--seed", type=int, default=0, help="of the bootstrap; default: 0")
    add("--clusters", action="store_true", help="resample whole groups, such as patients, instead of single images")


def add_evaluation_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is measured, and how."""
    add = parser.add_argument
    add("--split", default="val", help="split of the manifest to measure; default: val")
    add("--manifest", type=Path, metavar="FILE", help="default: the manifest of the training")
    add(
        "-o",
        "--output",
        type=Path,
        metavar="FOLDER",
        help="default: RUN/evaluation/SPLIT, with the weights (unless best), the views (-tta or -tta-turns), -ensemble "
        "or -scale added where they apply",
    )
    add_network_options(parser)
    add_postprocessing_options(parser)
    add(
        "--tune-postprocessing",
        action="store_true",
        help="first find the post-processing that is best on the validation split of the training, whatever is "
        "measured then, and keep it in the run",
    )
    add(
        "--tune-metric",
        metavar="NAME",
        default=TUNE_METRIC,
        help=f"a metric of objects, or several joined by +, pooled; default: {TUNE_METRIC}",
    )
    add_statistics_options(parser)


def evaluate_run(
    run: Path,
    split: str,
    *,
    manifest: Path | None = None,
    weights: str | None = None,
    tta: Views = False,
    scale: float | None = None,
    tune: bool = False,
    tune_metric: str = TUNE_METRIC,
    output: Path | None = None,
    more: Sequence[str] = (),
    force: bool = False,
) -> Path:
    """Measure a run as `flexdan evaluate` does by default; returns the folder that it has written.

    Args:
        run: run folder.
        split: of the manifest.
        manifest: None: that of the training.
        weights: best or last; None: best.
        tta: average over views: true, mirror images; turns: and those after a quarter turn.
        scale: of the images; None: as in training.
        tune: find the post-processing on the validation images first.
        tune_metric: what is to become best by that.
        output: folder that is written; None: as the command names it.
        more: other options of the command.
        force: overwrite an evaluation that is there.

    Raises:
        UserError: if the run, the split or an image does not allow it.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("run", type=Path)
    add_evaluation_options(parser)
    words = [str(run), "--split", split, *([view_option(tta)] if tta else []), *(["--force"] * force)]
    words += ["--tune-postprocessing", f"--tune-metric={tune_metric}"] * tune
    for name, value in (("manifest", manifest), ("weights", weights), ("scale", scale), ("output", output)):
        words += [f"--{name}={value}"] if value is not None else []
    _, written = evaluate(parser.parse_args([*words, *more]))
    return written


def evaluate(options: argparse.Namespace) -> tuple[dict[str, Any], Path]:
    """Measure as the options say; returns the figures, and the folder that has them."""
    from flexdan.config.files import check_folder, refuse_existing

    output = options.output or _default_output(options)
    check_folder(output)
    refuse_existing(output, options.force)
    check_statistics(options)
    if options.tune_postprocessing:
        from flexdan.cli.tuning import check_tuning

        check_tuning(options)
    network = load_segmenter(options)
    from flexdan.cli.evaluation_figures import describe_postprocessing, summarize_scores
    from flexdan.cli.evaluation_files import write_evaluation

    if options.tune_postprocessing:
        from flexdan.cli.tuning import tune_run

        tune_run(options, network)
    manifest, records, left_out = find_records(options.split, options.manifest, network)
    folder = run_folder(options)
    settings, source = postprocessing_settings(options, folder, network.contours)
    scores, examples = _measure(network, records, settings, options)
    figures = {
        "split": options.split,
        "manifest": str(manifest),
        "unannotated_left_out": left_out,
        "weights": network.weights,
        "epoch": network.epoch,
        "tta": options.tta,
        "scale": options.scale,
        "ensemble": [str(run) for run in options.ensemble],
        "postprocessing": describe_postprocessing(settings, source, folder),
    }
    figures |= summarize_scores(scores, manifest, options)
    height, width = network.image_size
    figures["network_size"] = {"height": height, "width": width, **figures["network_size"]}
    write_evaluation(output, scores, figures, examples)
    return figures, output


def check_statistics(options: argparse.Namespace) -> None:
    """Raise a `UserError` if an option of `add_statistics_options` is out of its range."""
    if options.resamples < 100:
        raise UserError(f"--resamples is {options.resamples}: an interval of 95 % needs 100 at least")
    if options.spacing and not all(0 < size < float("inf") for size in options.spacing):
        height, width = options.spacing
        raise UserError(f"--spacing is {height:g} {width:g}: both must be finite and above 0")
    if options.seed < 0:
        raise UserError(f"--seed is {options.seed}: it must be 0 or more")


def find_records(split: str, manifest: Path | None, network: Segmenter) -> "tuple[Path, list[ImageRecord], int]":
    """Return the manifest, the annotated images of the split, and how many others it has."""
    from flexdan.data import num_classes

    if not manifest and not Path(network.config.data.manifest).is_file():
        raise UserError(
            f"the manifest of the training, {network.config.data.manifest}, is not there: say --manifest FILE"
        )
    manifest = manifest or Path(network.config.data.manifest)
    records, left_out = annotated_records(manifest, split)
    if (classes := num_classes(records)) > network.num_classes:
        raise UserError(f"the masks in {manifest} have {classes} classes, but the network {network.num_classes}")
    return manifest, records, left_out


def annotated_records(manifest: Path, split: str) -> "tuple[list[ImageRecord], int]":
    """Return the annotated images of a split, and how many others it has."""
    from flexdan.data import read_manifest, select_split

    members = select_split(read_manifest(manifest), split)
    records = [record for record in members if record.annotated]
    if not records:
        raise UserError(
            f"none of the {len(members)} images in the split {split!r} of {manifest} is annotated: "
            "there is nothing to measure against"
        )
    left_out = len(members) - len(records)
    if left_out:
        print(f"note: {left_out} unannotated of {len(members)} images are left out", file=sys.stderr)
    return records, left_out


def bar(what: str) -> Callable[[Any], Any]:
    """Return what wraps a sequence into a progress bar."""
    from flexdan.cli.progress import track

    return lambda items: track(cast("Sequence[Any]", items), what)


def _default_output(options: argparse.Namespace) -> Path:
    weights = weights_name(options)
    marks = [options.split] + [weights] * (weights != "best") + ([view_option(options.tta)[2:]] if options.tta else [])
    marks += ["ensemble"] * bool(options.ensemble)
    marks += [f"scale{options.scale:g}"] if options.scale else []
    return run_folder(options) / "evaluation" / "-".join(marks)


def _measure(
    network: Segmenter,
    records: "Sequence[ImageRecord]",
    settings: "PostprocessingConfig",
    options: argparse.Namespace,
) -> "tuple[Scores, Any]":
    """Count at the network's size and at full resolution, and keep pictures of some images."""
    from flexdan.cli.evaluation_files import Examples
    from flexdan.inference import (
        count_objects,
        count_probabilities,
        evaluate_network_size,
        named,
        segment_records,
        to_instances,
    )
    from flexdan.metrics import collect_scores, pixel_counts

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
        reduce=data.crop_reduce,
        contours=network.contours,
        autocast=network.autocast,
        device=network.device,
        track=bar("network's size"),
    )
    examples, counts = Examples(records), []
    segmented = segment_records(
        network.segment,
        records,
        channels=network.channels,
        intensity=data.intensity,
        track=bar("full resolution"),
    )
    for one, confusion in zip(segmented, small.counts, strict=True):
        found = to_instances(one.probabilities, settings, network.contours)
        counts.append(
            named("network_size", pixel_counts(confusion.numpy()))
            | count_probabilities(one, network.contours)
            | count_objects(one.classes, one.objects, found, options.spacing)
        )
        examples.visit(one.record, one.pixels, one.objects, found)
    facts = [(str(record.image), record.group, record.grade) for record in records]
    return collect_scores(facts, counts), examples
