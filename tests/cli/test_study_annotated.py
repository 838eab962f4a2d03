import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import yaml

from flexdan import experiments
from flexdan.cli.main import main
from flexdan.cli.study_plan import updates_lines
from flexdan.cli.sweeps import open_sweep
from flexdan.config import with_settings
from flexdan.config.record import read_record
from flexdan.data import read_manifest, write_manifest
from flexdan.experiments import CURVES, annotated, annotated_sweep, curve_base, curve_cells
from flexdan.sweep import summarize_sweep

SMALL = [
    *("num_epochs=1", "data.image_size=[32,40]", "sn_num_fcn_blocks=3", "sn_first_layer_out_channels=4"),
    *("en.num_fcn_blocks=3", "en.first_layer_out_channels=4", "en.head=global_average"),
    *("training.device=cpu", "training.precision=fp32", "training.tensorboard=false", "training.num_workers=0"),
]
RESULTS = ["curve.csv", "curve.svg", "gains.csv", "study.html", "summary.csv", "summary.md"]


@pytest.fixture
def parts(discs, tmp_path):
    """A manifest of 6 annotated and 3 unannotated training images, 2 for validation and 2 to test on."""
    records = read_manifest(discs)
    where = [place for place, one in enumerate(records) if one.split == "val"]
    manifest = tmp_path / "parts.csv"
    write_manifest(
        manifest,
        [replace(one, split="test") if place in where[2:] else one for place, one in enumerate(records)],
    )
    return manifest


@pytest.fixture
def study(parts, tmp_path):
    """Return a function that gives the command for a study of some counts."""

    def command(counts="2,4", *options, seeds=1, small=(), folder=tmp_path / "study"):
        made = ["study", "annotated", "--data", str(parts), "-o", str(folder), "--counts", counts]
        return [*made, "--seeds", str(seeds), "--no-plan", *options, "--set", *SMALL, *small]

    return command


def work(folder):
    assert main(["sweep", "worker", str(folder), "--worker", "here"]) == 0


