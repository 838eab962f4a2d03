"""`flexdan data synthesize`: draw a synthetic set of gland images with masks and a manifest."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flexdan.cli.data_import import say_splits
from flexdan.cli.parser import describe
from flexdan.cli.progress import track
from flexdan.config.errors import UserError
from flexdan.config.files import atomic_path, refuse_existing

if TYPE_CHECKING:
    from flexdan.data.manifest import ImageRecord

SMALLEST_SIDE, LARGEST_SIDE = 32, 8192  # pixels


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(
        prog="flexdan data synthesize",
        **describe(
            "Draw images in the manner of glands in stained colon tissue, with a mask of every gland, to try FlexDAN\n"
            "without data of your own. The same seed gives the same images. Images of one synthetic patient share\n"
            "their stain and grade, and no patient stands in two splits.",
            "  flexdan data synthesize -o data/synthetic\n"
            "  flexdan data synthesize -o data/synthetic --count 100 --size 160 240 --annotated 9\n"
            "  flexdan data synthesize -o data/synthetic --split train=0.8 test=0.2 --annotated 10% --seed 1",
        ),
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="where the set goes")
    parser.add_argument("--count", type=int, default=60, help="number of images (default: %(default)s)")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(256, 384),
        metavar=("HEIGHT", "WIDTH"),
        help="of every image, in pixels (default: 256 384)",
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed, another set (default: %(default)s)")
    parser.add_argument(
        "--split",
        nargs="+",
        default=["train=0.7", "val=0.15", "test=0.15"],
        metavar="NAME=FRACTION",
        help="the splits and their parts of the set (default: train=0.7 val=0.15 test=0.15)",
    )
    parser.add_argument(
        "--annotated",
        metavar="9|10%",
        help="how many images of the split 'train' are annotated (default: all); all others of it are unannotated",
    )
    parser.add_argument("--group-size", type=int, default=3, help="images of one patient (default: %(default)s)")
    parser.add_argument("--force", action="store_true", help="write into a folder that has files already")
    return parser


def run(argv: list[str]) -> int:
    """Run the command."""
    options = make_parser().parse_args(argv)
    _check(options)
    from flexdan.data.manifest import write_manifest
    from flexdan.data.splits import mark_annotated, parse_fractions, split_by_fraction

    records = split_by_fraction(_plan(options), parse_fractions(options.split), options.seed)
    if options.annotated is not None:
        records = mark_annotated(records, options.annotated, split="train", seed=options.seed)
    refuse_existing(options.output, options.force)
    if options.output.is_file():
        raise UserError(f"-o is {options.output}, which is a file: name a folder")
    records = [_draw(record, index, options) for index, record in enumerate(track(records, "drawing"))]
    manifest = options.output / "manifest.csv"
    write_manifest(manifest, records)
    say_splits(records, manifest)
    return 0


def _check(options: argparse.Namespace) -> None:
    if options.count < 1:
        raise UserError(f"--count is {options.count}, but must be at least 1")
    if options.group_size < 1:
        raise UserError(f"--group-size is {options.group_size}, but must be at least 1")
    if options.seed < 0:
        raise UserError(f"--seed is {options.seed}, but must be 0 or more")
    if not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in options.size):
        height, width = options.size
        raise UserError(f"--size is {height} {width}, but both must be between {SMALLEST_SIDE} and {LARGEST_SIDE}")


def _plan(options: argparse.Namespace) -> "list[ImageRecord]":
    """Return the records of the set, before anything is drawn: so that mistakes show at once."""
    from flexdan.data.manifest import ImageRecord
    from flexdan.data.synthesis import patient_of

    height, width = options.size
    records = []
    for index in range(options.count):
        patient = index // options.group_size
        records.append(
            ImageRecord(
                image=options.output / "images" / f"image_{index:04d}.png",
                mask=options.output / "masks" / f"image_{index:04d}.png",
                mask_values="instances",
                annotated=True,
                group=f"patient_{patient:04d}",
                grade="malignant" if patient_of(options.seed, patient).malignant else "benign",
                height=height,
                width=width,
                channels=3,
            )
        )
    return records


def _draw(record: "ImageRecord", index: int, options: argparse.Namespace) -> "ImageRecord":
    from flexdan.data.images import write_image
    from flexdan.data.manifest import file_sha256
    from flexdan.data.synthesis import image_of, patient_of

    patient = patient_of(options.seed, index // options.group_size)
    image, instances = image_of(options.seed, index, record.height, record.width, patient)
    for path, pixels in ((record.image, image), (record.mask, instances)):
        assert path is not None
        with atomic_path(path) as temporary:
            write_image(temporary, pixels)
    return replace(record, sha256=file_sha256(record.image))
