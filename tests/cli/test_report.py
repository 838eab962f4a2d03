"""`flexdan report` on what the other commands have really written."""

import os
import subprocess
import sys

import pytest

from flexdan.cli.main import main


@pytest.fixture(scope="module")
def trained(discs, tmp_path_factory):
    """A run of two epochs, evaluated, and its predictions."""
    folder = tmp_path_factory.mktemp("trained")
    run, predictions = str(folder / "run"), str(folder / "predictions")
    small = "--sn.first_layer_out_channels 4 --sn.num_fcn_blocks 3 --num_epochs 2 --training.tensorboard false".split()
    assert main(["train", "--data.manifest", str(discs), *small, "-o", run]) == 0
    assert main(["evaluate", run]) == 0
    assert main(["predict", run, str(discs), "--split", "val", "-o", predictions]) == 0
    return folder


def test_a_page_about_a_trained_run(trained, capsys):
    assert main(["report", str(trained / "run"), "--predictions", str(trained / "predictions")]) == 0
    printed = capsys.readouterr()
    assert "run: Best epoch" in printed.out
    assert "(finished)" in printed.out
    assert f"page: {trained / 'run' / 'report.html'}" in printed.out
    page = (trained / "run" / "report.html").read_text()
    assert page.count("data:image/jpeg") == 4
    assert "val: split val, 4 images" in page
    assert main(["report", str(trained / "run")]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["report", str(trained / "run"), "--force", "--images", "0"]) == 0
    assert "data:image" not in (trained / "run" / "report.html").read_text()


def test_the_page_can_go_elsewhere(trained, tmp_path):
    assert main(["report", str(trained / "run" / "best.ckpt"), "-o", str(tmp_path / "new" / "page.html")]) == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nowhere"], "is nowhere a run folder"),
        (["RUN", "--images", "-1"], "--images is -1"),
        (["RUN", "-o", "."], "is a folder"),
        (["RUN", "-o", "RUN/record.jsonl/page.html"], "cannot write"),
        (["RUN", "-o", "page.html", "--predictions", "nowhere"], "neither outlines"),
    ],
)
def test_mistakes_are_told(trained, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    assert main(["report", *(option.replace("RUN", str(trained / "run")) for option in options)]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_page_is_written_without_torch(trained, tmp_path):
    code = (
        "import sys\nfrom flexdan.cli.main import main\n"
        f"main(['report', {str(trained / 'run')!r}, '-o', {str(tmp_path / 'page.html')!r}])\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, env=os.environ).returncode == 0
