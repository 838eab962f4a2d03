"""Recognising folders: which image has which mask, split, group and grade."""

from pathlib import Path

import numpy as np
import pytest

from flexdan.config import UserError
from flexdan.data import write_image
from flexdan.data.layouts import find_images, list_images, pair_masks, separate_masks

GRADES = "name,patient ID, grade (GlaS), grade (Sirinukunwattana et al. 2015)\r\n" + "".join(
    f"{name},{patient}, {grade}, fine\r\n"
    for name, patient, grade in (("train_1", 1, "benign"), ("train_2", 2, "malignant"), ("testA_1", 1, "benign"))
)


def write(folder: Path, *names: str) -> list[Path]:
    """Write small images."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        write_image(folder / name, np.zeros((4, 5), np.uint8))
    return [folder / name for name in names]


def masks_of(found) -> dict[str, str | None]:
    """Return mask name by image name."""
    return {record.image.name: record.mask and record.mask.name for record in found.records}


def test_glas_as_released(tmp_path):
    names = ("train_1", "train_2", "train_10", "testA_1", "testB_1")
    write(tmp_path, *(f"{name}{suffix}.bmp" for name in names for suffix in ("", "_anno")))
    (tmp_path / "Grade.csv").write_bytes(GRADES.encode())
    found = find_images(tmp_path)
    assert "GlaS as released" in found.layout
    assert masks_of(found) == {f"{name}.bmp": f"{name}_anno.bmp" for name in names}
    assert [(record.name, record.split, record.group, record.grade) for record in found.records] == [
        ("testA_1", "val", "1", "benign"),
        ("testB_1", "test", "", ""),
        ("train_1", "train", "1", "benign"),
        ("train_2", "train", "2", "malignant"),
        ("train_10", "train", "", ""),
    ]
    assert found.mask_values == "instances"
    assert found.notes == (
        "splits by name, as GlaS has them: train -> train (3), testA -> val (1), testB -> test (1)",
        f"patient (group) and grade of 3 of 5 images from {tmp_path / 'Grade.csv'}",
    )


@pytest.mark.parametrize("suffix", ["_anno", ""])
def test_the_folders_of_the_log(tmp_path, suffix):
    for folder, names in (("training", ("train_1", "train_2")), ("a", ("testA_1",)), ("b", ("testB_1",))):
        write(tmp_path / folder, *(f"{name}.bmp" for name in names))
        write(tmp_path / f"{folder}_anno", *(f"{name}{suffix}.bmp" for name in names))
    (tmp_path / "Grade.csv").write_bytes(GRADES.encode())
    found = find_images(tmp_path)
    assert "six folders" in found.layout
    assert {record.name: record.split for record in found.records} == {
        "train_1": "train",
        "train_2": "train",
        "testA_1": "val",
        "testB_1": "test",
    }
    assert set(masks_of(found).values()) == {
        f"{name}{suffix}.bmp" for name in ("train_1", "train_2", "testA_1", "testB_1")
    }
    assert found.records[1].group == "2"
    assert found.mask_values == "instances"


def test_the_folders_of_the_log_may_lack_some(tmp_path):
    write(tmp_path / "training", "train_1.bmp", "train_2.bmp")
    write(tmp_path / "training_anno", "train_1_anno.bmp")
    found = find_images(tmp_path)
    assert masks_of(found) == {"train_1.bmp": "train_1_anno.bmp", "train_2.bmp": None}
    assert [record.annotated for record in found.records] == [True, False]
    assert found.notes == ("splits by folder: training -> train (2)",)


@pytest.mark.parametrize(("folder", "values"), [("instances", "instances"), ("masks", "")])
def test_images_beside_masks(tmp_path, folder, values):
    write(tmp_path / "images", "train_1.png", "testA_1.png")
    write(tmp_path / folder, "train_1.png", "testA_1.png")
    (tmp_path / "Grade.csv").write_bytes(GRADES.encode())
    found = find_images(tmp_path)
    assert found.mask_values == values
    assert [(record.name, record.split, record.group) for record in found.records] == [
        ("testA_1", "val", "1"),
        ("train_1", "train", "1"),
    ]
    assert masks_of(found) == {"train_1.png": "train_1.png", "testA_1.png": "testA_1.png"}
    by_hand = find_images(tmp_path / "images", tmp_path / folder)
    assert by_hand.records == found.records


@pytest.mark.parametrize("suffix", ["", "_anno", "_mask", "_masks", "_label", "_labels", "_seg", "_gt"])
def test_two_folders_with_any_suffix(tmp_path, suffix):
    write(tmp_path / "pictures", "a.jpg", "b.png", "c.tif")
    write(tmp_path / "truth", f"a{suffix}.png", f"c{suffix}.png", f"z{suffix}.png")
    found = find_images(tmp_path / "pictures", tmp_path / "truth")
    assert masks_of(found) == {"a.jpg": f"a{suffix}.png", "b.png": None, "c.tif": f"c{suffix}.png"}
    assert found.orphan_masks == [tmp_path / "truth" / f"z{suffix}.png"]
    assert [record.split for record in found.records] == ["", "", ""]


def test_one_folder_of_images_and_masks(tmp_path):
    write(tmp_path, "a.png", "a_mask.png", "b.png", "gone_mask.png", "odd_gt.png")
    found = find_images(tmp_path)
    assert masks_of(found) == {"a.png": "a_mask.png", "b.png": None, "odd_gt.png": None}
    assert found.orphan_masks == [tmp_path / "gone_mask.png"]
    assert find_images(tmp_path, tmp_path).records == found.records


def test_a_folder_without_masks_is_unannotated(tmp_path):
    write(tmp_path, "a.png", "b_mask.png", ".hidden.png")
    (tmp_path / "notes.txt").write_text("no image")
    found = find_images(tmp_path)
    assert masks_of(found) == {"a.png": None, "b_mask.png": None}
    assert not found.has_masks
    assert not any(record.annotated for record in found.records)


def test_a_layout_can_be_forced(tmp_path):
    write(tmp_path, "train_1.bmp", "train_1_anno.bmp", "extra.bmp")
    assert [record.name for record in find_images(tmp_path).records] == ["train_1"]
    assert [record.name for record in find_images(tmp_path, layout="folders").records] == ["extra", "train_1"]
    with pytest.raises(UserError, match=r"no images in training/, a/ or b/"):
        find_images(tmp_path, layout="log")
    with pytest.raises(UserError, match="leave --masks out"):
        find_images(tmp_path, tmp_path, layout="glas")
    write(tmp_path / "other", "a.bmp")
    with pytest.raises(UserError, match="is not the flat folder of the GlaS release"):
        find_images(tmp_path / "other", layout="glas")


def test_wrong_folders_are_named(tmp_path):
    (file,) = write(tmp_path / "deep", "a.png")
    with pytest.raises(UserError, match="is not there: name a folder of images"):
        find_images(tmp_path / "gone")
    with pytest.raises(UserError, match=r"a.png is a file: name a folder of images"):
        find_images(file)
    with pytest.raises(UserError, match="has no images, but deep in it has: name these folders"):
        find_images(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"has no images, the formats are .png, .bmp"):
        find_images(tmp_path / "empty")
    with pytest.raises(UserError, match="empty has no masks in it"):
        find_images(tmp_path / "deep", tmp_path / "empty")
    write(tmp_path / "masks", "b.png")
    with pytest.raises(UserError, match=r"no mask in .*masks belongs to an image: a.png needs a mask named a"):
        find_images(tmp_path / "deep", tmp_path / "masks")


def test_ambiguous_names_are_refused(tmp_path):
    images = write(tmp_path / "images", "a.png", "a.bmp")
    with pytest.raises(UserError, match=r"several images of the name 'a' \(a.png, a.bmp\)"):
        pair_masks(images, [])
    masks = write(tmp_path / "masks", "a.png", "a_mask.png")
    with pytest.raises(UserError, match=r"a.png has two masks, a.png and a_mask.png"):
        pair_masks(images[:1], masks)


def test_a_grade_file_that_is_not_one_is_refused(tmp_path):
    write(tmp_path, "a.png")
    (tmp_path / "Grade.csv").write_text("name,patient\na,1\n")
    with pytest.raises(UserError, match=r"Grade.csv must have the columns name, patient ID, grade"):
        find_images(tmp_path)


def test_files_come_in_the_order_in_which_people_count(tmp_path):
    write(tmp_path, "img10.png", "img2.png", "img1.png", "10.png", "9.png", "a.png")
    assert [path.name for path in list_images(tmp_path)] == [
        "9.png", "10.png", "a.png", "img1.png", "img2.png", "img10.png",
    ]  # fmt: skip


def test_an_image_whose_name_ends_like_a_mask_stays_an_image():
    files = [Path(name) for name in ("x_label.png", "x_label_mask.png", "y.png", "y_mask.png")]
    images, masks = separate_masks(files)
    assert [path.name for path in images] == ["x_label.png", "y.png"]
    assert [path.name for path in masks] == ["x_label_mask.png", "y_mask.png"]
