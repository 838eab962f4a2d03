"""`flexdan data split` as a user meets it."""

from pathlib import Path

import pytest

from flexdan.cli.main import main
from flexdan.data import ImageRecord, read_manifest, write_manifest


@pytest.fixture
def manifest(tmp_path) -> Path:
    """Return a manifest of 20 annotated images in 10 groups, without splits."""
    records = [
        ImageRecord(
            image=tmp_path / f"{index}.png",
            mask=tmp_path / f"{index}_mask.png",
            mask_values="binary",
            annotated=True,
            group=f"g{index // 2}",
            height=4,
            width=4,
            channels=1,
        )
        for index in range(20)
    ]
    write_manifest(tmp_path / "m.csv", records)
    return tmp_path / "m.csv"


def test_a_new_manifest(manifest, tmp_path, capsys):
    before = manifest.read_bytes()
    words = ["data", "split", str(manifest), "--split", "train=0.7", "val=0.3", "--annotated", "25%", "--seed", "3"]
    assert main([*words, "-o", str(tmp_path / "sub" / "new.csv")]) == 0
    assert manifest.read_bytes() == before
    records = read_manifest(tmp_path / "sub" / "new.csv")
    train = [record for record in records if record.split == "train"]
    assert (len(train), sum(record.annotated for record in train)) == (14, 4)  # 3.5, rounded up
    assert len({record.group for record in train}) == 7
    assert records[0].image == tmp_path / "0.png"
    assert "train: 14 images, 4 annotated, 10 unannotated, groups: 7" in capsys.readouterr().out
    assert main([*words, "-o", str(tmp_path / "again.csv")]) == 0
    assert read_manifest(tmp_path / "again.csv") == records


def test_in_place_only_with_force(manifest, capsys):
    words = ["data", "split", str(manifest), "--split", "train=1"]
    assert main(words) == 2
    assert "exists already: name another place, or say --force" in capsys.readouterr().err
    assert main([*words, "--force"]) == 0
    assert {record.split for record in read_manifest(manifest)} == {"train"}
    assert main(["data", "split", str(manifest), "--annotated", "3", "--force"]) == 0
    assert sum(record.annotated for record in read_manifest(manifest)) == 3
    assert main(["data", "split", str(manifest), "--annotated", "4", "--force"]) == 2
    assert "the split 'train' has 3 annotated images" in capsys.readouterr().err


def test_splits_from_a_file(manifest, tmp_path, capsys):
    (tmp_path / "splits.csv").write_text("name,split\n0,train\n1,val\n")
    assert main(["data", "split", str(manifest), "--split-file", str(tmp_path / "splits.csv"), "--force"]) == 0
    assert [record.split for record in read_manifest(manifest)] == ["train", "val"] + [""] * 18
    error = capsys.readouterr().err
    assert "groups in more than one split: 1 of 1 (g0)" in error
    assert "images without a split are not trained on" in error


def test_nothing_to_do_and_no_manifest(manifest, tmp_path, capsys):
    assert main(["data", "split", str(manifest)]) == 2
    assert "nothing to do: say --split" in capsys.readouterr().err
    assert main(["data", "split", str(tmp_path / "gone.csv"), "--annotated", "3"]) == 2
    assert "gone.csv: No such file or directory" in capsys.readouterr().err


def split(manifest, *words) -> int:
    return main(["data", "split", str(manifest), *words])


def test_only_one_split_is_divided(manifest, tmp_path, capsys):
    """The way to choose on validation and report on test, where a set comes with train, val (test A) and test (B)."""
    assert split(manifest, "--split", "train=0.6", "val=0.3", "test=0.1", "--force") == 0
    start = read_manifest(manifest)
    new = tmp_path / "new.csv"
    assert split(manifest, "--of", "test", "--split", "test_b=1", "-o", str(new)) == 0
    assert split(new, "--of", "val", "--split", "test=1", "--force") == 0
    assert split(new, "--of", "train", "--split", "train=0.8", "val=0.2", "--seed", "1", "--force") == 0
    result = read_manifest(new)
    names = {"test": "test_b", "val": "test"}
    for before, after in zip(start, result, strict=True):
        assert after.image == before.image
        assert after.split == names.get(before.split, after.split)
        assert (after.split in ("train", "val")) == (before.split == "train")
    groups = [{record.group for record in result if record.split == name} for name in ("train", "val")]
    assert not groups[0] & groups[1]
    assert (len(groups[0]), len(groups[1])) == (5, 1)
    assert "groups in more than one split" not in capsys.readouterr().err


def test_dividing_one_split_mixes_it_with_no_other(manifest, capsys):
    assert split(manifest, "--split", "train=0.8", "val=0.2", "--force") == 0
    before = manifest.read_bytes()
    assert split(manifest, "--of", "train", "--split", "train=0.5", "val=0.5", "--force") == 2
    assert "the split 'val' has 4 images already, which are not of 'train'" in capsys.readouterr().err
    assert split(manifest, "--of", "tests", "--split", "train=1", "--force") == 2
    assert "no images in the split 'tests': its splits are train, val" in capsys.readouterr().err
    assert split(manifest, "--of", "train", "--annotated", "3", "--force") == 2
    assert "--of is 'train': say with --split or --split-file how to divide" in capsys.readouterr().err
    assert manifest.read_bytes() == before


def test_one_split_by_a_list_and_with_annotated_images(manifest, tmp_path):
    assert split(manifest, "--split", "train=0.8", "val=0.2", "--force") == 0
    start = read_manifest(manifest)
    train = [record for record in start if record.split == "train"]
    lines = [f"{one.name},fold{int(one.name) % 2}" for one in start]  # of the other splits too: they keep theirs
    (tmp_path / "splits.csv").write_text("\n".join(["name,split", *lines]))
    words = ["--of", "train", "--split-file", str(tmp_path / "splits.csv"), "-o", str(tmp_path / "folds.csv")]
    assert split(manifest, *words) == 0
    for before, after in zip(start, read_manifest(tmp_path / "folds.csv"), strict=True):
        assert after.split == (f"fold{int(before.name) % 2}" if before in train else "val")
    words = ["--of", "train", "--split", "train=0.5", "rest=0.5", "--annotated", "2", "--force"]
    assert split(manifest, *words) == 0
    result = read_manifest(manifest)
    assert sum(record.annotated for record in result if record.split == "train") == 2
    assert all(record.annotated for record in result if record.split != "train")


def test_images_without_a_split_can_be_divided_too(manifest, tmp_path):
    (tmp_path / "splits.csv").write_text("name,split\n0,train\n1,train\n")
    assert split(manifest, "--split-file", str(tmp_path / "splits.csv"), "--force") == 0
    assert split(manifest, "--of", "", "--split", "val=0.5", "test=0.5", "--force") == 0
    splits = [record.split for record in read_manifest(manifest)]
    assert splits[:2] == ["train"] * 2
    assert sorted((splits.count("val"), splits.count("test"))) == [8, 10]  # nine groups of two
