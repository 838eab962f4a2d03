import subprocess
import sys

import numpy as np
import pytest

from flexdan.cli.main import main
from flexdan.data import file_sha256, image_size, read_image, read_manifest, read_mask


def synthesize(folder, *options: str) -> int:
    return main(["data", "synthesize", "-o", str(folder), "--size", "48", "64", *options])


def test_writes_images_masks_and_a_manifest(tmp_path, capsys):
    assert synthesize(tmp_path / "set", "--count", "12") == 0
    records = read_manifest(tmp_path / "set" / "manifest.csv")
    assert len(records) == 12
    assert {record.split for record in records} == {"train", "val", "test"}
    assert "12 images" in capsys.readouterr().out
    for record in records:
        assert record.annotated
        assert record.mask_values == "instances"
        assert record.grade in ("benign", "malignant")
        assert image_size(record.image) == (48, 64, 3) == (record.height, record.width, record.channels)
        assert record.sha256 == file_sha256(record.image)
        assert read_image(record.image).shape == (48, 64, 3)
        assert read_mask(record.mask).shape == (48, 64)
    assert any(read_mask(record.mask).max() > 1 for record in records)


def test_no_patient_stands_in_two_splits(tmp_path):
    assert synthesize(tmp_path / "set", "--count", "11", "--group-size", "2") == 0
    splits = {}
    for record in read_manifest(tmp_path / "set" / "manifest.csv"):
        splits.setdefault(record.group, set()).add(record.split)
    assert len(splits) == 6
    assert all(len(found) == 1 for found in splits.values())


@pytest.mark.parametrize(("amount", "annotated"), [("2", 2), ("50%", 4)])
def test_annotated_concerns_train_only(tmp_path, amount, annotated):
    options = ("--count", "12", "--group-size", "1", "--split", "train=0.67", "test=0.33", "--annotated", amount)
    assert synthesize(tmp_path / "set", *options) == 0
    records = read_manifest(tmp_path / "set" / "manifest.csv")
    assert sum(record.annotated for record in records if record.split == "train") == annotated
    assert all(record.annotated for record in records if record.split == "test")
    assert all(record.mask.is_file() for record in records)


def test_same_seed_same_files_whatever_the_count(tmp_path):
    for folder, count in (("few", "3"), ("many", "5")):
        assert synthesize(tmp_path / folder, "--count", count, "--seed", "7", "--split", "train=1") == 0
    assert synthesize(tmp_path / "other", "--count", "3", "--seed", "8", "--split", "train=1") == 0
    few, many, other = (read_manifest(tmp_path / name / "manifest.csv") for name in ("few", "many", "other"))
    for one, another, foreign in zip(few, many, other, strict=False):
        np.testing.assert_array_equal(read_image(one.image), read_image(another.image))
        np.testing.assert_array_equal(read_mask(one.mask), read_mask(another.mask))
        assert one.group == another.group
        assert (read_image(one.image) != read_image(foreign.image)).any()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--count", "0"), "--count is 0"),
        (("--count", "2"), "cannot fill 3 splits"),
        (("--group-size", "0"), "--group-size is 0"),
        (("--seed", "-1"), "--seed is -1"),
        (("--size", "4", "64"), "--size is 4 64"),
        (("--split", "train"), "'train'"),
        (("--split", "train=0.5", "val=0.2"), "add up to 0.7"),
        (("--annotated", "many"), "'many'"),
        (("--annotated", "500"), "500"),
        (("--split", "a=0.5", "b=0.5", "--annotated", "1"), "'train'"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(tmp_path, capsys, options, complaint):
    assert synthesize(tmp_path / "set", *options) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert "Traceback" not in error
    assert not (tmp_path / "set").exists()


def test_existing_folders_are_kept_unless_forced(tmp_path, capsys):
    options = ("--count", "2", "--split", "train=1")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("mine")
    assert synthesize(tmp_path / "set", *options) == 2
    assert "--force" in capsys.readouterr().err
    assert synthesize(tmp_path / "set", *options, "--force") == 0
    assert (tmp_path / "set" / "mine.txt").read_text() == "mine"
    assert len(read_manifest(tmp_path / "set" / "manifest.csv")) == 2


def test_a_file_is_no_folder(tmp_path, capsys):
    (tmp_path / "set").write_text("mine")
    assert synthesize(tmp_path / "set", "--count", "2", "--split", "train=1", "--force") == 2
    assert "name a folder" in capsys.readouterr().err
    assert (tmp_path / "set").read_text() == "mine"


def test_help_imports_no_heavy_library():
    code = (
        "import sys\n"
        "from flexdan.cli.main import main\n"
        "try:\n    main(['data', 'synthesize', '--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print(sorted({'numpy', 'scipy', 'torch', 'skimage'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")
    assert "examples:" in done.stdout
