"""Recognising how images and masks lie in folders: GlaS as released, the six folders of the log, any other folders."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from flexdan.config import UserError
from flexdan.data.images import IMAGE_SUFFIXES
from flexdan.data.manifest import ImageRecord

LAYOUTS = ("auto", "glas", "log", "folders")
MASK_SUFFIXES = ("_anno", "_masks", "_mask", "_labels", "_label", "_seg", "_gt")
MASK_FOLDERS = ("instances", "masks")
GLAS_NAME = re.compile(r"(train|testA|testB)_\d+")
GLAS_SPLITS = {"train": "train", "testA": "val", "testB": "test"}
LOG_FOLDERS = {"training": "train", "a": "val", "b": "test"}


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a folder holds.

    Args:
        layout: a sentence for the user.
        records: the images, with their masks; neither measured nor opened.
        mask_values: what the masks mean where the layout says so, else empty.
        orphan_masks: masks without an image.
        has_masks: whether the layout has masks at all.
        notes: what else the user should know.
    """

    layout: str
    records: list[ImageRecord]
    mask_values: str = ""
    orphan_masks: list[Path] = field(default_factory=list)
    has_masks: bool = True
    notes: tuple[str, ...] = ()


def find_images(source: Path, masks: Path | None = None, layout: str = "auto") -> Found:
    """List the images of a folder with their masks, splits, groups and grades, as far as the layout tells them.

    Args:
        source: the folder.
        masks: the folder of masks, if it is not found by its name.
        layout: one of `LAYOUTS`.

    Raises:
        UserError: if there are no images, the layout is not there, or names are ambiguous.
    """
    for folder in filter(None, (source, masks)):
        if not folder.is_dir():
            raise UserError(f"{folder} is {'a file' if folder.is_file() else 'not there'}: name a folder of images")
    if masks is not None and layout in ("glas", "log"):
        raise UserError(f"--layout {layout} finds the masks by itself: leave --masks out, or say --layout folders")
    if layout == "log" or (layout == "auto" and masks is None and _is_log(source)):
        return _find_log(source)
    if layout == "glas" or (layout == "auto" and masks is None and _is_glas(source)):
        return _find_glas(source)
    return _find_folders(source, masks)


def list_images(folder: Path) -> list[Path]:
    """Return the image files of a folder, hidden ones left out, in the order in which people count."""
    files = (file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file())
    return sorted((file for file in files if not file.name.startswith(".")), key=_natural)


def pair_masks(images: Sequence[Path], masks: Iterable[Path]) -> tuple[dict[Path, Path], list[Path]]:
    """Match masks to images: the same stem, or the stem and one of `MASK_SUFFIXES`.

    Returns:
        mask by image, and the masks without an image.

    Raises:
        UserError: if two images share a stem, or an image has two masks.
    """
    repeated = [stem for stem, count in Counter(image.stem for image in images).items() if count > 1]
    if repeated:
        names = ", ".join(image.name for image in images if image.stem == repeated[0])
        raise UserError(
            f"{images[0].parent} has several images of the name {repeated[0]!r} ({names}): keep one of them"
        )
    by_stem = {image.stem: image for image in images}
    pairs: dict[Path, Path] = {}
    orphans = []
    for mask in masks:
        image = next((by_stem[stem] for stem in bare_stems(mask.stem) if stem in by_stem), None)
        if image is None:
            orphans.append(mask)
        elif image in pairs:
            raise UserError(f"{image} has two masks, {pairs[image].name} and {mask.name}: keep one of them")
        else:
            pairs[image] = mask
    return pairs, orphans


def bare_stems(stem: str) -> list[str]:
    """Return the name of a mask, and what it is without one of `MASK_SUFFIXES`."""
    return [stem, *_bare(stem)]