def rows(file):
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_study_grows_is_evaluated_and_drawn(study, tmp_path, capsys):
    folder = tmp_path / "study"
    assert main(study("2,4", "--workers", "0")) == 0
    out = capsys.readouterr().out
    assert "4 trainings\n" in out
    assert "  supervised: 2, 4 annotated images, seeds 0\n" in out
    assert "1 epochs of 2 updates: 2 updates of the SN in every training" in out  # a pass over 4 in batches of 2
    assert "study waits for workers: flexdan sweep worker" in out
    assert f"figures, when they have done it: flexdan study annotated -o {folder} --no-train" in out
    assert "0 of 4 trainings evaluated on test" in out
    assert "missing: dan with 4 annotated, seed 0: waiting" in out
    work(folder)
    capsys.readouterr()

    assert main(["study", "annotated", "-o", str(folder), "--no-train"]) == 0
    out = capsys.readouterr().out
    assert re.findall(r"\] evaluating trial (\d) on test", out) == ["0", "1", "2", "3"]
    assert "4 of 4 trainings evaluated on test" in out
    assert "dan with 2 annotated: too few to tell, " in out
    assert "missing" not in out
    assert set(RESULTS) <= {path.name for path in folder.iterdir()}

    trials = rows(folder / "curve.csv")
    assert [(one["strategy"], one["annotated"], one["seed"]) for one in trials] == [
        *(("supervised", "2", "0"), ("dan", "2", "0"), ("supervised", "4", "0"), ("dan", "4", "0"))
    ]
    for number, one in enumerate(trials):
        run = folder / f"trials/000{number}"
        figures = json.loads((run / "evaluation/test/metrics.json").read_text())
        assert float(one["objects.f1.image_mean"]) == figures["objects"]["image_mean"]["f1"]
        assert float(one["full_resolution.dice.pooled"]) == figures["full_resolution"]["pooled"]["dice"]
        events = read_record(run / "record.jsonl")
        assert sum(one["sn_updates"] for one in events if one["event"] == "epoch") == 2
        assert len(events[0]["annotated"]) == int(one["annotated"])
    assert read_record(folder / "trials/0000/record.jsonl")[0]["annotated"] == [
        *read_record(folder / "trials/0001/record.jsonl")[0]["annotated"]
    ]
    dice = {(one["strategy"], one["annotated"]): float(one["full_resolution.dice.pooled"]) for one in trials}
    for one in rows(folder / "gains.csv"):
        if (one["metric"], one["over"]) == ("full_resolution.dice", "pooled"):
            expected = dice["dan", one["annotated"]] - dice["supervised", one["annotated"]]
            assert float(one["mean"]) == pytest.approx(expected, abs=1e-12)
            assert (one["pairs"], one["low"]) == ("1", "")

    # More counts and strategies are added; the epoch keeps its updates
    assert main(study("2,6", "--control", "--workers", "0")) == 0
    out = capsys.readouterr().out
    assert "8 trainings, 4 of them are in the study already" in out
    assert "1 epochs of 2 updates: 2 updates of the SN in every training" in out
    assert "evaluating" not in out
    assert "4 of 8 trainings evaluated on test" in out
    work(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("trials/000[0-3]/**/*") if path.is_file()}
    assert main(["study", "annotated", "-o", str(folder), "--metrics", "objects.hd95,full_resolution.iou"]) == 0
    out = capsys.readouterr().out
    assert "nothing is left to train" in out
    assert re.findall(r"evaluating trial (\d)", out) == ["4", "5", "6", "7"]
    assert "8 of 8 trainings evaluated on test: supervised, dan, dan_without_sigma with 2, 4, 6 annotated images" in out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert {one.attempts for one in summarize_sweep(open_sweep(folder, "", "")).trials} == {1}
    settings = yaml.safe_load((folder / "trials/0004/config.yaml").read_text())  # the control with 2 images
    assert (settings["strategy"], settings["adversarial"]["sigma_end"]) == ("dan", 0.0)
    assert settings["adversarial"]["sn_update"] == "joint"
    page = (folder / "study.html").read_text()
    assert "HD95 (objects, mean over images)" in page
    assert "IoU (full resolution, pooled)" in page
    assert main(["study", "annotated", "-o", str(folder), "--no-train", "--tune-postprocessing"]) == 0
    assert len(re.findall(r"evaluating trial (\d)", capsys.readouterr().out)) == 8
    figures = json.loads((folder / "trials/0003/evaluation/test/metrics.json").read_text())
    assert figures["postprocessing"]["tuning"]["split"] == "val"
    assert "figures cannot be compared" not in (folder / "study.html").read_text()

    # Networks are measured as it is asked for, once
    again = ["study", "annotated", "-o", str(folder), "--no-train", "--evaluate=--tta --fill-holes --min-size 3"]
    for expected in (8, 0):
        capsys.readouterr()
        assert main(again) == 0
        assert len(re.findall(r"evaluating trial (\d)", capsys.readouterr().out)) == expected
    figures = json.loads((folder / "trials/0003/evaluation/test/metrics.json").read_text())
    assert figures["tta"]
    assert (figures["postprocessing"]["settings"]["fill_holes"], figures["postprocessing"]["settings"]["min_size"]) == (
        True,
        3,
    )

    # Nothing that is said otherwise is mixed in
    assert main(study("2,4", "--no-plan", small=["lr=0.5"])) == 2
    assert "another sweep 'study' already, with optimizer.lr None, not 0.5" in capsys.readouterr().err
    assert main(["study", "annotated", "-o", str(folder), "--seeds", "2"]) == 2
    assert "--seeds changes a study, and goes with --counts" in capsys.readouterr().err


def test_a_study_begun_before_there_was_a_strategy_grows_without_it(study, monkeypatch, capsys):
    newest = list(CURVES)[-1]
    with monkeypatch.context() as earlier:
        for module in (annotated, experiments):
            earlier.setattr(module, "CURVES", {name: its for name, its in CURVES.items() if name != newest})
        assert main(study("2", "--workers", "0")) == 0
    assert main(study("2,4", "--workers", "0")) == 0
    assert "4 trainings, 2 of them are in the study already" in capsys.readouterr().out
    assert main(study("2", "--strategies", newest, "--workers", "0")) == 2
    assert f"--strategies has '{newest}', but the study in" in capsys.readouterr().err


