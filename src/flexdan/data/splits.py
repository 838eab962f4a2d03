"""Dividing images into splits, and choosing which of them stay annotated."""

import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from flexdan.config import UserError
from flexdan.data.manifest import ImageRecord


def parse_fractions(words: Sequence[str]) -> dict[str, float]:
    """Read `train=0.7 val=0.3`.

    Raises:
        UserError: if a word is not NAME=SHARE, a share is not above 0 and at most 1, or they do not add up to 1.
    """
    fractions: dict[str, float] = {}
    for word in (part for text in words for part in text.replace(",", " ").split()):
        name, _, share = word.partition("=")
        try:
            value = float(share)
        except ValueError:
            value = math.nan
        if not name or not 0 < value <= 1 or name in fractions:
            raise UserError(
                f"--split has {word!r}: each must be NAME=SHARE, once, with a share above 0 and at most 1, such as "
                "train=0.7 val=0.15 test=0.15 (folders and files come before --split)"
            )
        fractions[name] = value
    _check_sum(fractions)
    return fractions


def split_by_fraction(records: Sequence[ImageRecord], fractions: Mapping[str, float], seed: int) -> list[ImageRecord]:
    """Divide images at random, whole groups together; an image without a group is a group of its own.

    The sizes come from the shares by largest remainder; with groups they are met as well as whole groups allow, and
    every split gets one group at least. The outcome depends on names, groups and seed, not on the order of the rows.

    Args:
        records: the images.
        fractions: share of each split, adding up to 1.
        seed: of the draw.

    Returns:
        the records, in their order, with their splits.

    Raises:
        UserError: if there are fewer groups than splits, or the shares do not add up to 1.
    """
    _check_sum(fractions)
    groups: dict[tuple[str, ...], list[ImageRecord]] = {}
    for record in sorted(records, key=_identity):
        groups.setdefault((record.group,) if record.group else ("", *_identity(record)), []).append(record)
    if len(groups) < len(fractions):
        raise UserError(
            f"{len(records)} images in {len(groups)} groups cannot fill {len(fractions)} splits "
            f"({', '.join(fractions)}): a group stays together; ask for fewer splits"
        )
    order = list(groups.values())
    random.Random(seed).shuffle(order)
    order.sort(key=len, reverse=True)  # large groups first: the small ones then even out the sizes
    missing = largest_remainder(len(records), fractions)
    empty = set(fractions)
    splits: dict[tuple[str, ...], str] = {}
    for done, members in enumerate(order):
        open_splits = empty if len(order) - done == len(empty) else missing
        split = max((name for name in fractions if name in open_splits), key=lambda name: missing[name])
        missing[split] -= len(members)
        empty.discard(split)
        splits |= {_identity(record): split for record in members}
    return [replace(record, split=splits[_identity(record)]) for record in records]


def largest_remainder(total: int, fractions: Mapping[str, float]) -> dict[str, int]:
    """Divide `total` by shares into whole numbers that add up to it; ties go to the share named first."""
    exact = {name: total * share for name, share in fractions.items()}
    sizes = {name: math.floor(value + 1e-9) for name, value in exact.items()}
    by_rest = sorted(fractions, key=lambda name: sizes[name] - exact[name])
    for name in by_rest[: total - sum(sizes.values())]:
        sizes[name] += 1
    return sizes


def split_by_list(records: Sequence[ImageRecord], splits: Mapping[str, str]) -> list[ImageRecord]:
    """Set splits by image name (with or without suffix); images that are not named get no split.

    Raises:
        UserError: if a name belongs to no image.
    """
    found = [(record, lookup(splits, record)) for record in records]
    refuse_unknown(splits, records, "the list of splits")
    return [replace(record, split=split or "") for record, split in found]


