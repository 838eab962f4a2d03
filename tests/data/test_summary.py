"""The numbers of a manifest."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flexdan.data import ImageRecord, MaskValues, write_image
from flexdan.data.importing import untracked
from flexdan.data.summary import count_objects, summarize, typical_diameter


def make_record(folder: Path, name: str, values: list[list[int]], **changes) -> ImageRecord:
    """Write a mask and return a record of an image of its size."""
    write_image(folder / f"{name}.png", np.array(values, np.uint8))
    height, width = np.shape(values)
    record = ImageRecord(
        image=folder / f"{name}_image.png",
        mask=folder / f"{name}.png",
        mask_values="instances",
        split="train",
        annotated=True,
        height=height,
        width=width,
        channels=3,
    )
    return replace(record, **changes)


def test_a_split_in_numbers(tmp_path):
    records = [
        make_record(tmp_path, "a", [[0, 1, 1, 0], [0, 0, 7, 7]], group="p1"),
        make_record(tmp_path, "b", [[0, 0], [0, 3], [0, 0]], group="p1"),
        make_record(tmp_path, "c", [[9] * 4] * 8, group="p2", annotated=False, channels=1),
        make_record(tmp_path, "d", [[0, 255, 128]], split="val", mask_values="0=0 128=1 255=ignore"),
        ImageRecord(image=tmp_path / "e.png", height=5, width=6, channels=1),
    ]
    train, val, none = summarize(records, untracked)
    assert (train.split, train.images, train.annotated, train.unannotated, train.groups) == ("train", 3, 2, 1, 2)
    assert train.heights == (2, 3, 8)
    assert train.widths == (2, 4, 4)
    assert train.channels == (1, 3)
    assert train.mask_values == ("instances",)
    assert train.foreground == pytest.approx((4 + 1) / (8 + 6))
    assert train.objects == 1.5
    assert train.values == (0, 1, 3, 7)  # nothing of the unannotated mask
    assert val.foreground == 0.5  # of the pixels that count
    assert (val.objects, val.values, val.groups) == (1, (0, 128, 255), 0)
    assert (none.split, none.foreground, none.objects, none.values) == ("", None, None, ())


def test_the_typical_diameter_is_that_of_a_disc_at_the_reduced_size(tmp_path):
    """Objects of 1, 4 and 16 pixels; the second image has 64 pixels, and 16 of them are left: half of each diameter."""
    records = [
        make_record(tmp_path, "a", [[0, 1, 0, 3, 3], [0, 0, 0, 3, 3]]),
        make_record(tmp_path, "b", [[5] * 4 + [0] * 4] * 4 + [[0] * 8] * 4),
    ]
    disc = 2 / math.pi**0.5
    assert typical_diameter(records[:1], 64) == pytest.approx(1.5 * disc)
    assert typical_diameter(records, 16) == pytest.approx(2 * disc)
    assert typical_diameter([make_record(tmp_path, "c", [[0, 0]])], 64) == 0


def test_masks_of_unannotated_images_are_not_opened_and_broken_ones_are_counted(tmp_path):
    records = [
        make_record(tmp_path, "a", [[0, 1]]),
        make_record(tmp_path, "b", [[0, 1]], annotated=False),
        make_record(tmp_path, "c", [[0, 1]]),
    ]
    for name in "bc":
        (tmp_path / f"{name}.png").write_text("no image")
    (train,) = summarize(records, untracked)
    assert (train.foreground, train.objects, train.unreadable) == (0.5, 1, 1)


@pytest.mark.parametrize(
    ("text", "count"),
    [("instances", 3), ("binary", 2), ("0=0 1=1 2=2 3=ignore", 2), ("0=0 1=1 2=1 3=1", 2), ("0=0 1=ignore 2=1 3=1", 2)],
)
def test_objects_are_instances_or_connected_parts_of_a_class(text, count):
    values = np.array([[1, 0, 0, 0], [0, 1, 2, 0], [0, 0, 0, 0], [3, 0, 0, 0]])
    meaning = MaskValues.parse(text)
    assert count_objects(values, meaning, meaning.to_classes(values, "mask.png")) == count
