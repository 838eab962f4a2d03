"""The manifest: one CSV that lists every image, its mask or none, split, annotation, group, size and hash."""

import csv
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flexdan.config import UserError
from flexdan.config.files import atomic_path
from flexdan.data.images import image_size
from flexdan.data.masks import MaskValues

COLUMNS: tuple[str, ...] = (
    "image",
    "mask",
    "mask_values",
    "split",
    "annotated",
    "group",
    "grade",
    "height",
    "width",
    "channels",
    "sha256",
)
_TRUE, _FALSE = ("yes", "true", "1"), ("no", "false", "0", "")


@dataclass(frozen=True, kw_only=True)
class ImageRecord:
    """One row of the manifest.

    Args:
        image: the image file.
        mask: its mask file, or None. An unannotated image may have one; it is never opened.
        mask_values: what the values in the mask mean; see `MaskValues`.
        split: train, val, test, or any other name; empty: in no split.
        annotated: whether the mask may be used.
        group: what must not stand in two splits, such as the patient.
        grade: a label of the image for results by group, such as the grade of the tumour.
        height: in pixels.
        width: in pixels.
        channels: of the image.
        sha256: of the image file.
    """

    image: Path
    mask: Path | None = None
    mask_values: str = ""
    split: str = ""
    annotated: bool = False
    group: str = ""
    grade: str = ""
    height: int = 0
    width: int = 0
    channels: int = 0
    sha256: str = ""

    @property
    def name(self) -> str:
        """The file name without its suffix."""
        return self.image.stem


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(path: str | Path) -> list[ImageRecord]:
    """Read a manifest. Relative paths in it start at its folder.

    Raises:
        UserError: if the file is missing, a column is missing, or a row is wrong (the message names its line).
    """
    hint = "make one with `flexdan data import` or `flexdan data synthesize`"
    if not str(path):
        raise UserError(f"no manifest is named: {hint}, and name it")
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = [(reader.line_num, row) for row in reader if any(value for value in row.values())]
            columns = reader.fieldnames or ()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"cannot read the manifest {path}: {reason}; {hint}") from error
    missing = [name for name in ("image", "split") if name not in columns]
    if missing:
        raise UserError(f"the manifest {path} lacks the column {missing[0]!r}: it has {', '.join(columns) or 'none'}")
    return [_parse_row(row, path, line) for line, row in rows]


def write_manifest(path: str | Path, records: Iterable[ImageRecord]) -> None:
    """Write a manifest; files below its folder are written relative to it, others absolute."""
    path = Path(path)
    folder = Path(os.path.abspath(path.parent))  # noqa: PTH100

    def place(file: Path | None) -> str:
        if file is None:
            return ""
        file = Path(os.path.abspath(file))  # noqa: PTH100  (a link keeps its name, which is the name of the image)
        return (file.relative_to(folder) if file.is_relative_to(folder) else file).as_posix()

    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for record in records:
            row = {name: getattr(record, name) for name in COLUMNS}
            row |= {"image": place(record.image), "mask": place(record.mask)}
            row["annotated"] = "yes" if record.annotated else "no"
            writer.writerow(row)


def select_split(records: Sequence[ImageRecord], split: str) -> list[ImageRecord]:
    """Return the records of one split.

    Raises:
        UserError: if there are none; the message lists the splits there are.
    """
    chosen = [record for record in records if record.split == split]
    if not chosen:
        splits = sorted({record.split for record in records if record.split})
        raise UserError(
            f"the manifest has no images in the split {split!r}: its splits are {', '.join(splits) or '(none)'}"
        )
    return chosen


def num_classes(records: Sequence[ImageRecord]) -> int:
    """Return the number of classes, background included, of the annotated records.

    Raises:
        UserError: if none is annotated, or if they disagree.
    """
    kinds = sorted({record.mask_values for record in records if record.annotated})
    counts = {MaskValues.parse(kind).num_classes for kind in kinds}
    if not counts:
        raise UserError("none of the images is annotated: at least one mask is needed to train or to evaluate")
    if len(counts) > 1:
        raise UserError(f"masks disagree on the number of classes: the manifest has {' and '.join(map(repr, kinds))}")
    return counts.pop()


def _parse_row(row: dict[str, str | None], path: Path, line: int) -> ImageRecord:
    if None in row:
        raise UserError(f"{path}, line {line}: has more cells than columns; put names with commas in quotes")
    values = {name: (row.get(name) or "").strip() for name in COLUMNS}

    def fail(name: str, allowed: str) -> UserError:
        return UserError(f"{path}, line {line}: {name} is {values[name]!r}, but must be {allowed}")

    if not values["image"]:
        raise fail("image", "the path of an image")
    annotated = values["annotated"].lower()
    if annotated not in _TRUE + _FALSE:
        raise fail("annotated", "yes or no")
    if annotated in _TRUE and not values["mask"]:
        raise fail("mask", "the path of a mask, since annotated says yes")
    sizes = {}
    for name in ("height", "width", "channels"):
        if values[name] and not values[name].isdecimal():
            raise fail(name, "a whole number")
        sizes[name] = int(values[name] or 0)
    record = ImageRecord(
        image=path.parent / values["image"],
        mask=path.parent / values["mask"] if values["mask"] else None,
        mask_values=values["mask_values"] or ("binary" if values["mask"] else ""),
        split=values["split"],
        annotated=annotated in _TRUE,
        group=values["group"],
        grade=values["grade"],
        sha256=values["sha256"],
        **sizes,
    )
    if record.annotated:
        try:
            MaskValues.parse(record.mask_values)
        except UserError as error:
            raise UserError(f"{path}, line {line}: {error}") from error
    return record if record.height and record.width and record.channels else _with_size(record)


def _with_size(record: ImageRecord) -> ImageRecord:
    height, width, channels = image_size(record.image)
    return replace(record, height=height, width=width, channels=channels)
