"""The manifest's round trip, and what is wrong with a manifest, line by line."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexdan.config import UserError
from flexdan.data import (
    ImageRecord,
    file_sha256,
    num_classes,
    read_manifest,
    select_split,
    write_image,
    write_manifest,
)

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=8)


def make_record(folder: Path, name: str = "cell", **changes) -> ImageRecord:
    """Return a full record."""
    record = ImageRecord(
        image=folder / "images" / f"{name}.png",
        mask=folder / "masks" / f"{name}.png",
        mask_values="0=0 128=1 255=ignore",
        split="train",
        annotated=True,
        group="patient 4",
        grade="benign",
        height=5,
        width=7,
        channels=3,
        sha256="ab" * 32,
    )
    return replace(record, **changes)


def test_records_survive_a_round_trip(tmp_path):
    records = [
        make_record(tmp_path),
        make_record(tmp_path, "b, with a comma", annotated=False, split="val"),
        make_record(tmp_path, "c", annotated=False, mask=None, mask_values="", group="", grade="", split=""),
        make_record(Path("/elsewhere"), "d"),
    ]
    write_manifest(tmp_path / "manifest.csv", records)
    assert read_manifest(tmp_path / "manifest.csv") == records
    write_manifest(tmp_path / "again.csv", read_manifest(tmp_path / "manifest.csv"))
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "manifest.csv").read_bytes()


def test_files_below_the_manifest_are_relative_so_that_the_folder_can_move(tmp_path):
    (tmp_path / "one").mkdir()
    write_manifest(tmp_path / "one" / "manifest.csv", [make_record(tmp_path / "one"), make_record(tmp_path / "other")])
    text = (tmp_path / "one" / "manifest.csv").read_text()
    assert "\nimages/cell.png,masks/cell.png," in text.replace("\r", "")
    assert f"\n{tmp_path}/other/images/cell.png," in text.replace("\r", "")
    (tmp_path / "one").rename(tmp_path / "two")
    assert read_manifest(tmp_path / "two" / "manifest.csv")[0].image == tmp_path / "two" / "images" / "cell.png"


def test_a_relative_path_means_the_same_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_manifest("sub/manifest.csv", [make_record(Path("data")), make_record(Path("sub/../sub"))])
    first, second = read_manifest("sub/manifest.csv")
    assert first.image == tmp_path / "data" / "images" / "cell.png"
    assert second.image == Path("sub/images/cell.png")


def test_a_link_keeps_its_name(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "0a1b2c").write_bytes(b"")
    (tmp_path / "cell.png").symlink_to(tmp_path / "store" / "0a1b2c")
    record = replace(make_record(tmp_path), image=tmp_path / "cell.png")
    write_manifest(tmp_path / "manifest.csv", [record])
    assert read_manifest(tmp_path / "manifest.csv")[0].name == "cell"


@given(group=TEXT, grade=TEXT, split=TEXT)
def test_any_words_survive_a_round_trip(tmp_path_factory, group, grade, split):
    folder = tmp_path_factory.mktemp("words")
    records = [make_record(folder, group=group, grade=grade, split=split)]
    write_manifest(folder / "manifest.csv", records)
    assert read_manifest(folder / "manifest.csv") == records


def test_a_short_manifest_is_enough_and_sizes_come_from_the_files(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((5, 7, 3), np.uint8))
    write_image(tmp_path / "b.png", np.zeros((4, 6), np.uint8))
    (tmp_path / "short.csv").write_text("\ufeffimage,split,mask,annotated\na.png,train,a_mask.png,YES\n\nb.png,val,,\n")
    first, second = read_manifest(tmp_path / "short.csv")
    assert (first.height, first.width, first.channels) == (5, 7, 3)
    assert (first.annotated, first.mask, first.mask_values) == (True, tmp_path / "a_mask.png", "binary")
    assert (second.height, second.width, second.channels, second.annotated, second.mask) == (4, 6, 1, False, None)


@pytest.mark.parametrize("sizes", ["5,7,3", "0,7,3", "5,0,3", "5,7,0", "5,,3", ",,"])
def test_a_size_of_zero_is_read_from_the_file(tmp_path, sizes):
    write_image(tmp_path / "a.png", np.zeros((5, 7, 3), np.uint8))
    (tmp_path / "sizes.csv").write_text(f"image,split,height,width,channels\na.png,train,{sizes}\n")
    (record,) = read_manifest(tmp_path / "sizes.csv")
    assert (record.height, record.width, record.channels) == (5, 7, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,split\na,b\n", "lacks the column 'image': it has name, split"),
        ("", "lacks the column 'image': it has none"),
        ("image,split\n,train\n", "line 2: image is '', but must be the path of an image"),
        ("image,split,annotated\na.png,train,maybe\n", "line 2: annotated is 'maybe', but must be yes or no"),
        ("image,split,annotated\n\n\na.png,train,yes\n", "line 4: mask is '', but must be the path of a mask"),
        ("image,split,height\na.png,train,-5\n", "line 2: height is '-5', but must be a whole number"),
        ("image,split,width\na.png,train,5²\n", "line 2: width is '5²', but must be a whole number"),
        ("image,split\na,b.png,train\n", "line 2: has more cells than columns"),
        ("image,split,mask,annotated,mask_values\na.png,train,a.png,yes,bin\n", "line 2: mask values 'bin' are not"),
        ("image,split\ngone.png,train\n", "gone.png does not exist"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path, text, message):
    (tmp_path / "wrong.csv").write_text(text)
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        read_manifest(tmp_path / "wrong.csv")


def test_missing_and_unreadable_manifests(tmp_path):
    with pytest.raises(UserError, match=r"gone.csv: No such file or directory; make one with `flexdan data import`"):
        read_manifest(tmp_path / "gone.csv")
    with pytest.raises(UserError, match="no manifest is named"):
        read_manifest("")
    (tmp_path / "image.csv").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(UserError, match=r"image.csv"):
        read_manifest(tmp_path / "image.csv")


def test_a_failed_write_leaves_the_old_manifest(tmp_path):
    write_manifest(tmp_path / "manifest.csv", [make_record(tmp_path)])
    before = (tmp_path / "manifest.csv").read_bytes()

    def records():
        yield make_record(tmp_path, "other")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        write_manifest(tmp_path / "manifest.csv", records())
    assert (tmp_path / "manifest.csv").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.csv"]


def test_the_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert file_sha256(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()


def test_a_split_without_images_lists_the_splits(tmp_path):
    records = [make_record(tmp_path), make_record(tmp_path, "b", split="val"), make_record(tmp_path, "c", split="")]
    assert select_split(records, "val") == records[1:2]
    with pytest.raises(UserError, match="no images in the split 'test': its splits are train, val"):
        select_split(records, "test")
    with pytest.raises(UserError, match=r"its splits are \(none\)"):
        select_split(records[2:], "train")


def test_classes_are_those_of_the_annotated_images(tmp_path):
    three = make_record(tmp_path, mask_values="0=0 1=1 2=2")
    two = make_record(tmp_path, "b", mask_values="instances")
    assert num_classes([three]) == 3
    assert num_classes([two, make_record(tmp_path, "c", mask_values="binary")]) == 2
    assert num_classes([three, replace(two, annotated=False)]) == 3
    with pytest.raises(UserError, match="'0=0 1=1 2=2' and 'instances'"):
        num_classes([three, two])
    with pytest.raises(UserError, match="none of the images is annotated"):
        num_classes([replace(two, annotated=False)])
