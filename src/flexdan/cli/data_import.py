"""`flexdan data import`: make a manifest from folders of images and masks."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flexdan.cli.parser import describe
from flexdan.config.errors import UserError

if TYPE_CHECKING:
    from flexdan.data import ImageRecord
    from flexdan.data.layouts import Found

EXAMPLES = """\
  flexdan data import glas/ -o data/glas.csv
      GlaS as released, or as training/ training_anno/ a/ a_anno/ b/ b_anno/: splits and patients are known
  flexdan data import glas/ -o data/glas-9.csv --annotated 9 --seed 1
      the same, but only 9 of the training images keep their masks
  flexdan data import images/ --masks masks/ -o data/manifest.csv --mask-values instances --split train=0.8 val=0.2
      images and masks in two folders, or in one: the mask of cell.png is cell.png or cell_mask.png
  flexdan data import more_images/ -o data/manifest.csv --extend --split train=1
      add images without masks to a manifest
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(
        prog="flexdan data import",
        **describe("Make a manifest: one CSV that lists every image, its mask or none, and its split.", EXAMPLES),
    )
    add = parser.add_argument
    add("sources", nargs="*", type=Path, metavar="SOURCE", help="folder of images")
    add("-o", "--output", required=True, type=Path, metavar="FILE", help="the manifest to write")
    add("--masks", action="append", type=Path, metavar="FOLDER", help="folder of masks; once for each SOURCE")
    add("--layout", choices=("auto", "glas", "log", "folders"), default="auto", help="default: auto")
    add(
        "--mask-values",
        nargs="+",
        default=[],
        metavar="VALUES",
        help="binary, instances, or a mapping to classes: '0=0 128=1 255=ignore'",
    )
    add_split_options(parser)
    add("--group-file", type=Path, metavar="FILE", help="CSV with the columns name, group")
    add("--group-regex", metavar="REGEX", help="finds the group in the file name: '^(patient[0-9]+)_'")
    add("--extend", action="store_true", help="add the images to the manifest at -o")
    add("--skip-duplicates", action="store_true", help="leave out images that are there already")
    add("--skip-broken", action="store_true", help="leave out images and masks that cannot be read")
    add("--force", action="store_true", help="overwrite the manifest at -o")
    return parser


