"""What a manifest holds, in numbers: images, groups, sizes, and what its masks say."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flexdan.config import IGNORE, UserError
from flexdan.data.images import read_mask
from flexdan.data.manifest import ImageRecord
from flexdan.data.masks import MaskValues
from flexdan.data.splits import ordered_splits

Track = Callable[[Sequence[Any], str], Iterable[Any]]


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """One split in numbers.

    Args:
        split: its name; empty: images without a split.
        images: how many.
        annotated: how many of them have a mask that may be used.
        unannotated: how many have none.
        groups: number of groups, such as patients.
        heights: smallest, median and largest, in pixels.
        widths: alike.
        channels: the numbers of channels there are.
        mask_values: the meanings of mask values there are.
        foreground: share of the foreground among the pixels that count, 0..1, in all annotated masks; None without any.
        objects: mean number of objects in a mask: instances, or connected parts of the foreground; None without any.
        values: distinct values in the masks, the smallest 20.
        unreadable: masks that could not be read.
    """

    split: str
    images: int
    annotated: int
    unannotated: int
    groups: int
    heights: tuple[float, float, float]
    widths: tuple[float, float, float]
    channels: tuple[int, ...]
    mask_values: tuple[str, ...]
    foreground: float | None
    objects: float | None
    values: tuple[int, ...]
    unreadable: int


def summarize(records: Sequence[ImageRecord], track: Track) -> list[SplitSummary]:
    """Describe each split; opens the masks of annotated images, one at a time, and no others."""
    return [
        _summarize_split(split, [record for record in records if record.split == split], track)
        for split in ordered_splits(records)
    ]


def count_objects(values: np.ndarray, meaning: MaskValues, classes: np.ndarray) -> int:
    """Return the number of objects of a mask: its instances, or the connected parts (8 neighbours) of each class.

    Args:
        values: as in the file, (H, W).
        meaning: of the values.
        classes: the same pixels as classes, (H, W).
    """
    if meaning.kind == "instances":
        return len(np.unique(values[values != 0]))
    from scipy import ndimage

    present = [kind for kind in np.unique(classes).tolist() if kind not in (0, IGNORE)]
    return sum(int(ndimage.label(classes == kind, np.ones((3, 3)))[1]) for kind in present)  # type: ignore[index]


def typical_diameter(records: Sequence[ImageRecord], max_pixels: int, sample: int = 20) -> float:
    """Return the median diameter of objects, each as a disc of its area, in pixels of images that have been reduced.

    Args:
        records: annotated images.
        max_pixels: of an image; larger ones are reduced to that.
        sample: so many images are looked at, the first ones.

    Returns:
        The diameter; 0 without an object.

    Raises:
        UserError: if a mask cannot be read.
    """
    found: list[float] = []
    for record in records[:sample]:
        assert record.mask is not None
        values, meaning = read_mask(record.mask), MaskValues.parse(record.mask_values)
        objects = meaning.to_objects(values, meaning.to_classes(values, str(record.mask)))
        areas = np.unique(objects[objects != 0], return_counts=True)[1]
        scale = min(1.0, math.sqrt(max_pixels / objects.size))
        found += (scale * 2 * np.sqrt(areas / math.pi)).tolist()
    return float(np.median(found)) if found else 0.0


def _summarize_split(split: str, records: Sequence[ImageRecord], track: Track) -> SplitSummary:
    annotated = [record for record in records if record.annotated]
    pixels = foreground = objects = unreadable = 0
    values_seen: set[int] = set()
    for record in track(annotated, f"reading masks of {split or 'no split'}"):
        assert record.annotated
        assert record.mask is not None
        try:
            values = read_mask(record.mask)
            meaning = MaskValues.parse(record.mask_values)
            classes = meaning.to_classes(values, str(record.mask))
        except UserError:
            unreadable += 1
            continue
        counted = classes != IGNORE
        pixels += int(counted.sum())
        foreground += int((classes[counted] != 0).sum())
        objects += count_objects(values, meaning, classes)
        values_seen |= set(np.unique(values).tolist())
    read = len(annotated) - unreadable
    return SplitSummary(
        split=split,
        images=len(records),
        annotated=len(annotated),
        unannotated=len(records) - len(annotated),
        groups=len({record.group for record in records if record.group}),
        heights=_spread([record.height for record in records]),
        widths=_spread([record.width for record in records]),
        channels=tuple(sorted({record.channels for record in records})),
        mask_values=tuple(sorted({record.mask_values for record in annotated})),
        foreground=foreground / pixels if pixels else None,
        objects=objects / read if read else None,
        values=tuple(sorted(values_seen)[:20]),
        unreadable=unreadable,
    )


def _spread(numbers: Sequence[int]) -> tuple[float, float, float]:
    return float(min(numbers)), float(np.median(numbers)), float(max(numbers))
