"""The contact sheet: what is on it, and what is not opened for it."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flexdan.data import ImageRecord, write_image
from flexdan.data.contact_sheet import CELL, MARGIN, choose_evenly, draw_contact_sheet
from flexdan.data.importing import untracked
from flexdan.data.outlines import GREEN


def make_records(**counts: int) -> list[ImageRecord]:
    """Return records: `train=3` are annotated, `train_bare=3` are not."""
    return [
        ImageRecord(
            image=Path(f"{kind}{index}.png"),
            mask=None if "bare" in kind else Path("mask.png"),
            split=kind.split("_")[0],
            annotated="bare" not in kind,
        )
        for kind, count in counts.items()
        for index in range(count)
    ]


def count_kinds(records) -> dict:
    """Return images by split and annotation."""
    return dict(Counter((record.split, record.annotated) for record in records))


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 10, 24, 144, 145, 500])
def test_at_most_so_many_and_one_of_each_kind(limit):
    records = make_records(val=60, train=9, train_bare=76)
    chosen = choose_evenly(records, limit)
    assert len(chosen) == min(limit, 145)
    assert len({record.image for record in chosen}) == len(chosen)
    assert len(count_kinds(chosen)) == min(3, limit)


def test_the_choice_is_even():
    records = make_records(train=100)
    assert [record.name for record in choose_evenly(records, 5)] == [
        "train0",
        "train25",
        "train50",
        "train74",
        "train99",
    ]
    chosen = choose_evenly(make_records(train=50, val=50), 20)
    assert count_kinds(chosen) == {("train", True): 10, ("val", True): 10}


def make_files(folder: Path, channels: int = 3) -> list[ImageRecord]:
    """Write a grey image with a mask of one square, annotated, and its like, unannotated with a broken mask."""
    write_image(folder / "a.tif", np.full((60, 90, channels), 90, np.uint8))
    mask = np.zeros((60, 90), np.uint8)
    mask[20:40, 30:60] = 5
    write_image(folder / "a_mask.png", mask)
    (folder / "b_mask.png").write_text("no image")
    annotated = ImageRecord(
        image=folder / "a.tif",
        mask=folder / "a_mask.png",
        mask_values="instances",
        split="train",
        annotated=True,
        height=60,
        width=90,
        channels=channels,
    )
    return [annotated, replace(annotated, mask=folder / "b_mask.png", annotated=False)]


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_annotated_images_have_outlines_and_masks_of_others_are_not_opened(tmp_path, channels):
    sheet = draw_contact_sheet(make_files(tmp_path, channels), 24, untracked)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == 2 * CELL + 3 * MARGIN
    green = (sheet == GREEN).all(axis=2)
    left, right = green[:, : CELL + MARGIN], green[:, CELL + MARGIN :]
    rows, columns = np.nonzero(left)
    factor = CELL / 90
    assert (rows.min() - MARGIN, columns.min() - MARGIN) == pytest.approx((20 * factor, 30 * factor), abs=1)
    assert (rows.max() - MARGIN, columns.max() - MARGIN) == pytest.approx((40 * factor, 60 * factor), abs=1.5)
    assert not right.any()


def test_broken_files_do_not_stop_the_sheet(tmp_path):
    records = make_files(tmp_path)
    broken = replace(records[1], annotated=True)
    missing = replace(records[0], image=tmp_path / ("gone" * 40 + ".png"))
    sheet = draw_contact_sheet([records[0], broken, missing], 24, untracked)
    assert (sheet == GREEN).all(axis=2).any()