def test_a_study_that_is_stopped_goes_on(study, tmp_path, capsys):
    folder = tmp_path / "study"
    lengthy = ["num_epochs=12", "training.updates_per_epoch=4"]  # else all are trained before the signal is heard
    command = study("2,4", "--workers", "1", small=lengthy)
    told = tmp_path / "told.txt"
    with told.open("w") as file:
        process = subprocess.Popen([sys.executable, "-u", "-m", "flexdan", *command], stdout=file, stderr=file)
    end = time.monotonic() + 120
    while "] trial 0" not in told.read_text() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)  # as Ctrl-C, which a process in the background does not hear
    assert process.wait(120) == 130
    text = told.read_text()
    assert "stopped: flexdan study annotated --data" in text
    assert f"figures of what is done: flexdan study annotated -o {folder} --no-train" in text
    done = [one.number for one in summarize_sweep(open_sweep(folder, "", "")).trials if one.state == "complete"]
    assert 0 < len(done) < 4
    assert main(["study", "annotated", "-o", str(folder), "--no-train"]) == 0
    assert f"{len(done)} of 4 trainings evaluated on test" in capsys.readouterr().out
    assert "What is missing" in (folder / "study.html").read_text()
    shutil.rmtree(folder / f"trials/{done[0]:04d}")  # as if another machine had it

    assert main(command) == 1
    out = capsys.readouterr().out
    assert f"evaluation of trial {done[0]}: " in out
    assert "3 of 4 trainings evaluated on test" in out
    assert f"dan with {2 * (done[0] // 2 + 1)} annotated, seed 0" in out or "supervised with 2 annotated, seed 0" in out
    trials = summarize_sweep(open_sweep(folder, "", "")).trials
    assert {one.state for one in trials} == {"complete"}


