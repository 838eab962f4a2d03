import csv
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
import yaml
from optuna.trial import TrialState
from rich.console import Console

from flexdan.cli.main import main
from flexdan.cli.sweep_watch import status_view
from flexdan.cli.sweeps import duration, open_sweep
from flexdan.config.record import read_record
from flexdan.engine import train
from flexdan.engine.checkpoint import load_checkpoint
from flexdan.experiments import Choice, Sweep
from flexdan.sweep import Definition, create_sweep, open_storage, summarize_sweep
from flexdan.sweep.attempts import number_of, outcome

SETTINGS = """
method: grid
metric: {name: iou_score, goal: maximize}
parameters:
  PARAMETERS
  sn_num_fcn_blocks: {value: 3}
  sn_first_layer_out_channels: {value: 4}
  data.image_size: {value: [32, 40]}
  training.device: {value: cpu}
  training.precision: {value: fp32}
  training.tensorboard: {value: false}
  batch_size: {value: 2}
"""
SIX = "lr: {values: [0.01, 0.001, 0.0001]}\n  seed: {values: [1, 2]}"


@pytest.fixture
def sweep_file(tmp_path):
    """Return a function that writes a sweep file over some parameters."""

    def write(parameters, epochs=1, updates=1):
        path = tmp_path / "sweep.yaml"
        fixed = f"\n  num_epochs: {{value: {epochs}}}\n  training.updates_per_epoch: {{value: {updates}}}\n"
        path.write_text(SETTINGS.replace("PARAMETERS", parameters + fixed))
        return path

    return write


@pytest.fixture
def made(sweep_file, discs, tmp_path, capsys):
    """A sweep of six trials, all complete."""
    folder = tmp_path / "six"
    run = ["sweep", "run", str(sweep_file(SIX)), "--data.manifest", str(discs), "-o", str(folder), "--no-plan"]
    assert main([*run, "--workers", "0"]) == 0
    assert main(["sweep", "worker", str(folder), "--worker", "here"]) == 0
    capsys.readouterr()
    return folder


