"""`flexdan data import` as a user meets it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from flexdan.cli.main import main
from flexdan.data import image_size, read_image, read_manifest, read_mask, write_image


def write_set(folder: Path, count: int = 10, values=(0, 1), masks: bool = True, seed: int = 0) -> Path:
    """Write images p0_0.png, p0_1.png, p1_2.png, … in images/ and masks in masks/."""
    rng = np.random.default_rng(seed)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        write_image(folder / "images" / f"p{index // 2}_{index}.png", rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        if masks:
            write_image(folder / "masks" / f"p{index // 2}_{index}.png", np.resize(values, (6, 8)).astype(np.uint8))
    return folder


def import_set(folder: Path, *options: str) -> int:
    """Import a set to manifest.csv in it."""
    return main(["data", "import", str(folder), "-o", str(folder / "manifest.csv"), *options])


def test_images_masks_splits_and_groups(tmp_path, capsys):
    options = ["--split", "train=0.6", "val=0.2", "test=0.2", "--group-regex", "^(p[0-9]+)_"]
    assert import_set(write_set(tmp_path), *options) == 0
    records = read_manifest(tmp_path / "manifest.csv")
    assert [record.name for record in records] == [f"p{index // 2}_{index}" for index in range(10)]
    assert {record.mask_values for record in records} == {"binary"}
    assert all(record.annotated and (record.height, record.width, record.channels) == (6, 8, 3) for record in records)
    where = {record.group: record.split for record in records}
    assert len(where) == 5
    assert all(where[record.group] == record.split for record in records)
    out = capsys.readouterr().out
    assert "mask values: binary" in out
    assert "train: 6 images, 6 annotated, 0 unannotated, groups: 3" in out
    assert "val: 2 images, 2 annotated, 0 unannotated, groups: 1" in out


def test_masks_that_lost_their_annotation_are_never_opened(tmp_path):
    write_set(tmp_path, values=(0, 1, 2))
    options = ["--split", "train=0.8", "val=0.2", "--annotated", "3", "--seed", "5", "--mask-values", "0=0 1=1 2=2"]
    assert import_set(tmp_path, *options) == 0
    first = read_manifest(tmp_path / "manifest.csv")
    assert sum(record.annotated for record in first if record.split == "train") == 3
    for record in first:
        assert record.mask is not None
        if not record.annotated:
            record.mask.write_text("no image")
    assert import_set(tmp_path, *options, "--force") == 0
    assert read_manifest(tmp_path / "manifest.csv") == first
    manifest = str(tmp_path / "manifest.csv")
    assert main(["data", "split", manifest, "--annotated", "2", "--force"]) == 0
    assert main(["data", "inspect", manifest, "--strict", "-o", str(tmp_path / "sheet.png")]) == 0
    kept = [record for record in read_manifest(manifest) if record.annotated and record.split == "train"]
    assert len(kept) == 2
    assert {record.name for record in kept} <= {record.name for record in first if record.annotated}


def test_unannotated_images_are_added_to_a_manifest(tmp_path, capsys):
    write_set(tmp_path, 4)
    assert import_set(tmp_path, "--split", "train=1") == 0
    more = write_set(tmp_path / "more", 3, masks=False, seed=1) / "images"
    options = ["data", "import", str(more), "-o", str(tmp_path / "manifest.csv"), "--extend", "--split", "train=1"]
    assert main(options) == 0
    records = read_manifest(tmp_path / "manifest.csv")
    assert [record.annotated for record in records] == [True] * 4 + [False] * 3
    assert records[-1].image == tmp_path / "more" / "images" / "p1_2.png"
    before = (tmp_path / "manifest.csv").read_bytes()
    assert main(options) == 2
    assert "there already, by path or by content: 3 (" in capsys.readouterr().err
    write_image(more / "new.png", np.zeros((6, 8), np.uint8))
    assert (tmp_path / "manifest.csv").read_bytes() == before
    assert main([*options, "--skip-duplicates"]) == 0
    assert [record.name for record in read_manifest(tmp_path / "manifest.csv")][7:] == ["new"]
    assert "duplicates, left out: 3" in capsys.readouterr().err


def test_several_folders_at_once(tmp_path):
    for at, name in enumerate(("one", "two")):
        write_set(tmp_path / name, 2, seed=at)
    sources = [str(tmp_path / name / "images") for name in ("one", "two")]
    masks = [word for name in ("one", "two") for word in ("--masks", str(tmp_path / name / "masks"))]
    assert main(["data", "import", *sources, *masks, "-o", str(tmp_path / "m.csv"), "--split", "train=1"]) == 0
    records = read_manifest(tmp_path / "m.csv")
    assert [record.mask for record in records] == [
        tmp_path / name / "masks" / f"p0_{index}.png" for name in ("one", "two") for index in (0, 1)
    ]


def test_splits_and_groups_from_files(tmp_path):
    write_set(tmp_path, 3)
    (tmp_path / "splits.csv").write_text("name,split\np0_0,train\np0_1.png,val\n")
    (tmp_path / "groups.csv").write_text("p0_0,x\np1_2,y\n")
    options = ["--split-file", str(tmp_path / "splits.csv"), "--group-file", str(tmp_path / "groups.csv")]
    assert import_set(tmp_path, *options) == 0
    records = read_manifest(tmp_path / "manifest.csv")
    assert [(record.split, record.group) for record in records] == [("train", "x"), ("val", ""), ("", "y")]


def test_without_a_split_it_says_what_to_do(tmp_path, capsys):
    assert import_set(write_set(tmp_path, 2, masks=False) / "images") == 0
    captured = capsys.readouterr()
    assert "layout of" in captured.out
    assert "no masks" in captured.out
    assert "(no split): 2 images, 0 annotated, 2 unannotated" in captured.out
    assert "images without a split are not trained on: say --split" in captured.err


def test_what_does_not_match_is_counted_and_listed(tmp_path, capsys):
    write_set(tmp_path, 12)
    for index in range(11):
        (tmp_path / "masks" / f"p{index // 2}_{index}.png").rename(tmp_path / "masks" / f"z{index}.png")
    assert import_set(tmp_path, "--split", "train=1") == 0
    error = capsys.readouterr().err
    assert "note: masks without an image: 11\n" in error
    assert "masks/z0.png\n" in error
    assert "… and 1 more" in error
    assert "note: images without a mask, now unannotated: 11\n" in error
    assert sum(record.annotated for record in read_manifest(tmp_path / "manifest.csv")) == 1


def test_broken_images_and_masks(tmp_path, capsys):
    write_set(tmp_path, 4)
    (tmp_path / "images" / "p0_0.png").write_bytes(b"no image")
    write_image(tmp_path / "masks" / "p0_1.png", np.zeros((5, 8), np.uint8))
    assert import_set(tmp_path, "--split", "train=1") == 2
    assert "p0_0.png cannot be read as an image" in capsys.readouterr().err
    assert not (tmp_path / "manifest.csv").exists()
    assert import_set(tmp_path, "--split", "train=1", "--skip-broken") == 0
    error = capsys.readouterr().err
    assert "broken, left out: 2" in error
    assert "p0_1.png has 8 x 5 pixels, but its image p0_1.png has 8 x 6" in error
    assert [record.name for record in read_manifest(tmp_path / "manifest.csv")] == ["p1_2", "p1_3"]


def test_glas_as_released_and_as_in_the_log_give_the_same(tmp_path, capsys):
    flat, log = tmp_path / "flat", tmp_path / "log"
    folders = {"train": "training", "testA": "a", "testB": "b"}
    rng = np.random.default_rng(0)
    for name in ("train_1", "train_2", "testA_1", "testB_1"):
        image, mask = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), rng.integers(0, 4, (6, 8), dtype=np.uint8)
        folder = folders[name.split("_")[0]]
        places = {flat: image, log / folder: image}, {flat: mask, log / f"{folder}_anno": mask}
        for suffix, files in zip(("", "_anno"), places, strict=True):
            for place, pixels in files.items():
                place.mkdir(parents=True, exist_ok=True)
                write_image(place / f"{name}{suffix}.bmp", pixels)
    for folder in (flat, log):
        lines = ["name,patient ID, grade (GlaS), grade (x)", *(f"{name}_1,3, benign, healthy" for name in folders)]
        (folder / "Grade.csv").write_bytes("\r\n".join(lines).encode())
        assert import_set(folder) == 0
    captured = capsys.readouterr()
    assert "splits by name, as GlaS has them: train -> train (2), testA -> val (1), testB -> test (1)" in captured.out
    assert "groups in more than one split: 1 of 1 (3)" in captured.err

    def content(folder: Path) -> set[tuple]:
        records = read_manifest(folder / "manifest.csv")
        return {(one.name, one.split, one.group, one.grade, one.mask_values, one.sha256) for one in records}

    assert content(flat) == content(log)
    assert {row[:5] for row in content(flat)} == {
        ("train_1", "train", "3", "benign", "instances"),
        ("train_2", "train", "", "", "instances"),
        ("testA_1", "val", "3", "benign", "instances"),
        ("testB_1", "test", "3", "benign", "instances"),
    }


def test_given_splits_take_the_place_of_those_of_glas(tmp_path, capsys):
    for name in ("train_1", "testA_1"):
        write_image(tmp_path / f"{name}.bmp", np.full((6, 8), name == "train_1", np.uint8))
        write_image(tmp_path / f"{name}_anno.bmp", np.zeros((6, 8), np.uint8))
    assert import_set(tmp_path, "--split", "train=1") == 0
    assert "these splits give way to --split" in capsys.readouterr().out
    assert [record.split for record in read_manifest(tmp_path / "manifest.csv")] == ["train", "train"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split", "train=2"], "--split has 'train=2'"),
        (["--split", "train=1", "--split-file", "x.csv"], "--split and --split-file are both there"),
        (["--group-regex", "x", "--group-file", "x.csv"], "--group-file and --group-regex are both there"),
        (["--mask-values", "0=0", "5=2"], "mask values '0=0 5=2' are not understood"),
        (["--masks", "a", "--masks", "b"], "1 folders of images, but --masks 2 times"),
        (["--split", "train=1", "--annotated", "11"], "the split 'train' has 10 annotated images"),
        (["--annotated", "1"], "divide the images first"),
        (["--layout", "log"], "no images in training/, a/ or b/"),
        (["--group-file", "gone.csv"], "cannot read gone.csv"),
        (["--extend"], "cannot read the manifest"),
    ],
)
def test_mistakes_end_in_code_2_and_leave_no_file(tmp_path, capsys, options, message):
    assert import_set(write_set(tmp_path), *options) == 2
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("flexdan data import: error: ")
    assert message in error
    assert not (tmp_path / "manifest.csv").exists()


def test_values_without_a_meaning_and_existing_files(tmp_path, capsys):
    write_set(tmp_path, 2, values=(0, 1, 2))
    assert import_set(tmp_path, "--split", "train=1") == 2
    assert "the masks hold the values 0, 1, 2" in capsys.readouterr().err
    assert import_set(tmp_path, "--split", "train=1", "--mask-values", "0=0", "1=1", "2=ignore") == 0
    assert read_manifest(tmp_path / "manifest.csv")[0].mask_values == "0=0 1=1 2=ignore"
    assert import_set(tmp_path, "--split", "train=1", "--mask-values", "instances") == 2
    assert "exists already" in capsys.readouterr().err
    assert import_set(tmp_path, "--split", "train=1", "--mask-values", "instances", "--force") == 0
    assert read_manifest(tmp_path / "manifest.csv")[0].mask_values == "instances"


def test_no_folder_is_named(tmp_path, capsys):
    assert main(["data", "import", "-o", str(tmp_path / "m.csv"), "--split", "train=1"]) == 2
    assert "folders first" in capsys.readouterr().err
    assert main(["data", "import", "-o", str(tmp_path / "m.csv"), "--split", "train=1", str(tmp_path)]) == 2
    assert "folders and files come before --split" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["import", "split", "inspect"])
def test_help_answers_at_once_and_loads_nothing_heavy(command):
    code = (
        "import sys; from flexdan.cli.main import main\n"
        f"try: main(['data', '{command}', '--help'])\n"
        "except SystemExit as done: assert not done.code\n"
        "assert not {'torch', 'numpy', 'skimage', 'scipy', 'rich'} & set(sys.modules), 'heavy'"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout
    assert f"flexdan data {command}" in done.stdout
    assert time.perf_counter() - start < 5  # 0.2 s on an idle machine


def test_the_real_glas(tmp_path):
    if not os.environ.get("GLAS_DIR"):
        pytest.skip("GLAS_DIR is not set: it names a folder of GlaS images")
    manifest = tmp_path / "glas.csv"
    assert main(["data", "import", os.environ["GLAS_DIR"], "-o", str(manifest), "--annotated", "9"]) == 0
    records = read_manifest(manifest)
    train = [record for record in records if record.split == "train"]
    assert (len(train), sum(record.annotated for record in train)) == (85, 9)
    assert sum(record.annotated for record in records if record.split == "val") == 60
    assert {record.mask_values for record in records} == {"instances"}
    assert len({record.group for record in train}) == 15
    sample = next(record for record in records if record.name == "testA_1")
    assert (sample.group, sample.grade, sample.height, sample.width, sample.channels) == ("4", "benign", 522, 775, 3)
    assert sample.mask is not None
    assert read_mask(sample.mask).max() == 9
    assert read_image(sample.image).shape == image_size(sample.image) == (522, 775, 3)