def test_a_dry_run_leaves_nothing_behind(study, tmp_path, capsys):
    command = [one for one in study("2,6", "--control", "--dry-run", seeds=2) if one != "--no-plan"]
    assert main([*command, "--memory", "620MiB", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "12 trainings" in out
    assert "dan_without_sigma: 2, 6 annotated images, seeds 0, 1" in out
    assert "memory of a trial: 0.61 GiB" in out
    assert re.findall(r"^(\w+) +[\d.]+ GiB +(?:fits|tight|does not fit)", out, re.MULTILINE) == [
        *("supervised", "dan", "dan_without_sigma")
    ]
    assert not (tmp_path / "study").exists()


def test_unequal_updates_are_told(study, capsys):
    assert main(study("2", "--dry-run", small=["adversarial.sn_update=separate", "num_epochs=3"])) == 0
    out = capsys.readouterr().out
    assert "3 epochs of 1 updates; updates of the SN: supervised 3, dan 6" in out
    assert "note: these are not equal" in out


def test_settings_of_a_file_stand_below_those_of_the_command(study, parts, tmp_path, capsys):
    file = tmp_path / "winner.yaml"
    file.write_text("strategy: dan\nseed: 4\nnum_epochs: 7\nadversarial: {sn_update: separate}\ndata: {annotated: 3}\n")
    assert main([*study("2", "--config", str(file), "--updates", "5", "--dry-run"), "lr=0.1"]) == 0
    assert "1 epochs of 5 updates: 5 updates of the SN in every training" in capsys.readouterr().out
    bare = ["study", "annotated", "--data", str(parts), "-o", str(tmp_path / "s"), "--counts", "2", "--dry-run"]
    assert main([*bare, "--config", str(file), "--no-plan"]) == 0
    assert "7 epochs of 1 updates: 7 updates of the SN in every training" in capsys.readouterr().out


def test_dan_is_left_out_where_nothing_would_be_unannotated(parts, tmp_path, capsys):
    known = tmp_path / "known.csv"
    write_manifest(known, [one for one in read_manifest(parts) if one.annotated])
    command = ["study", "annotated", "--data", str(known), "-o", str(tmp_path / "s"), "--dry-run", "--no-plan"]
    assert main([*command, "--counts", "2,6"]) == 0
    out = capsys.readouterr().out
    assert "  supervised: 2, 6 annotated images" in out
    assert "  dan: 2 annotated images" in out
    assert "note: dan with 6 annotated images is left out: none would be left unannotated" in out
    assert main([*command, "--counts", "6", "--strategies", "dan"]) == 2
    assert "all 6 images of the split 'train' would be annotated; dan needs others too" in capsys.readouterr().err


@pytest.mark.parametrize(("settings", "told"), [({}, True), ({"training.weight_averaging": "ema"}, False)])
def test_averages_that_some_strategies_keep_are_told(settings, told):
    config = with_settings(curve_base(), {"training.updates_per_epoch": 3, **settings})
    lines = updates_lines(annotated_sweep(config, curve_cells([5], ["supervised", "mean_teacher"], 1), 20))
    assert ("updates of the SN in every training" in lines[0]) is True
    assert any("(supervised none, mean_teacher ema), which may help by itself" in line for line in lines) == told


def test_without_a_test_split_the_validation_is_used_and_that_is_said(discs, tmp_path, capsys):
    command = ["study", "annotated", "--data", str(discs), "-o", str(tmp_path / "s"), "--counts", "2"]
    assert main([*command, "--dry-run", "--no-plan"]) == 0
    assert "note: the split val chose the epoch of the weights too" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--counts", "2,x"], "--counts is '2,x': it must be numbers of annotated images"),
        (["--counts", "7"], "--counts has 7, but the split 'train' of .* has 6 annotated images"),
        (["--counts", "0"], "a count of annotated images is 0"),
        (["--strategies", "teacher"], "there is no strategy 'teacher'"),
        (["--seeds", "0"], "the number of seeds is 0"),
        (["--metrics", "objects.beauty"], "there is no metric 'objects.beauty'"),
        (["--split", "train"], "--split is 'train', which the networks learn from"),
        (
            ["--split", "other"],
            "--split is 'other', which has no annotated image: those that have are test, train, val",
        ),
        (["--set", "seed=3"], "--set has seed=3, which the command sets itself: say --seeds"),
        (["--set", "training.updates_per_epoch=3", "--updates", "4"], "--updates is 4, and training.updates_per_epoch"),
        (["--updates", "0"], "training.updates_per_epoch is 0"),
        (["--data", "gone.csv"], "gone.csv"),
        (["--config", "gone.yaml"], "cannot read the settings file gone.yaml"),
        (["--device", "tpu"], "tpu"),
        (["--no-train"], "--no-train evaluates and draws a study, but there is none in"),
        (["--workers", "-1"], "--workers is -1"),
    ],
)
def test_mistakes(study, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    command = study("2", *options)
    assert main(command) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert "Traceback" not in error


def test_other_folders_are_refused(study, parts, tmp_path, capsys):
    assert main(["study", "annotated", "-o", str(tmp_path / "new")]) == 2
    assert "--counts is missing" in capsys.readouterr().err
    assert main(["study", "annotated", "-o", str(tmp_path / "new"), "--counts", "2"]) == 2
    assert "--data is missing" in capsys.readouterr().err
    other = tmp_path / "other"
    other.mkdir()
    (other / "thing").write_text("x")
    assert main(study("2", folder=other)) == 2
    assert "holds other things than a sweep" in capsys.readouterr().err
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text("method: grid\nparameters: {lr: {values: [0.1, 0.2]}}\n")
    made = ["sweep", "run", str(sweep), "--data.manifest", str(parts), "-o", str(tmp_path / "sweep"), "--workers", "0"]
    assert main([*made, "--no-plan"]) == 0
    assert main(study("2", folder=tmp_path / "sweep")) == 2
    assert "holds a sweep that is no study" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--ttta", "--ttta is no option of a network or of objects"),
        ("--min-size few", "invalid int value: 'few'"),
        ("--split val", "--split is no option"),
        ("--ensemble runs/a", "each network of a study is measured alone"),
    ],
)
def test_options_of_the_evaluation_are_checked_at_once(study, capsys, words, message):
    assert main(study("2", "--dry-run", f"--evaluate={words}")) == 2
    assert message in capsys.readouterr().err


def test_post_processing_is_tuned_or_given(study, capsys):
    assert main(study("2", "--dry-run", "--tune-postprocessing", "--evaluate=--min-size 3")) == 2
    assert "--tune-postprocessing finds these" in capsys.readouterr().err
