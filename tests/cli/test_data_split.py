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