def replace_split(records: Sequence[ImageRecord], split: str, divided: Sequence[ImageRecord]) -> list[ImageRecord]:
    """Put the images of one split, which were divided, in the place of those that they were.

    Args:
        records: the images of all splits.
        split: the one that was divided.
        divided: its images in their order, with their new splits.

    Raises:
        UserError: if one of the new splits has other images already: two sets would become one without a word.
    """
    others = {record.split for record in records if record.split not in (split, "")}
    taken = [name for name in dict.fromkeys(record.split for record in divided) if name in others]
    if taken:
        count = sum(record.split == taken[0] for record in records)
        raise UserError(
            f"the split {taken[0]!r} has {count} images already, which are not of {split!r}: choose another name, or "
            f"first give them one with `flexdan data split MANIFEST --of {taken[0]} --split NAME=1`"
        )
    new = iter(divided)
    return [next(new) if record.split == split else record for record in records]


def mark_annotated(
    records: Sequence[ImageRecord], amount: int | str, split: str = "train", seed: int = 0
) -> list[ImageRecord]:
    """Keep the annotation of so many images of a split, drawn among its annotated ones; the rest becomes unannotated.

    For one seed a larger amount contains the images of a smaller one. The draw depends on names, not on the order of
    the rows. Masks stay named in the records, but no one may open those of unannotated images.

    Args:
        records: the images.
        amount: a count (9 or "9") or a share of the annotated images of the split ("10%"), rounded half up, at least 1.
        split: the split; other splits stay as they are.
        seed: of the draw.

    Raises:
        UserError: if the amount cannot be read, or is more than there are.
    """
    annotated = sorted((record for record in records if record.split == split and record.annotated), key=_identity)
    if not annotated:
        there = ", ".join(name or "(none)" for name in ordered_splits(records))
        raise UserError(
            f"annotated is {amount}, but no image of the split {split!r} is annotated: the splits are {there}; divide "
            "the images first (--split), or leave annotated out"
        )
    match = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)\s*%", str(amount).strip())
    if not match or float(match[1] or match[2]) <= 0:
        raise UserError(f"annotated is {amount!r}: it must be a count such as 9, or a share such as 10%, above 0")
    count = int(match[1]) if match[1] else max(1, math.floor(len(annotated) * float(match[2]) / 100 + 0.5 + 1e-9))
    if count > len(annotated) or float(match[2] or 0) > 100:
        raise UserError(
            f"annotated is {amount}: the split {split!r} has {len(annotated)} annotated images; ask for so many at most"
        )
    random.Random(seed).shuffle(annotated)
    kept = {_identity(record) for record in annotated[:count]}
    return [
        replace(record, annotated=_identity(record) in kept) if record.split == split else record for record in records
    ]


def lookup(table: Mapping[str, str], record: ImageRecord) -> str | None:
    """Return the value for an image by its file name, or by its name without suffix."""
    return table.get(record.image.name, table.get(record.name))


def refuse_unknown(table: Mapping[str, str], records: Sequence[ImageRecord], what: str) -> None:
    """Raise a `UserError` if a name in a table belongs to no image."""
    names = {name for record in records for name in (record.image.name, record.name)}
    unknown = [name for name in table if name not in names]
    if unknown:
        raise UserError(
            f"{what} names {len(unknown)} images that are not there, the first of them {', '.join(unknown[:5])}: "
            "names are file names, with or without suffix"
        )


def ordered_splits(records: Sequence[ImageRecord]) -> list[str]:
    """Return the names of the splits there are: train, val, test, then others by name; images without one come last."""
    known = ("train", "val", "test")
    names = {record.split for record in records}
    return [name for name in known if name in names] + sorted(
        names.difference(known), key=lambda name: (not name, name)
    )


def _check_sum(fractions: Mapping[str, float]) -> None:
    total = sum(fractions.values())
    if abs(total - 1) > 1e-6:
        text = " ".join(f"{name}={share:g}" for name, share in fractions.items())
        raise UserError(f"the splits {text} add up to {total:g}: the shares must add up to 1")


def _identity(record: ImageRecord) -> tuple[str, str]:
    return record.name, record.image.as_posix()