def test_run_with_two_workers_and_again(sweep_file, discs, tmp_path, capsys):
    folder = tmp_path / "sweep"
    command = ["sweep", "run", str(sweep_file(SIX)), "--data.manifest", str(discs), "-o", str(folder), "--workers", "2"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "6 of 6 fit" in out
    assert len(re.findall(r"\] trial \d \(lr .*\): complete, iou_score 0\.", out)) == 6
    assert "6 of 6 trials finished (6 complete)" in out
    workers = {one.worker for one in summarize_sweep(open_sweep(folder, "", "")).trials}
    assert len(workers) == 2
    assert sorted(path.name for path in folder.iterdir()) == ["journal.log", "sweep.json", "trials", "workers"]
    assert main(command) == 0
    assert "trial 0" not in capsys.readouterr().out
    assert {one.attempts for one in summarize_sweep(open_sweep(folder, "", "")).trials} == {1}


def test_status_best_export_and_report(made, tmp_path, capsys):
    assert main(["sweep", "status", str(made)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "six: 6 of 6 trials finished (6 complete)"
    assert len(lines) == 3 + 1 + 6
    ranking = summarize_sweep(open_sweep(made, "", "")).ranking

    assert main(["sweep", "best", str(made), "--top", "2"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table[1:]] == [str(one.number) for one in ranking[:2]]

    assert main(["sweep", "best", str(made), "--config"]) == 0
    config = tmp_path / "best.yaml"
    config.write_text(capsys.readouterr().out)
    settings = yaml.safe_load(config.read_text())
    assert settings["optimizer"]["lr"] == ranking[0].params["lr"]
    assert settings["seed"] == ranking[0].params["seed"]
    assert main(["train", "--config", str(config), "-o", str(tmp_path / "again")]) == 0
    again = [event for event in read_record(tmp_path / "again" / "record.jsonl") if event["event"] == "epoch"]
    assert again[-1]["iou_score"] == ranking[0].value
    capsys.readouterr()

    assert main(["sweep", "export", str(made)]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(row["iou_score"]) for row in rows] == [
        one.value for one in sorted(ranking, key=lambda one: one.number)
    ]
    assert {(row["param.lr"], row["param.seed"]) for row in rows} == {
        (rate, seed) for rate in ("0.01", "0.001", "0.0001") for seed in "12"
    }
    assert {row["state"] for row in rows} == {"complete"}
    target = tmp_path / "trials.csv"
    assert main(["sweep", "export", str(made), "-o", str(target)]) == 0
    assert main(["sweep", "export", str(made), "-o", str(target)]) == 2
    assert len(target.read_text().splitlines()) == 7

    capsys.readouterr()
    assert main(["sweep", "report", str(made)]) == 0
    out = capsys.readouterr().out
    assert f"Best: trial {ranking[0].number}" in out
    assert "lr 0.01 against" in out or "lr 0.001 against" in out or "lr 0.0001 against" in out
    assert "n = 2" in out
    assert "<svg" in (made / "report.html").read_text()
    assert main(["sweep", "report", str(made)]) == 2


def test_stop_and_resume(sweep_file, discs, tmp_path, capsys):
    folder = tmp_path / "sweep"
    run = ["sweep", "run", str(sweep_file(SIX)), "--data.manifest", str(discs), "-o", str(folder), "--no-plan"]
    assert main([*run, "--workers", "0"]) == 0
    assert main(["sweep", "stop", str(folder)]) == 0
    assert main(["sweep", "worker", str(folder)]) == 0
    assert "ends after 0 trials, since the sweep is stopped" in capsys.readouterr().out
    assert main(["sweep", "status", str(folder)]) == 0
    assert "stopped after the current epochs: flexdan sweep resume" in capsys.readouterr().out
    assert main(["sweep", "resume", str(folder), "--workers", "0"]) == 0
    assert main(["sweep", "worker", str(folder)]) == 0
    assert "ends after 6 trials" in capsys.readouterr().out


def test_infeasible_and_failed_trials(sweep_file, discs, tmp_path, capsys):
    """Of four trials one cannot fit, one has a batch size that contradicts the data, and two are complete."""
    text = sweep_file("sn_first_layer_out_channels: {values: [2, 64]}\n  seed: {values: [1, 2]}").read_text()
    path = tmp_path / "memory.yaml"
    path.write_text(text.replace("  sn_first_layer_out_channels: {value: 4}\n", ""))
    folder = tmp_path / "sweep"
    command = ["sweep", "run", str(path), "--data.manifest", str(discs), "-o", str(folder), "--memory", "620MiB"]
    assert main([*command, "--workers", "0", "--data.image_size", "[64, 64]"]) == 0
    out = capsys.readouterr().out
    assert "2 of 4 fit; 2 are recorded as infeasible and left out" in out
    assert main(["sweep", "worker", str(folder)]) == 0
    trials = summarize_sweep(open_sweep(folder, "", "")).trials
    assert [one.state for one in trials] == ["complete", "complete", "infeasible", "infeasible"]
    assert all(one.predicted_peak > 620 * 2**20 for one in trials[2:])
    assert main(["sweep", "status", str(folder)]) == 0
    assert "does not fit: it needs 0." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "say either a sweep file or --experiment N"),
        (["FILE", "--experiment", "3"], "say either a sweep file or --experiment N"),
        (["FILE"], "there are no data: say --data.manifest FILE"),
        (["FILE", "--data.manifest", "gone.csv"], "gone.csv, which is not there"),
        (["FILE", "--data.manifest", "DISCS", "--lr", "0.5"], "optimizer.lr is fixed to 0.5 and is also swept as lr"),
        (["FILE", "--data.manifest", "DISCS", "--grace", "0"], "--grace is 0, but must be 1 second at least"),
        (["FILE", "--data.manifest", "DISCS", "--trials", "0"], "run_cap is 0: a sweep needs at least one trial"),
        (["FILE", "--data.manifest", "DISCS", "--memory", "much"], "much"),
        (["FILE", "--data.manifest", "DISCS", "--device", "tpu"], "tpu"),
        (["FILE", "--data.manifest", "DISCS", "--storage", "redis://x"], "redis://x, but must be postgresql"),
        (
            ["FILE", "--data.manifest", "DISCS", "--workers", "-1", "--no-plan"],
            "--workers is -1, but must be 0",
        ),
        (["FILE", "--data.manifest", "DISCS", "--batch_size", "0"], "training.batch_size is 0"),
        (["--experiment", "2", "--data.manifest", "DISCS"], "experiment '2' is no sweep"),
    ],
)
def test_mistakes_of_run(sweep_file, discs, tmp_path, monkeypatch, capsys, options, message):
    file = sweep_file(SIX)
    monkeypatch.chdir(tmp_path)
    options = [str(file) if one == "FILE" else str(discs) if one == "DISCS" else one for one in options]
    assert main(["sweep", "run", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_mistakes_of_the_other_commands(made, sweep_file, discs, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    (other / "thing").write_text("x")
    file = str(sweep_file(SIX, epochs=2))
    for command, message in (
        (["status", str(other)], "is no folder of a sweep"),
        (["best", str(made), "--top", "0"], "--top is 0"),
        (["best", str(made), "--trial", "1"], "--trial is 1, which goes with --config"),
        (["best", str(made), "--config", "--trial", "9"], "the sweep has the trials 0 to 5"),
        (["worker", str(made), "--share", "0"], "--share is 0"),
        (["worker", str(made), "--data", str(tmp_path / "no.csv")], "no.csv, are not there"),
        (["best", str(made), "--config", "--top", "2"], "--config prints the settings of one trial"),
        (["worker", str(other / "thing")], "is a file, and no folder of a sweep"),
        (["worker", str(made), "--data", file], "is not the manifest that the sweep began with"),
        (["run", file, "--data.manifest", str(discs), "-o", str(other)], "holds other things than a sweep"),
        (["run", file, "--data.manifest", str(discs), "-o", str(made)], "another sweep 'six' already"),
        (["report", str(made), "-o", str(other)], "which is a folder"),
        (["status", str(made), "--name", "seven"], "no sweep 'seven'"),
    ):
        assert main(["sweep", *command]) == 2, command
        assert message in capsys.readouterr().err


def test_options_stand_above_the_file_and_the_file_above_config(sweep_file, discs, tmp_path):
    base = tmp_path / "base.yaml"
    base.write_text("training: {num_epochs: 50, batch_size: 50}\noptimizer: {weight_decay: 0.25}")
    folder = tmp_path / "sweep"
    command = ["sweep", "run", str(sweep_file(SIX, epochs=7)), "--data.manifest", str(discs), "--config", str(base)]
    command += ["--sn.num_fcn_blocks", "4", "-o", str(folder), "--workers", "0", "--no-plan"]
    assert main(command) == 0
    study = open_sweep(folder, "", "")
    config = study.config(study.params(study.found()[0]))
    assert (config.training.num_epochs, config.training.batch_size) == (7, 2)  # of the sweep file
    assert (config.sn.num_fcn_blocks, config.optimizer.weight_decay) == (4, 0.25)


def test_a_config_stands_below_what_is_swept(made, sweep_file, discs, tmp_path, capsys):
    """The settings of a winner are the base of the next sweep."""
    assert main(["sweep", "best", str(made), "--config"]) == 0
    base = tmp_path / "best.yaml"
    base.write_text(capsys.readouterr().out)
    folder = tmp_path / "next"
    command = ["sweep", "run", str(sweep_file("lr: {values: [0.5, 0.25]}")), "--config", str(base), "-o", str(folder)]
    assert main([*command, "--workers", "0", "--no-plan"]) == 0
    study = open_sweep(folder, "", "")
    assert [study.params(one) for one in study.found()] == [{"lr": 0.5}, {"lr": 0.25}]


def test_a_sweep_that_was_refused_can_be_mended(sweep_file, discs, tmp_path, capsys):
    folder = tmp_path / "sweep"
    command = ["--data.manifest", str(discs), "-o", str(folder), "--workers", "0", "--no-plan"]
    assert main(["sweep", "run", str(sweep_file("num_workers: {values: [-1, 0]}")), *command]) == 2
    assert not folder.exists()
    storage = open_storage("", folder)  # of one that was refused after it had been made
    create_sweep(storage, "sweep", Definition(sweep=Sweep(parameters={"lr": Choice((1, 2))}, metric="val_loss")))
    assert main(["sweep", "run", str(sweep_file("num_workers: {values: [0, 1]}")), *command]) == 0
    assert len(open_sweep(folder, "", "").found()) == 2


def test_data_that_moved(made, discs, tmp_path, capsys):
    """The sweep is told where they are now; other data are refused before a worker starts."""
    study = open_sweep(made, "", "")
    study.use_manifest(str(tmp_path / "gone.csv"))
    study.keep_manifest()
    assert main(["sweep", "resume", str(made)]) == 2
    assert "gone.csv, are not there: say where they are here with --data" in capsys.readouterr().err
    assert main(["sweep", "resume", str(made), "--data", str(discs), "--workers", "0"]) == 0
    assert open_sweep(made, "", "").sweep.settings["data.manifest"] == str(discs)


def test_broken_files_of_a_sweep(made, capsys):
    journal, address = made / "journal.log", made / "sweep.json"
    whole = journal.read_text().splitlines()
    journal.write_text("\n".join([*whole[:2], "garbage", *whole[3:]]) + "\n")
    assert main(["sweep", "status", str(made)]) == 2
    assert "journal.log is damaged" in capsys.readouterr().err
    journal.unlink()
    assert main(["sweep", "status", str(made)]) == 2
    assert "has no journal.log any more" in capsys.readouterr().err
    assert not journal.exists()
    for text in ("[1]", "{"):
        address.write_text(text)
        assert main(["sweep", "status", str(made)]) == 2
        assert "sweep.json is broken" in capsys.readouterr().err


def test_a_finished_sweep_is_not_stopped(made, capsys):
    assert main(["sweep", "stop", str(made)]) == 0
    assert "is finished: there is nothing to stop" in capsys.readouterr().out
    assert not open_sweep(made, "", "").stopping


def test_the_live_view_fits_a_narrow_terminal(made):
    summary = summarize_sweep(open_sweep(made, "", ""))
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    console.print(status_view(summary, 90.0))
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "six: 6 of 6 trials finished (6 complete); about 90 s left"
    assert lines[1].strip() == "━" * 50
    assert lines[2].startswith("best so far: trial")
    assert len(lines) <= 4 + 6 + 1
    assert max(map(len, lines)) <= 80


def test_times_are_short():
    assert [duration(seconds) for seconds in (None, 9.4, 200, 7500)] == ["-", "9 s", "3 min", "2 h 05 min"]


# Workers that are killed


@pytest.fixture
def start_worker():
    """Return a function that starts a worker process; those that still run at the end of the test are killed."""
    processes = []

    def start(folder, name):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "flexdan", "sweep", "worker", str(folder), "--worker", name]
        with (folder / f"{name}.txt").open("wb") as log:
            processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def wait_until(condition, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it does not come about in time")


def amid(study, name, but=()):
    """Wait until a worker is between the first and the last epoch of a trial, another than those, and return which."""

    def find():
        for one in study.found():
            running = one.state is TrialState.RUNNING
            begun = (
                running
                and one.user_attrs.get("worker", {}).get("name") == name
                and 1 <= len(one.intermediate_values) <= 3
            )
            if begun and number_of(one) not in but:
                return [number_of(one)]
        return None

    return wait_until(find)[0]


def check_files(study, folder, interrupted):
    """Each trial was trained by one worker at a time: its record has each epoch once."""
    for one in summarize_sweep(study).trials:
        events = read_record(folder / one.folder / "record.jsonl")
        assert [event["epoch"] for event in events if event["event"] == "epoch"] == [1, 2, 3, 4, 5]
        if one.number in interrupted:
            assert one.attempts == 2
        kinds = Counter(event["event"] for event in events)
        assert kinds == {"start": 1, "epoch": 5, "end": 1, **({"resume": 1} if one.number in interrupted else {})}


def check_each_cell_once(study, folder, count, interrupted):
    """Each trial is complete once, and those that were interrupted have gone on from their checkpoint to equal ends."""
    trials = summarize_sweep(study).trials
    assert [one.state for one in trials] == ["complete"] * count
    complete = Counter(number_of(one) for one in [one for one in study.found() if one.state is TrialState.COMPLETE])
    assert complete == Counter(range(count))
    assert len({str(sorted(one.params.items())) for one in trials}) == count
    check_files(study, folder, interrupted)
    again = interrupted[0]
    history = train(study.config(trials[again].params), folder / "uninterrupted", quiet=True)
    assert max(row["iou_score"] for row in history) == trials[again].value


def finish(processes):
    for process in processes:
        assert process.wait(timeout=180) == 0


def test_a_killed_worker_of_two_loses_nothing(sweep_file, discs, tmp_path, start_worker):
    folder = tmp_path / "sweep"
    file = sweep_file("lr: {values: [0.01, 0.001]}\n  seed: {values: [1, 2, 3, 4]}", epochs=5, updates=12)
    command = ["sweep", "run", str(file), "--data.manifest", str(discs), "-o", str(folder), "--no-plan"]
    assert main([*command, "--workers", "0"]) == 0
    study = open_sweep(folder, "", "")
    processes = [start_worker(folder, name) for name in ("one", "two")]
    lost = amid(study, "one")
    processes[0].kill()
    assert processes[0].wait() == -signal.SIGKILL
    finish(processes[1:])
    check_each_cell_once(study, folder, 8, [lost])


def test_a_worker_that_is_silent_too_long_loses_its_trial_and_leaves_it(sweep_file, discs, tmp_path, start_worker):
    folder = tmp_path / "sweep"
    file = sweep_file("seed: {values: [1, 2, 3, 4]}", epochs=5, updates=12)
    command = ["sweep", "run", str(file), "--data.manifest", str(discs), "-o", str(folder), "--no-plan"]
    assert main([*command, "--workers", "0", "--grace", "3"]) == 0
    study = open_sweep(folder, "", "")
    processes = [start_worker(folder, name) for name in ("one", "two")]
    lost = amid(study, "one")
    processes[0].send_signal(signal.SIGSTOP)
    try:
        assert processes[1].wait(timeout=180) == 0
        check_each_cell_once(study, folder, 4, [lost])
        values = [one.value for one in summarize_sweep(study).trials]
    finally:
        processes[0].send_signal(signal.SIGCONT)
    assert processes[0].wait(timeout=60) == 0
    assert f"trial {lost}: another worker has taken over" in (folder / "one.txt").read_text()
    assert [one.value for one in summarize_sweep(study).trials] == values
    check_files(study, folder, [lost])
    assert load_checkpoint(folder / f"trials/{lost:04d}" / "last.ckpt")["epoch"] == 5


def test_sigterm_gives_the_trial_back(sweep_file, discs, tmp_path, start_worker):
    folder = tmp_path / "sweep"
    file = sweep_file("seed: {values: [1, 2]}", epochs=5, updates=12)
    command = ["sweep", "run", str(file), "--data.manifest", str(discs), "-o", str(folder), "--no-plan"]
    assert main([*command, "--workers", "0"]) == 0
    study = open_sweep(folder, "", "")
    process = start_worker(folder, "one")
    found = amid(study, "one")
    process.terminate()
    assert process.wait(timeout=60) == 0
    assert "it ends after this epoch" in (folder / "one.txt").read_text()
    assert [one.state for one in summarize_sweep(study).trials] == ["waiting"] * 2
    assert [outcome(one) for one in study.found()].count("given back") == 1
    assert main(["sweep", "worker", str(folder)]) == 0
    check_each_cell_once(study, folder, 2, [found])


def test_four_workers_on_postgresql_two_of_them_killed(postgresql, sweep_file, discs, tmp_path, start_worker):
    """A grid of 24 through a real server: each cell exactly once."""
    folder = tmp_path / "sweep"
    file = sweep_file("lr: {values: [0.01, 0.001]}\n  seed: {values: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]}", 5, 6)
    command = ["sweep", "run", str(file), "--data.manifest", str(discs), "-o", str(folder), "--no-plan"]
    assert main([*command, "--workers", "0", "--storage", postgresql, "--name", "grid"]) == 0
    study = open_sweep(folder, "", "")
    assert not (folder / "journal.log").exists()
    names = ["one", "two", "three", "four"]
    processes = [start_worker(folder, name) for name in names]
    lost = []
    for process, name in zip(processes[:2], names[:2], strict=True):
        lost.append(amid(study, name, but=lost))
        process.kill()
        assert process.wait() == -signal.SIGKILL
    finish(processes[2:])
    check_each_cell_once(study, folder, 24, lost)
    assert sum(one.attempts for one in summarize_sweep(study).trials) == 26
