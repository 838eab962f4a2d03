"""Measuring images, checking masks, groups, duplicates."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flexdan.config import UserError
from flexdan.data import ImageRecord, file_sha256, write_image
from flexdan.data.importing import check_masks, find_repeated, measure, read_table, set_groups


def make_record(folder: Path, name: str, values=None, **changes) -> ImageRecord:
    """Write an image of 4 x 5 pixels and its mask, and return their record."""
    write_image(folder / f"{name}.png", np.full((4, 5, 3), len(name), np.uint8))
    mask = None
    if values is not None:
        mask = folder / f"{name}_mask.png"
        pixels = np.zeros((4, 5), np.uint8)
        pixels.flat[: len(values)] = values
        write_image(mask, pixels)
    record = ImageRecord(image=folder / f"{name}.png", mask=mask, annotated=mask is not None, height=4, width=5)
    return replace(record, **changes)


def test_images_are_measured(tmp_path):
    records, broken = measure([make_record(tmp_path, "a", height=0, width=0)])
    assert broken == []
    assert (records[0].height, records[0].width, records[0].channels) == (4, 5, 3)
    assert records[0].sha256 == file_sha256(tmp_path / "a.png")


def test_broken_images_are_named_or_left_out(tmp_path):
    good = make_record(tmp_path, "good")
    cut = make_record(tmp_path, "cut")
    write_image(cut.image, np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    cut.image.write_bytes(cut.image.read_bytes()[:3000])  # the header is whole
    missing = replace(good, image=tmp_path / "missing.png")
    with pytest.raises(UserError, match=r"cut.png cannot be read as an image.*or say --skip-broken"):
        measure([good, cut])
    records, broken = measure([cut, good, missing], skip_broken=True)
    assert [record.name for record in records] == ["good"]
    assert ["cut.png" in broken[0], "missing.png" in broken[1], len(broken)] == [True, True, 2]


@pytest.mark.parametrize(
    ("values", "meaning"), [([0, 255], "binary"), ([0, 1], "binary"), ([0, 0], "binary"), ([0, 128], "binary")]
)
def test_two_values_are_binary(tmp_path, values, meaning):
    records, _ = check_masks([make_record(tmp_path, "a", values), make_record(tmp_path, "bare")])
    assert [record.mask_values for record in records] == [meaning, ""]


@pytest.mark.parametrize(("first", "second", "found"), [([1, 2], [3], "0, 1, 2, 3"), ([1], [2], "0, 1, 2")])
def test_more_values_must_be_explained(tmp_path, first, second, found):
    records = [make_record(tmp_path, "a", first), make_record(tmp_path, "b", second)]
    with pytest.raises(UserError, match=f"hold the values {found}, and what they mean is not known: say --mask-values"):
        check_masks(records)
    assert {record.mask_values for record in check_masks(records, "instances")[0]} == {"instances"}


def test_a_mask_without_background_and_one_from_jpeg_must_be_explained(tmp_path):
    with pytest.raises(UserError, match="hold the values 1, 2, and"):
        check_masks([make_record(tmp_path, "a", [1, 2] * 10)])
    mask = tmp_path / "j.jpg"
    write_image(mask, np.kron(np.eye(4, 5), np.ones((9, 9))).astype(np.uint8) * 255)
    with pytest.raises(UserError, match=r"… .* in all.*JPEG blurs masks: use PNG"):
        check_masks([make_record(tmp_path, "b", mask=mask, annotated=True, height=36, width=45)])


def test_a_mapping_must_have_every_value(tmp_path):
    records = [make_record(tmp_path, "a", [0, 128, 255])]
    checked, _ = check_masks(records, "0=0 128=1 255=ignore")
    assert checked[0].mask_values == "0=0 128=1 255=ignore"
    with pytest.raises(UserError, match=r"a_mask.png holds the value \[255\]"):
        check_masks(records, "0=0 128=1")
    with pytest.raises(UserError, match="mask values 'x' are not understood"):
        check_masks(records, "x")


def test_masks_of_another_size_and_broken_masks(tmp_path):
    small = make_record(tmp_path, "small", [1], width=6)
    with pytest.raises(UserError, match=r"small_mask.png has 5 x 4 pixels, but its image small.png has 6 x 4"):
        check_masks([small])
    good = make_record(tmp_path, "good", [1])
    broken = make_record(tmp_path, "broken", [1])
    assert broken.mask is not None
    broken.mask.write_text("no image")
    records, messages = check_masks([small, broken, good], skip_broken=True)
    assert [record.name for record in records] == ["good"]
    assert len(messages) == 2


def test_masks_of_unannotated_images_are_never_opened(tmp_path):
    records = [make_record(tmp_path, "a", [1]), make_record(tmp_path, "b", [1], annotated=False)]
    assert records[1].mask is not None
    records[1].mask.write_text("no image")
    checked, broken = check_masks(records)
    assert broken == []
    assert [record.mask_values for record in checked] == ["binary", "binary"]


def test_groups_from_a_table(tmp_path):
    records = [make_record(tmp_path, "a", group="old"), make_record(tmp_path, "bb", group="old")]
    grouped = set_groups(records, {"a.png": "new"})
    assert [record.group for record in grouped] == ["new", "old"]
    with pytest.raises(UserError, match="the list of groups names 1 images that are not there, the first of them zz"):
        set_groups(records, {"zz": "new"})


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [(r"^(p\d+)_", ["p1", "p22"]), (r"p\d+", ["p1", "p22"]), (r"(?P<who>\d+)_", ["1", "22"])],
)
def test_groups_from_names(tmp_path, pattern, groups):
    records = [make_record(tmp_path, "p1_x"), make_record(tmp_path, "p22_y")]
    assert [record.group for record in set_groups(records, pattern=pattern)] == groups


def test_wrong_patterns(tmp_path):
    records = [make_record(tmp_path, "p1_x"), make_record(tmp_path, "y")]
    with pytest.raises(UserError, match="finds no group in 1 of 2 names, the first of them y"):
        set_groups(records, pattern=r"^(p\d+)_")
    with pytest.raises(UserError, match="is no regular expression"):
        set_groups(records, pattern="(p")


@pytest.mark.parametrize(
    "text", ["a,1\nb, 2\n", "name,group\r\na,1\r\nb, 2\r\n", "\ufeffgroup,Name\n1,a\n\n2,b\n", "a,1\na,1\nb,2\n"]
)
def test_tables_are_read_with_and_without_a_header(tmp_path, text):
    (tmp_path / "table.csv").write_text(text, newline="")
    assert read_table(tmp_path / "table.csv", "group") == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: it must have the columns name and group"),
        ("name,split\na,1\n", "lacks the column 'group'"),
        ("a,1\nb\n", "has the row 'b': each needs a name and a group"),
        ("a,1\na,2\n", "names 'a' twice"),
    ],
)
def test_wrong_tables(tmp_path, text, message):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_table(tmp_path / "table.csv", "group")
    with pytest.raises(UserError, match=r"cannot read .*gone.csv"):
        read_table(tmp_path / "gone.csv", "group")


def test_repeated_images_are_found_by_path_and_by_content(tmp_path):
    a = make_record(tmp_path, "a", sha256="1")
    same_path = replace(a, image=tmp_path / "x" / ".." / "a.png", sha256="")
    same_content = make_record(tmp_path, "b", sha256="1")
    other = make_record(tmp_path, "c", sha256="2")
    assert find_repeated([other, same_content, same_path], [a]) == [(same_content, a), (same_path, a)]
    assert find_repeated([a, other, same_content]) == [(same_content, a)]
    assert find_repeated([a, other]) == []
