"""Dividing images, and drawing the annotated ones."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexdan.config import UserError
from flexdan.data import ImageRecord
from flexdan.data.splits import (
    largest_remainder,
    mark_annotated,
    ordered_splits,
    parse_fractions,
    replace_split,
    split_by_fraction,
    split_by_list,
)

THREE = {"train": 0.7, "val": 0.15, "test": 0.15}


def make_records(count: int, groups: int = 0, **changes) -> list[ImageRecord]:
    """Return records with masks; with groups: image i belongs to group i modulo `groups`."""
    return [
        ImageRecord(
            image=Path(f"images/{index}.png"),
            mask=Path(f"masks/{index}.png"),
            mask_values="binary",
            annotated=True,
            group=f"g{index % groups}" if groups else "",
            **changes,
        )
        for index in range(count)
    ]


def count_splits(records) -> dict[str, int]:
    """Return images by split."""
    return dict(Counter(record.split for record in records))


def test_shares_are_read():
    assert parse_fractions(["train=0.7", "val=.15", "test=0.15"]) == THREE
    assert parse_fractions(["train=0.7,val=.15 test=0.15"]) == THREE
    assert parse_fractions(["train=1"]) == {"train": 1.0}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train"], "--split has 'train'"),
        (["train=x"], "--split has 'train=x'"),
        (["=1"], "--split has '=1'"),
        (["train=0", "val=1"], "--split has 'train=0'"),
        (["train=-0.5", "val=1.5"], "--split has 'train=-0.5'"),
        (["train=nan"], "--split has 'train=nan'"),
        (["train=0.5", "train=0.5"], "--split has 'train=0.5'"),
        (["train=0.5", "val=0.4"], "add up to 0.9"),
        (["train=0.8", "val=0.4"], "add up to 1.2"),
    ],
)
def test_wrong_shares_are_named(words, message):
    with pytest.raises(UserError, match=message):
        parse_fractions(words)


@pytest.mark.parametrize(
    ("total", "sizes"),
    [(10, (7, 2, 1)), (20, (14, 3, 3)), (145, (101, 22, 22)), (3, (2, 1, 0)), (1, (1, 0, 0)), (0, (0, 0, 0))],
)
def test_largest_remainder(total, sizes):
    assert tuple(largest_remainder(total, THREE).values()) == sizes


def test_sizes_without_groups_are_exact():
    assert count_splits(split_by_fraction(make_records(145), THREE, 0)) == {"train": 101, "val": 22, "test": 22}
    assert count_splits(split_by_fraction(make_records(5), {"train": 0.95, "val": 0.05}, 0)) == {"train": 4, "val": 1}


def test_one_seed_is_one_draw():
    chosen = [record.name for record in split_by_fraction(make_records(10), THREE, 1) if record.split != "train"]
    again = [record.name for record in split_by_fraction(make_records(10), THREE, 1) if record.split != "train"]
    assert chosen == again
    draws = {
        tuple(record.name for record in split_by_fraction(make_records(10), THREE, seed) if record.split == "val")
        for seed in range(50)
    }
    assert len(draws) > 25


def test_a_known_draw():
    records = split_by_fraction(make_records(10), THREE, 0)
    assert [record.name for record in records if record.split == "val"] == ["2", "9"]
    assert [record.name for record in records if record.split == "test"] == ["6"]


@given(
    sizes=st.lists(st.integers(1, 9), min_size=3, max_size=12),
    singles=st.integers(0, 9),
    seed=st.integers(0, 99),
)
def test_groups_stay_together_whatever_the_order(sizes, singles, seed):
    names = [f"g{at}" for at, size in enumerate(sizes) for _ in range(size)] + [""] * singles
    records = [replace(record, group=name) for record, name in zip(make_records(len(names)), names, strict=True)]
    result = split_by_fraction(records, THREE, seed)
    assert [replace(record, split="") for record in result] == records
    where: dict[str, set[str]] = {}
    for record in result:
        if record.group:
            where.setdefault(record.group, set()).add(record.split)
    assert all(len(splits) == 1 for splits in where.values())
    assert set(count_splits(result)) == set(THREE)  # none is empty
    shuffled = random.Random(seed).sample(records, len(records))
    assert {(r.name, r.split) for r in split_by_fraction(shuffled, THREE, seed)} == {(r.name, r.split) for r in result}


def test_sizes_with_groups_come_close():
    assert count_splits(split_by_fraction(make_records(100, groups=20), THREE, 3)) == {
        "train": 70,
        "val": 15,
        "test": 15,
    }


def test_too_few_groups_are_refused():
    with pytest.raises(UserError, match=r"9 images in 2 groups cannot fill 3 splits \(train, val, test\)"):
        split_by_fraction(make_records(9, groups=2), THREE, 0)
    with pytest.raises(UserError, match=r"add up to 0\.5"):
        split_by_fraction(make_records(9), {"train": 0.5}, 0)


def test_splits_from_a_list():
    records = split_by_list(make_records(4, split="train"), {"0": "val", "1.png": "test", "3": "odd"})
    assert [record.split for record in records] == ["val", "test", "", "odd"]
    with pytest.raises(UserError, match="the list of splits names 2 images that are not there, the first of them x, 7"):
        split_by_list(make_records(4), {"0": "val", "x": "val", "7": "test"})


def three_splits() -> list[ImageRecord]:
    """Return 12 images: train, val and test by turns."""
    return [replace(one, split=("train", "val", "test")[place % 3]) for place, one in enumerate(make_records(12))]


def test_one_split_is_replaced_and_the_others_stay_where_they_are():
    records = three_splits()
    train = [record for record in records if record.split == "train"]
    divided = split_by_fraction(train, {"train": 0.5, "more": 0.5}, 0)
    result = replace_split(records, "train", divided)
    assert [record.name for record in result] == [record.name for record in records]
    assert [record for record in result if record.split in ("train", "more")] == divided
    assert [record for record in result if record.split in ("val", "test")] == [
        record for record in records if record.split != "train"
    ]
    assert replace_split(records, "train", train) == records
    assert count_splits(replace_split(records, "val", [replace(one, split="x") for one in train])) == {
        "train": 4,
        "x": 4,
        "test": 4,
    }


def test_a_split_that_has_other_images_takes_no_more():
    records = three_splits()
    train = [record for record in records if record.split == "train"]
    divided = split_by_fraction(train, {"train": 0.5, "test": 0.5}, 0)
    with pytest.raises(UserError, match=r"the split 'test' has 4 images already, .*--of test"):
        replace_split(records, "train", divided)
    without = [replace(one, split="" if one.split == "test" else one.split) for one in records]
    unnamed = [replace(one, split="") for one in train]  # no split is none that could be mixed up
    assert count_splits(replace_split(without, "train", unnamed)) == {"": 8, "val": 4}


@pytest.mark.parametrize(
    ("amount", "count"),
    [("9", 9), ("85", 85), ("1", 1), ("10%", 9), ("100%", 85), ("0.1%", 1), ("50 %", 43), ("12.5%", 11), (" 3 ", 3)],
)
def test_so_many_stay_annotated(amount, count):
    records = make_records(85, split="train") + [replace(one, split="val") for one in make_records(5)]
    result = mark_annotated(records, amount, "train", 0)
    assert sum(record.annotated for record in result if record.split == "train") == count
    assert all(record.annotated for record in result if record.split == "val")
    assert [replace(record, annotated=True) for record in result] == records  # masks and all else stay


def test_half_is_rounded_up():
    assert sum(record.annotated for record in mark_annotated(make_records(85, split="train"), "10%")) == 9  # of 8.5
    assert sum(record.annotated for record in mark_annotated(make_records(15, split="train"), "30%")) == 5  # of 4.5


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 99))
def test_a_larger_amount_contains_a_smaller_one_whatever_the_order(small, large, seed):
    small, large = sorted((small, large))
    records = make_records(20, split="train")
    few = {record.name for record in mark_annotated(records, str(small), seed=seed) if record.annotated}
    many = {record.name for record in mark_annotated(records[::-1], str(large), seed=seed) if record.annotated}
    assert few <= many
    assert len(few) == small


def test_only_annotated_images_are_drawn():
    records = [replace(one, annotated=int(one.name) < 5) for one in make_records(20, split="train")]
    for seed in range(20):
        assert all(int(one.name) < 5 for one in mark_annotated(records, "3", seed=seed) if one.annotated)


def test_a_count_may_be_a_number():
    records = make_records(20, split="train")
    assert mark_annotated(records, 3) == mark_annotated(records, "3")
    with pytest.raises(UserError, match="has 20 annotated images"):
        mark_annotated(records, 21)


@pytest.mark.parametrize("amount", ["", "0", "0%", "-3", "9.5", "ten", "10 %%", "nan%"])
def test_amounts_that_cannot_be_read(amount):
    with pytest.raises(UserError, match="it must be a count such as 9, or a share such as 10%"):
        mark_annotated(make_records(20, split="train"), amount)


@pytest.mark.parametrize("amount", ["21", "101%"])
def test_more_than_there_are(amount):
    with pytest.raises(UserError, match=f"annotated is {amount}: the split 'train' has 20 annotated images"):
        mark_annotated(make_records(20, split="train"), amount)


def test_nothing_to_draw_from():
    with pytest.raises(UserError, match=r"no image of the split 'train' is annotated: the splits are val, \(none\)"):
        mark_annotated(make_records(2, split="val") + make_records(1), "1")


def test_splits_come_in_the_usual_order():
    records = [replace(make_records(1)[0], split=split) for split in ("", "b", "test", "a", "val", "train", "val")]
    assert ordered_splits(records) == ["train", "val", "test", "a", "b", ""]
