"""Making manifest rows from what was found in folders: size and hash of each image, groups, and a look at the masks."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from flexdan.config import UserError
from flexdan.data.images import read_image, read_mask
from flexdan.data.manifest import ImageRecord, file_sha256
from flexdan.data.masks import MaskValues
from flexdan.data.splits import lookup, refuse_unknown

Track = Callable[[Sequence[Any], str], Iterable[Any]]


def untracked(items: Sequence[Any], _: str) -> Iterable[Any]:
    """Go through items without a progress bar."""
    return items


def measure(
    records: Sequence[ImageRecord], skip_broken: bool = False, track: Track = untracked
) -> tuple[list[ImageRecord], list[str]]:
    """Read each image once, and take its size, channels and hash.

    Args:
        records: the images.
        skip_broken: leave out images that cannot be read instead of failing.
        track: a progress bar.

    Returns:
        the measured records, and what is wrong with those left out.

    Raises:
        UserError: if an image cannot be read, unless `skip_broken`.
    """
    good: list[ImageRecord] = []
    broken: list[str] = []
    for record in track(records, "reading images"):
        try:
            height, width, channels = read_image(record.image).shape  # decoded, since a header may lie
            sha256 = file_sha256(record.image)
        except (UserError, OSError) as error:
            _skip_or_fail(error, skip_broken, broken)
            continue
        good.append(replace(record, height=height, width=width, channels=channels, sha256=sha256))
    return good, broken


def check_masks(
    records: Sequence[ImageRecord], mask_values: str = "", skip_broken: bool = False, track: Track = untracked
) -> tuple[list[ImageRecord], list[str]]:
    """Decode the masks of the annotated images, check their sizes and values, and find out what the values mean.

    Masks of unannotated images are not opened.

    Args:
        records: measured images; those with `mask_values` keep them.
        mask_values: what the values mean where a record does not say so; empty: binary if the masks hold only 0 and one
            other value.
        skip_broken: leave out images whose mask is broken or has another size instead of failing.
        track: a progress bar.

    Returns:
        the records with `mask_values`, and what is wrong with those left out.

    Raises:
        UserError: if a mask cannot be read, has another size than its image, or has values that the mapping lacks; or
            if the meaning of the values is unknown.
    """
    default = mask_values and MaskValues.parse(mask_values)
    good: list[ImageRecord] = []
    broken: list[str] = []
    counts: Counter[int] = Counter()  # value -> masks that hold it, where the meaning is to be found out
    for record in track(records, "checking masks"):
        if record.annotated and record.mask is not None:
            try:
                values = read_mask(record.mask)
                _check_size(record, values)
                meaning = MaskValues.parse(record.mask_values) if record.mask_values else default
                if not meaning:
                    counts.update(np.unique(values).tolist())
                elif meaning.kind == "classes":
                    meaning.to_classes(values, str(record.mask))
            except UserError as error:
                _skip_or_fail(error, skip_broken, broken)
                continue
        good.append(record)
    mask_values = mask_values or _guess_values(counts, good)
    return [
        replace(record, mask_values=record.mask_values or mask_values) if record.mask else record for record in good
    ], broken


def set_groups(
    records: Sequence[ImageRecord], table: Mapping[str, str] | None = None, pattern: str = ""
) -> list[ImageRecord]:
    """Set the group of each image, from a table of names or from its name.

    Args:
        records: the images.
        table: group by image name; images that are not in it keep theirs.
        pattern: regular expression searched for in the name without suffix; its first parenthesis, or all that it
            matches, is the group.

    Raises:
        UserError: if a name in the table belongs to no image, or the pattern is wrong or does not match every name.
    """
    if table is not None:
        refuse_unknown(table, records, "the list of groups")
        return [replace(record, group=lookup(table, record) or record.group) for record in records]
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UserError(f"--group-regex {pattern!r} is no regular expression: {error}") from error
    matches = [(record, expression.search(record.name)) for record in records]
    failed = [record.name for record, match in matches if not match or not (match[expression.groups and 1])]
    if failed:
        raise UserError(
            f"--group-regex {pattern!r} finds no group in {len(failed)} of {len(records)} names, the first of them "
            f"{', '.join(failed[:5])}: it must match every name, without the suffix of the file"
        )
    return [replace(record, group=match[expression.groups and 1]) for record, match in matches if match]


def read_table(path: Path, column: str) -> dict[str, str]:
    """Read a CSV of two columns, name and `column`, with or without a header.

    Raises:
        UserError: if it cannot be read, a row lacks a value, or a name stands in it twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {error}; it must be a CSV with the columns name and {column}") from error
    at = (0, 1)
    if rows and "name" in (header := [cell.lower() for cell in rows[0]]):
        if column not in header:
            raise UserError(f"{path} lacks the column {column!r}: it has {', '.join(rows[0])}")
        at = (header.index("name"), header.index(column))
        rows = rows[1:]
    table: dict[str, str] = {}
    for row in rows:
        if len(row) <= max(at) or not row[at[0]] or not row[at[1]]:
            raise UserError(f"{path} has the row {','.join(row)!r}: each needs a name and a {column}")
        if table.setdefault(row[at[0]], row[at[1]]) != row[at[1]]:
            raise UserError(f"{path} names {row[at[0]]!r} twice, with different values: keep one of them")
    if not table:
        raise UserError(f"{path} is empty: it must have the columns name and {column}")
    return table


def find_repeated(new: Sequence[ImageRecord], old: Sequence[ImageRecord] = ()) -> list[tuple[ImageRecord, ImageRecord]]:
    """Return each new image that is there already, by path or by content, with the one it repeats."""
    seen: dict[str, ImageRecord] = {}
    for record in old:
        seen |= {key: record for key in _keys(record)}
    repeated = []
    for record in new:
        first = next((seen[key] for key in _keys(record) if key in seen), None)
        if first is not None:
            repeated.append((record, first))
        else:
            seen |= {key: record for key in _keys(record)}
    return repeated


def _keys(record: ImageRecord) -> list[str]:
    return [key for key in (str(record.image.resolve()), record.sha256) if key]


def _check_size(record: ImageRecord, values: np.ndarray) -> None:
    height, width = values.shape
    if (height, width) != (record.height, record.width):
        raise UserError(
            f"mask {record.mask} has {width} x {height} pixels, but its image {record.image.name} has "
            f"{record.width} x {record.height}: they must be equal"
        )


def _guess_values(counts: Counter[int], records: Sequence[ImageRecord]) -> str:
    if not counts or (0 in counts and len(counts) <= 2):
        return "binary"
    found = ", ".join(map(str, sorted(counts)[:12])) + (f", … ({len(counts)} in all)" if len(counts) > 12 else "")
    lossy = any(record.mask and record.mask.suffix.lower() in (".jpg", ".jpeg") for record in records)
    hint = "; JPEG blurs masks: use PNG" if lossy else ""
    raise UserError(
        f"the masks hold the values {found}, and what they mean is not known: say --mask-values binary (0 is "
        "background, the rest foreground), --mask-values instances (each value is one object), or --mask-values with a "
        f"mapping to classes such as '0=0 128=1 255=ignore'{hint}"
    )


def _skip_or_fail(error: Exception, skip_broken: bool, broken: list[str]) -> None:
    if not skip_broken:
        raise UserError(f"{error}; mend or remove it, or say --skip-broken to go on without such images") from error
    broken.append(str(error))
