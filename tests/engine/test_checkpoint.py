"""Checkpoints: what cannot be read is refused in a sentence."""

import pytest
import torch

from flexdan.config import RunConfig, UserError
from flexdan.engine.checkpoint import load_checkpoint, load_run, save_checkpoint


def write(path, **changes):
    network = torch.nn.Conv2d(3, 2, 1)
    save_checkpoint(path, {"sn": network}, config=RunConfig(), native_size=(8, 9), epoch=3, history=[{"epoch": 3}])
    content = torch.load(path, weights_only=True) | changes
    torch.save({name: value for name, value in content.items() if value is not None}, path)


def test_round_trip(tmp_path):
    write(tmp_path / "a.ckpt")
    content = load_checkpoint(tmp_path / "a.ckpt")
    assert (content["epoch"], content["native_size"], content["history"]) == (3, [8, 9], [{"epoch": 3}])
    assert content["sn"]["weight"].shape == (2, 3, 1, 1)
    assert [file.name for file in tmp_path.iterdir()] == ["a.ckpt"]


@pytest.mark.parametrize("content", [b"", b"text\n", b"image,mask\na,b\n", b"PK\x03\x04broken", b"\x80\x02}q\x00."])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.ckpt is (broken|no checkpoint)") as error:
        load_checkpoint(tmp_path / "a.ckpt")
    assert "weights_only" not in str(error.value)


def test_a_cut_off_checkpoint_is_refused(tmp_path):
    write(tmp_path / "a.ckpt")
    (tmp_path / "a.ckpt").write_bytes((tmp_path / "a.ckpt").read_bytes()[:-100])
    with pytest.raises(UserError, match="is broken"):
        load_checkpoint(tmp_path / "a.ckpt")


@pytest.mark.parametrize("changes", [{"format": 99}, {"sn": None}, {"history": None}])
def test_another_format_or_a_missing_part_is_refused(tmp_path, changes):
    write(tmp_path / "a.ckpt", **changes)
    with pytest.raises(UserError, match="is no checkpoint that FlexDAN"):
        load_checkpoint(tmp_path / "a.ckpt")


def test_folders_without_a_run(tmp_path):
    with pytest.raises(UserError, match="is no run folder"):
        load_run(tmp_path)
    (tmp_path / "config.yaml").touch()
    with pytest.raises(UserError, match="has no finished epoch yet"):
        load_run(tmp_path)
    with pytest.raises(UserError, match="is no run folder"):
        load_run(tmp_path / "none")