def add_split_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `data import` and `data split` share."""
    parser.add_argument(
        "--split",
        nargs="+",
        metavar="NAME=SHARE",
        help="divide at random, groups kept together: train=0.7 val=0.15 test=0.15",
    )
    parser.add_argument("--split-file", type=Path, metavar="FILE", help="CSV with the columns name, split")
    parser.add_argument(
        "--annotated", metavar="N", help="how many training images keep their masks: 9, or 10%%; the rest loses them"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random draws; default: 0")


def run(argv: list[str]) -> int:
    """Run the command."""
    options = make_parser().parse_args(argv)
    from flexdan.cli.progress import track
    from flexdan.config.files import refuse_existing
    from flexdan.data.importing import check_masks, measure, read_table, set_groups
    from flexdan.data.manifest import num_classes, read_manifest, write_manifest
    from flexdan.data.masks import MaskValues

    mask_values = " ".join(options.mask_values)
    if mask_values:
        MaskValues.parse(mask_values)
    if options.group_file and options.group_regex:
        raise UserError("--group-file and --group-regex are both there: say one of them")
    if not options.extend:
        refuse_existing(options.output, options.force)
    old = read_manifest(options.output) if options.extend else []
    check_split_options(options)

    found = _find(options.sources, options.masks or [], options.layout)
    records = [record for one in found for record in one.records]
    records, broken = measure(records, options.skip_broken, track)
    records = _without_repeated(records, old, options.skip_duplicates)
    if options.group_file or options.group_regex:
        table = read_table(options.group_file, "group") if options.group_file else None
        records = set_groups(records, table, options.group_regex or "")
    if (options.split or options.split_file) and any(record.split for record in records):
        print(f"  these splits give way to {'--split' if options.split else '--split-file'}")
    records = apply_splits(records, options)
    known = {id(one): mask_values or one.mask_values for one in found}
    by_image = {record.image: known[id(one)] for one in found for record in one.records}
    records = [_with_values(record, by_image[record.image]) for record in records]
    records, broken_masks = check_masks(records, mask_values, options.skip_broken, track)
    if not records:
        raise UserError("no image is left: all of them are broken or there already")
    if any(record.annotated for record in [*old, *records]):
        num_classes([*old, *records])  # refuses masks that disagree
    write_manifest(options.output, [*old, *records])

    _say_left_out("broken, left out", broken + broken_masks)
    _say_left_out("masks without an image", [str(mask) for one in found for mask in one.orphan_masks])
    bare = [str(record.image) for one in found if one.has_masks for record in one.records if not record.mask]
    _say_left_out("images without a mask, now unannotated", bare)
    if all(record.mask_values for record in records if record.annotated):
        meanings = sorted({record.mask_values for record in records if record.annotated})
        print(f"mask values: {', '.join(meanings) or 'no masks'}")
    say_splits([*old, *records], options.output)
    return 0


def check_split_options(options: argparse.Namespace) -> None:
    """Raise a `UserError` if split options are wrong in themselves, before any image is read."""
    from flexdan.data.splits import parse_fractions

    if options.split and options.split_file:
        raise UserError("--split and --split-file are both there: say one of them")
    if options.split:
        parse_fractions(options.split)


def apply_splits(
    records: "list[ImageRecord]", options: argparse.Namespace, of: str | None = None
) -> "list[ImageRecord]":
    """Set splits and annotation as the options say.

    Args:
        records: the images.
        options: those of `add_split_options`.
        of: divide only the images of this split; None: all.

    Raises:
        UserError: if the options do not fit each other or the images.
    """
    from flexdan.data.importing import read_table
    from flexdan.data.manifest import select_split
    from flexdan.data.splits import mark_annotated, parse_fractions, replace_split, split_by_fraction, split_by_list

    check_split_options(options)
    members = records if of is None else select_split(records, of)
    divided = members
    if options.split:
        divided = split_by_fraction(members, parse_fractions(options.split), options.seed)
    elif options.split_file:
        listed = split_by_list(records, read_table(options.split_file, "split"))
        divided = [one for one, before in zip(listed, records, strict=True) if of is None or before.split == of]
    records = divided if of is None else replace_split(records, of, divided)
    if options.annotated:
        records = mark_annotated(records, options.annotated, "train", options.seed)
    return records


def say_splits(records: "Sequence[ImageRecord]", path: Path) -> None:
    """Print how many images each split has, and warn of images without a split and of groups in two splits."""
    from flexdan.data.splits import ordered_splits

    print(f"{path}: {len(records)} images")
    for split in ordered_splits(records):
        members = [record for record in records if record.split == split]
        annotated = sum(record.annotated for record in members)
        groups = len({record.group for record in members if record.group})
        text = f"{len(members)} images, {annotated} annotated, {len(members) - annotated} unannotated"
        print(f"  {split or '(no split)'}: {text}" + (f", groups: {groups}" if groups else ""))
    if any(not record.split for record in records):
        _warn(
            "images without a split are not trained on: say --split train=0.8 val=0.2 (or train=1), or run "
            f"`flexdan data split {path} --split train=0.8 val=0.2 --force`"
        )
    splits: dict[str, set[str]] = {}
    for record in records:
        if record.group and record.split:
            splits.setdefault(record.group, set()).add(record.split)
    crossing = [group for group, where in splits.items() if len(where) > 1]
    if crossing:
        _warn(
            f"groups in more than one split: {len(crossing)} of {len(splits)} ({', '.join(crossing[:8])}); "
            "results on such splits flatter the network"
        )


def _find(sources: Sequence[Path], masks: Sequence[Path], layout: str) -> "list[Found]":
    from flexdan.data.layouts import find_images

    if not sources:
        raise UserError("no folder of images is named: say `flexdan data import FOLDER -o FILE`, folders first")
    if masks and len(masks) != len(sources):
        raise UserError(
            f"{len(sources)} folders of images, but --masks {len(masks)} times: say it once for each, or import them "
            "one after the other with --extend"
        )
    found = []
    for source, folder in zip(sources, masks or [None] * len(sources), strict=True):
        found.append(find_images(source, folder, layout))
        print(f"layout of {source}: {found[-1].layout}")
        for note in found[-1].notes:
            print(f"  {note}")
    return found


def _with_values(record: "ImageRecord", values: str) -> "ImageRecord":
    from dataclasses import replace

    return replace(record, mask_values=values) if record.mask and values else record


def _without_repeated(
    records: "list[ImageRecord]", old: "list[ImageRecord]", skip_duplicates: bool
) -> "list[ImageRecord]":
    from flexdan.data.importing import find_repeated

    repeated = find_repeated(records, old)
    if not repeated:
        return records
    lines = [f"{record.image} is the same as {first.image}" for record, first in repeated]
    some = "; ".join(lines[:5])
    if not skip_duplicates:
        raise UserError(
            f"images that are there already, by path or by content: {len(lines)} ({some}); remove them, "
            "or say --skip-duplicates to leave them out"
        )
    _say_left_out("duplicates, left out", lines)
    left_out = {id(record) for record, _ in repeated}
    return [record for record in records if id(record) not in left_out]


def _say_left_out(what: str, names: Sequence[str], limit: int = 10) -> None:
    if names:
        _warn(f"{what}: {len(names)}")
        for name in names[:limit]:
            print(f"  {name}", file=sys.stderr)
        if len(names) > limit:
            print(f"  … and {len(names) - limit} more", file=sys.stderr)


def _warn(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)