def separate_masks(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Divide the files of one folder into images and masks by `MASK_SUFFIXES`.

    A file is a mask if the image that its name asks for stands beside it. Suffixes that some masks of the folder have
    mark masks without an image too.
    """
    stems = {file.stem for file in files}
    masks = [file for file in files if any(stem in stems for stem in _bare(file.stem))]
    imaged = {stem for mask in masks for stem in _bare(mask.stem)}
    used = {suffix for mask in masks for suffix in MASK_SUFFIXES if mask.stem.endswith(suffix)}
    masks += [
        file for file in files if file not in masks and file.stem not in imaged and file.stem.endswith(tuple(used))
    ]
    return [file for file in files if file not in set(masks)], masks


def _find_glas(source: Path) -> Found:
    files = list_images(source)
    images, masks = separate_masks(files)
    images = [image for image in images if GLAS_NAME.fullmatch(image.stem)]
    if not images or not masks:
        raise UserError(
            f"{source} is not the flat folder of the GlaS release: it has no train_1.bmp with train_1_anno.bmp"
        )
    pairs, orphans = pair_masks(images, masks)
    records = _with_grades(_glas_splits([_record(image, pairs.get(image)) for image in images]), source)
    notes = (_glas_note(records), *_grade_note(records, source))
    layout = "GlaS as released (train_1.bmp beside train_1_anno.bmp)"
    return Found(layout=layout, records=records, mask_values="instances", orphan_masks=orphans, notes=notes)


def _find_log(source: Path) -> Found:
    records: list[ImageRecord] = []
    orphans: list[Path] = []
    seen = []
    for name, split in LOG_FOLDERS.items():
        if not (source / name).is_dir():
            continue
        images = list_images(source / name)
        masks = list_images(source / f"{name}_anno") if (source / f"{name}_anno").is_dir() else []
        pairs, without = pair_masks(images, masks)
        records += [replace(_record(image, pairs.get(image)), split=split) for image in images]
        orphans += without
        seen.append(f"{name} -> {split} ({len(images)})")
    if not records:
        raise UserError(f"{source} has no images in training/, a/ or b/: is it the folder above them?")
    records = _with_grades(records, source)
    notes = (f"splits by folder: {', '.join(seen)}", *_grade_note(records, source))
    layout = "the six folders of the log (training, training_anno, a, a_anno, b, b_anno)"
    return Found(layout=layout, records=records, mask_values="instances", orphan_masks=orphans, notes=notes)


def _find_folders(source: Path, masks: Path | None) -> Found:
    top = source
    if masks is None and (source / "images").is_dir():
        masks = next((source / name for name in MASK_FOLDERS if (source / name).is_dir()), None)
        source = source / "images"
    files = list_images(source)
    if not files:
        inner = [child.name for child in sorted(source.iterdir()) if child.is_dir() and list_images(child)]
        hint = f"but {', '.join(inner[:5])} in it has: name these folders" if inner else "the formats are "
        raise UserError(f"{source} has no images, {hint}{'' if inner else ', '.join(IMAGE_SUFFIXES)}")
    if masks is not None and masks.resolve() != source.resolve():
        images, mask_files = files, list_images(masks)
        if not mask_files:
            raise UserError(f"{masks} has no masks in it: the formats are {', '.join(IMAGE_SUFFIXES)}")
        layout = f"images in {source}, masks in {masks}"
    else:
        images, mask_files = separate_masks(files)
        layout = f"images and masks in {source}" if mask_files else f"images in {source}, no masks"
    pairs, orphans = pair_masks(images, mask_files) if mask_files else ({}, [])
    if mask_files and not pairs:
        raise UserError(
            f"no mask in {masks or source} belongs to an image: {images[0].name} needs a mask named {images[0].stem}, "
            f"or so with {', '.join(MASK_SUFFIXES)}, but there is {mask_files[0].name}"
        )
    records = [_record(image, pairs.get(image)) for image in images]
    notes: tuple[str, ...] = ()
    if all(GLAS_NAME.fullmatch(record.name) for record in records):
        records = _glas_splits(records)
        notes = (_glas_note(records),)
    table = top if (top / "Grade.csv").is_file() or top.name != "images" else top.parent
    records = _with_grades(records, table)
    return Found(
        layout=layout,
        records=records,
        mask_values="instances" if pairs and masks is not None and masks.name == "instances" else "",
        orphan_masks=orphans,
        has_masks=bool(mask_files),
        notes=(*notes, *_grade_note(records, table)),
    )


def _record(image: Path, mask: Path | None) -> ImageRecord:
    return ImageRecord(image=image, mask=mask, annotated=mask is not None)


def _is_log(source: Path) -> bool:
    return any((source / name).is_dir() and (source / f"{name}_anno").is_dir() for name in LOG_FOLDERS)


def _is_glas(source: Path) -> bool:
    stems = {file.stem for file in list_images(source)}
    return any(GLAS_NAME.fullmatch(stem) and f"{stem}_anno" in stems for stem in stems)


def _glas_splits(records: list[ImageRecord]) -> list[ImageRecord]:
    return [replace(record, split=GLAS_SPLITS[record.name.split("_")[0]]) for record in records]


def _glas_note(records: list[ImageRecord]) -> str:
    counts = Counter(record.name.split("_")[0] for record in records)
    return "splits by name, as GlaS has them: " + ", ".join(
        f"{name} -> {split} ({counts[name]})" for name, split in GLAS_SPLITS.items()
    )


def _with_grades(records: list[ImageRecord], folder: Path) -> list[ImageRecord]:
    """Take patient and grade from `Grade.csv`, as GlaS has it: name, patient ID, grade, a finer grade."""
    path = folder / "Grade.csv"
    if not path.is_file():
        return records
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    short = next((row for row in rows if len(row) < 3), None)
    if not rows or short:
        raise UserError(f"{path} must have the columns name, patient ID, grade, but has the row {short or '(none)'}")
    known = {row[0]: row for row in rows[1:]}
    return [
        replace(record, group=known[record.name][1], grade=known[record.name][2]) if record.name in known else record
        for record in records
    ]


def _grade_note(records: list[ImageRecord], folder: Path) -> tuple[str, ...]:
    if not (folder / "Grade.csv").is_file():
        return ()
    have = sum(bool(record.group) for record in records)
    return (f"patient (group) and grade of {have} of {len(records)} images from {folder / 'Grade.csv'}",)


def _bare(stem: str) -> list[str]:
    return [stem.removesuffix(suffix) for suffix in MASK_SUFFIXES if stem.endswith(suffix)]


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    return [
        (False, int(part), "") if part.isdecimal() else (True, 0, part)
        for part in re.split(r"(\d+)", path.name)
        if part
    ]
