"""`flexdan predict`: segment images of any size with a trained network."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flexdan.cli.loading import Segmenter, add_network_options, load_segmenter, run_folder, weights_name
from flexdan.cli.parser import describe
from flexdan.cli.postprocessing import (
    add_postprocessing_options,
    check_postprocessing,
    given_postprocessing,
    option_name,
    postprocessing_settings,
)
from flexdan.cli.predict_files import KINDS, OF_OBJECTS, result_files, write_result
from flexdan.config.errors import UserError

if TYPE_CHECKING:
    from flexdan.config import PostprocessingConfig

EXAMPLES = """\
  flexdan predict runs/first new_images/ -o predictions/
      writes predictions/mask/NAME.png and predictions/outlines/NAME.png for every image in the folder
  flexdan predict runs/first slide1.tif slide2.tif -o predictions/ --tta --save mask probabilities
  flexdan predict runs/first images/ -o predictions/ --ensemble runs/second --tta-turns --save instances
  flexdan predict runs/first data/manifest.csv --split test -o predictions/ --skip-existing
      the images of a split; those that have their results already are left out
  flexdan predict runs/first new_images/ -o predictions/ --save instances instance_outlines
      one object at a time, made by the post-processing that the run keeps; options such as --min-size go over it
"""
WHAT = """\
Segment images of any size with a trained network.

What --save can name, each a folder in -o, with the name of the image (for --recursive: its subfolder too):
  mask               PNG of the most probable class of each pixel, at the size of the image; see --mask-format
  outlines           PNG of the image with the outlines of those classes drawn on it
  instances          PNG of 16 bits: 0 is background, 1, 2, 3, … one object each, see post-processing below;
                     TIFF of 32 bits for an image with more than 65535 objects
  instance_outlines  PNG of the image with the outlines of the objects, so that touching ones are seen apart
  probabilities      TIFF, float32: of the foreground (H, W) for two classes, of every class (K, H, W) for more

An image that cannot be read is reported and the rest goes on; the exit code is 1 then.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(prog="flexdan predict", **describe(WHAT, EXAMPLES))
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="run folder, or a checkpoint file")
    add("images", type=Path, nargs="+", metavar="IMAGES", help="image files, folders of images, or a manifest (.csv)")
    add("-o", "--output", type=Path, metavar="FOLDER", required=True, help="where the results go")
    add("--split", help="of the manifest: only the images of this split")
    add("--recursive", action="store_true", help="look into the subfolders of folders too")
    add("--save", nargs="+", choices=tuple(KINDS), default=["mask", "outlines"], help="default: mask outlines")
    add(
        "--mask-format",
        choices=("auto", "binary", "index"),
        default="auto",
        help="binary: 0 and 255; index: 0, 1, 2, …; auto: binary for two classes, index for more",
    )
    add("--skip-existing", action="store_true", help="leave out images that have all their results already")
    add_network_options(parser)
    add_postprocessing_options(parser)
    return parser


def run(argv: list[str]) -> int:
    """Run the command; the exit code is 1 if an image failed."""
    options = make_parser().parse_args(argv)
    if options.force and options.skip_existing:
        raise UserError("--force and --skip-existing are both there: say one of them")
    from flexdan.config.files import check_folder

    for kind in options.save:
        check_folder(options.output / kind)
    weights_name(options)
    _check_postprocessing(options)
    import torch

    from flexdan.cli.progress import track

    named = unique_names(find_images(options))
    todo = _without_existing(named, options)
    network = load_segmenter(options)
    if options.mask_format == "binary" and network.num_classes > 2:
        raise UserError(
            f"--mask-format is binary, but the network has {network.num_classes} classes: say index or auto"
        )
    settings = _settings_of_objects(options, network)
    failed, start = [], time.monotonic()
    for image, name in track(todo, "images"):
        try:
            _predict_one(network, image, name, options, settings)
        except (UserError, OSError, MemoryError, torch.OutOfMemoryError) as error:
            failed.append(image)
            what = error if isinstance(error, UserError | OSError) else "it does not fit into the memory"
            print(f"failed: {image}: {what}", file=sys.stderr)
    done = len(todo) - len(failed)
    skipped = f", {len(named) - len(todo)} were there already" if len(named) > len(todo) else ""
    print(
        f"{done} image{'s' * (done != 1)} segmented into {options.output} in {time.monotonic() - start:.1f} s{skipped}"
    )
    if failed:
        print(f"{len(failed)} of {len(todo)} images failed: {', '.join(map(str, failed))}", file=sys.stderr)
    return 1 if failed else 0


