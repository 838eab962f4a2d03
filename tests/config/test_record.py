import subprocess
import sys

import pytest

from flexdan.config import UserError
from flexdan.config.record import read_record


def test_events_are_read_and_a_cut_off_last_line_is_left_out(tmp_path):
    path = tmp_path / "record.jsonl"
    path.write_text('{"event": "start"}\n{"event": "epoch", "epoch": 1}\n{"event": "epo')
    assert read_record(path) == [{"event": "start"}, {"event": "epoch", "epoch": 1}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"event": "start"\n{"event": "end"}\n', "line 1 is no JSON"),
        (b"[1, 2]\n", "line 1 is no event"),
        (b'{"epoch": 1}\n', "line 1 is no event"),
        (b"\xff\xfe\x00", "is no record of a run"),
    ],
)
def test_what_is_no_record_is_named(tmp_path, content, message):
    path = tmp_path / "record.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_record(path)


def test_a_missing_record_asks_for_a_run_folder(tmp_path):
    with pytest.raises(UserError, match="a run folder"):
        read_record(tmp_path / "record.jsonl")


def test_reading_needs_no_torch():
    code = "import sys, flexdan.config.record; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
