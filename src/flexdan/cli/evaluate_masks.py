"""Measuring masks that some other program made."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flexdan.cli.evaluation import annotated_records, bar, check_statistics
from flexdan.cli.evaluation_figures import summarize_scores
from flexdan.cli.evaluation_files import write_evaluation
from flexdan.cli.postprocessing import given_postprocessing, option_name
from flexdan.config import IGNORE, UserError
from flexdan.config.files import check_folder, refuse_existing
from flexdan.data import ImageRecord, read_mask
from flexdan.data.dataset import load_objects
from flexdan.data.layouts import bare_stems, list_images
from flexdan.data.masks import MaskValues
from flexdan.inference import count_classes, count_objects
from flexdan.metrics import Scores, collect_scores
from flexdan.report.facts import many

NEEDS_RUN = ("weights", "tta", "ensemble", "scale", "tune_postprocessing")


def evaluate_masks(options: argparse.Namespace) -> tuple[dict[str, Any], Path]:
    """Measure the masks in a folder as the options say; returns the figures, and the folder that has them."""
    for name in NEEDS_RUN:
        if getattr(options, name):
            raise UserError(f"--{name.replace('_', '-')} belongs to a run: --predictions are measured as they are")
    if given := given_postprocessing(options):
        names = ", ".join(map(option_name, given))
        raise UserError(f"{names} would make objects of probabilities: --predictions are measured as they are")
    if (options.truth is None) == (options.manifest is None):
        raise UserError("--predictions needs what to measure against: say either --truth DIR or --manifest FILE")
    output = options.output or options.predictions / "evaluation"
    check_folder(output)
    refuse_existing(output, options.force)
    check_statistics(options)
    records = _truth_records(options)
    pairs = _pair(options.predictions, records)
    scores = _count(pairs, _meaning(options.prediction_values, list(pairs.values()), "--prediction-values"), options)
    figures = {"predictions": str(options.predictions), "truth": str(options.truth or options.manifest)}
    figures |= {"split": options.split} if options.manifest else {}
    figures |= summarize_scores(scores, options.manifest, options)
    write_evaluation(output, scores, figures)
    return figures, output


def _truth_records(options: argparse.Namespace) -> list[ImageRecord]:
    """Return records of annotated masks; those of a folder of masks have the mask as their image too."""
    if options.manifest:
        if options.truth_values:
            raise UserError("--truth-values belongs to --truth: a manifest says what the values of its masks mean")
        return annotated_records(options.manifest, options.split)[0]
    masks = list_images(_folder(options.truth, "--truth"))
    if not masks:
        raise UserError(f"--truth {options.truth} has no masks in it")
    values = _meaning(options.truth_values, masks, "--truth-values")
    return [ImageRecord(image=mask, mask=mask, mask_values=values, annotated=True) for mask in masks]


def _folder(path: Path, name: str) -> Path:
    if not path.is_dir():
        raise UserError(
            f"{name} is {path}, which is {'a file' if path.is_file() else 'not there'}: name a folder of masks"
        )
    return path


def _pair(folder: Path, records: Sequence[ImageRecord]) -> dict[ImageRecord, Path]:
    """Match predictions to truth: by the same name, but for suffixes such as _anno or _mask on either side."""
    by_name: dict[str, Path] = {}
    for path in list_images(_folder(folder, "--predictions")):
        for stem in bare_stems(path.stem):
            if stem in by_name:
                raise UserError(f"{folder} has two masks of one name, {by_name[stem].name} and {path.name}: keep one")
            by_name[stem] = path
    pairs, missing = {}, []
    for record in records:
        found = next((by_name[stem] for stem in bare_stems(record.name) if stem in by_name), None)
        if found is None:
            missing.append(record.name)
        elif other := next((one for one, path in pairs.items() if path == found), None):
            raise UserError(f"{found} belongs to two images, {other.name} and {record.name}: rename one of them")
        else:
            pairs[record] = found
    if extra := len(set(by_name.values())) - len(pairs):
        print(f"note: {many(extra, 'mask')} in {folder} belong to no image that is measured", file=sys.stderr)
    if missing:
        raise UserError(
            f"{folder} lacks the masks of {len(missing)} of {len(records)} images, such as {', '.join(missing[:5])}: "
            "a mask has the name of its image; where nothing was found, an empty mask says so"
        )
    return pairs


def _meaning(text: str | None, masks: Sequence[Path], option: str) -> str:
    """Return what the values of masks mean: as said, or binary where the masks hold 0 and one other value."""
    if text:
        MaskValues.parse(text)
        return text
    if any(mask.suffix.lower() in (".jpg", ".jpeg") for mask in masks):
        print(f"note: {masks[0].parent} has JPEG masks, whose edges are blurred: PNG keeps them", file=sys.stderr)
    values: set[int] = set()
    for mask in bar("looking at masks")(masks):
        values.update(np.unique(read_mask(mask)).tolist())
        if len(values - {0}) > 1:
            some = ", ".join(map(str, sorted(values)[:6]))
            raise UserError(
                f"{mask.parent} holds the values {some}, …, and what they mean is not known: say {option} instances "
                "(each value is one object), binary (all but 0 are foreground), or a mapping such as '0=0 128=1'"
            )
    return "binary"


def _count(pairs: dict[ImageRecord, Path], values: str, options: argparse.Namespace) -> Scores:
    meaning = MaskValues.parse(values)
    if any(to == IGNORE for _, to in meaning.classes):
        raise UserError("--prediction-values has ignore: only the truth says which pixels do not count")
    true_classes = max(MaskValues.parse(record.mask_values).num_classes for record in pairs)
    num_classes, told = max(meaning.num_classes, true_classes), meaning.num_classes >= true_classes
    if not told:
        print(
            f"note: the truth has {true_classes} classes, which predictions of {values} do not tell: only objects are "
            "measured, not the classes of pixels",
            file=sys.stderr,
        )
    facts, counts = [], []
    for record, path in bar("images")(list(pairs.items())):
        classes, objects = load_objects(record)
        found = read_mask(path)
        if found.shape != classes.shape:
            sizes = [f"{width} x {height} pixels" for height, width in (found.shape, classes.shape)]
            raise UserError(f"{path} has {sizes[0]}, but {record.mask} {sizes[1]}: they must be equal")
        found_classes = meaning.to_classes(found, str(path))
        found_objects = meaning.to_objects(found, found_classes)
        counts.append(
            (count_classes(found_classes, classes, num_classes) if told else {})
            | count_objects(classes, objects, found_objects, options.spacing)
        )
        facts.append((str(record.image), record.group, record.grade))
    return collect_scores(facts, counts)
