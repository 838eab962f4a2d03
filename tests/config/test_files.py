"""Atomic writing: all or nothing."""

import pytest

from flexdan.config import UserError
from flexdan.config.files import atomic_path, refuse_existing


def test_a_finished_write_replaces_the_file(tmp_path):
    target = tmp_path / "new" / "a.txt"
    for text in ("one", "two"):
        with atomic_path(target) as temporary:
            assert temporary.suffix == ".txt"
            temporary.write_text(text)
        assert target.read_text() == text
    assert [file.name for file in target.parent.iterdir()] == ["a.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write_half():
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_refuse_existing(tmp_path):
    refuse_existing(tmp_path, force=False)  # an empty folder is free
    refuse_existing(tmp_path / "none", force=False)
    (tmp_path / "file").touch()
    for taken in (tmp_path, tmp_path / "file"):
        with pytest.raises(UserError, match="--force"):
            refuse_existing(taken, force=False)
        refuse_existing(taken, force=True)