def find_images(options: argparse.Namespace) -> list[tuple[Path, Path]]:
    """Return every image once, with the path (without suffix) that its results are to have.

    Raises:
        UserError: if a named path does not exist, or there are no images.
    """
    from flexdan.data import IMAGE_SUFFIXES, read_manifest, select_split

    if options.split and not any(path.suffix.lower() == ".csv" for path in options.images):
        raise UserError(f"--split is {options.split!r}, but none of the IMAGES is a manifest (.csv)")
    output = options.output.resolve()
    found: dict[Path, tuple[Path, Path]] = {}

    def take(image: Path, place: Path) -> None:
        found.setdefault(image.resolve(), (image, place.with_name(image.stem)))

    for path in options.images:
        if path.is_dir():
            for image in sorted(path.rglob("*") if options.recursive else path.iterdir()):
                inside = image.relative_to(path)
                hidden = any(part.startswith(".") for part in inside.parts)
                image_like = image.suffix.lower() in IMAGE_SUFFIXES and image.is_file() and not hidden
                if image_like and not image.resolve().is_relative_to(output):  # results of an earlier call
                    take(image, inside)
        elif not path.exists():
            raise UserError(f"{path} does not exist: name image files, folders of images, or a manifest (.csv)")
        elif path.suffix.lower() == ".csv":
            records = read_manifest(path)
            for record in select_split(records, options.split) if options.split else records:
                take(record.image, Path(record.image.name))
        else:
            take(path, Path(path.name))
    if not found:
        hint = "" if options.recursive else "; --recursive looks into subfolders too"
        raise UserError(
            f"no images in {', '.join(map(str, options.images))}: {', '.join(IMAGE_SUFFIXES)} are read{hint}"
        )
    return list(found.values())


def unique_names(images: Sequence[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """Give images whose results would have the same name different ones, whatever case a file system ignores.

    Of several, each gets its suffix added (a_png, a_tif), or its folder before it too where that is not enough
    (x_a_png, y_a_png), or at last a number.
    """

    def choices(image: Path, place: Path) -> list[Path]:
        longer = f"{place.name}_{image.suffix.lstrip('.').lower()}"
        return [place, place.with_name(longer), place.with_name(f"{image.resolve().parent.name}_{longer}")]

    def key(place: Path) -> str:
        return place.as_posix().casefold()

    wanted = [choices(image, place) for image, place in images]
    uses = [Counter(key(places[level]) for places in wanted) for level in range(2)]
    taken: set[str] = set()
    named = []
    for (image, _), places in zip(images, wanted, strict=True):
        level = next((level for level in range(2) if uses[level][key(places[level])] == 1), 2)
        place, number = places[level], 2
        while key(place) in taken:
            place, number = place.with_name(f"{places[level].name}_{number}"), number + 1
        taken.add(key(place))
        named.append((image, place))
    return named


def _files(name: Path, options: argparse.Namespace) -> dict[str, list[Path]]:
    return result_files(options.output, list(dict.fromkeys(options.save)), name)


def _without_existing(named: Sequence[tuple[Path, Path]], options: argparse.Namespace) -> list[tuple[Path, Path]]:
    if options.force:
        return list(named)
    if options.skip_existing:
        return [pair for pair in named if not _is_complete(pair[1], options)]
    there = [path for _, name in named for files in _files(name, options).values() for path in files if path.exists()]
    if there:
        raise UserError(
            f"{len(there)} results are there already, such as {there[0]}: say --skip-existing to leave those images "
            "out, or --force to overwrite"
        )
    return list(named)


def _is_complete(name: Path, options: argparse.Namespace) -> bool:
    return all(any(path.exists() for path in files) for files in _files(name, options).values())


def _check_postprocessing(options: argparse.Namespace) -> None:
    """Raise a `UserError` if there are options for objects that do not fit, or no objects are to be saved."""
    if set(options.save) & set(OF_OBJECTS):
        check_postprocessing(options, run_folder(options))
    elif given := given_postprocessing(options):
        raise UserError(
            f"{', '.join(map(option_name, given))}: post-processing makes objects, but --save names neither "
            f"{' nor '.join(OF_OBJECTS)}; masks and outlines show the most probable class of each pixel"
        )


def _settings_of_objects(options: argparse.Namespace, network: Segmenter) -> "PostprocessingConfig | None":
    """Return how objects are made, and say it; None where none are asked for."""
    if not set(options.save) & set(OF_OBJECTS):
        return None
    settings, source = postprocessing_settings(options, run_folder(options), network.contours)
    print(f"objects: {settings} ({'from the ' + source if source != 'default' else source})")
    return settings


def _predict_one(
    network: Segmenter,
    image: Path,
    name: Path,
    options: argparse.Namespace,
    settings: "PostprocessingConfig | None",
) -> None:
    """Segment one image and write what is to be saved."""
    from flexdan.data import read_image
    from flexdan.inference import class_probabilities, to_instances

    pixels = read_image(image, network.channels, network.config.data.intensity)
    probabilities = network.segment(pixels)  # (K, H, W)
    instances = to_instances(probabilities, settings, network.contours) if settings else None
    for kind, files in _files(name, options).items():
        write_result(
            kind,
            files,
            pixels=pixels,
            probabilities=class_probabilities(probabilities, network.contours),
            instances=instances,
            binary=network.num_classes == 2 and options.mask_format != "index",
        )
