import threading
import time
from dataclasses import replace

import pytest
import torch
from tests.sweep.conftest import GRID, made_up, quality, reopen, rows, work

from flexdan.config import UserError
from flexdan.config.errors import RunError
from flexdan.experiments import Choice, Pruner
from flexdan.memory import DEVICES, PlanRow
from flexdan.sweep import guard, summarize_sweep, worker
from flexdan.sweep.attempts import outcome
from flexdan.sweep.guard import MemoryGuard
from flexdan.sweep.heartbeat import LostError
from flexdan.sweep.worker import describe_failure, summarize


def test_every_trial_is_trained_and_recorded(make_study, tmp_path):
    study = make_study()
    said = work(study, tmp_path)
    summary = summarize_sweep(study)
    assert [one.value for one in summary.trials] == [
        pytest.approx(quality(study.config(cell))) for cell in GRID.cells()
    ]
    assert {one.epoch for one in summary.trials} == {3}
    assert [one.folder for one in summary.trials] == [f"trials/{number:04d}" for number in range(6)]
    assert {(one.worker, one.attempts) for one in summary.trials} == {("me", 1)}
    assert summary.ranking[0].params == {"sn_num_fcn_blocks": 4, "lr": 0.01}
    assert list(summary.trials[0].curve) == [1, 2, 3]
    assert said[3] == "trial 3: complete, 0.9000 in epoch 3, 0 s"


def test_failures_are_recorded_and_the_sweep_goes_on(make_study, tmp_path):
    def fail(config, folder, watch):
        match (config.sn.num_fcn_blocks, config.optimizer.lr):
            case (3, 0.1):
                raise UserError("the mask is empty")
            case (3, 0.01):
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")
            case (4, 0.1):
                raise ZeroDivisionError("oops")
            case (4, 0.01):
                return rows([float("nan")] * 3)
            case (5, 0.1):
                raise RunError("memory ran out (x)") from MemoryError()
        return made_up(config, folder, watch)

    study = make_study()
    work(study, tmp_path, fail)
    trials = summarize_sweep(study).trials
    assert [(one.state, one.error) for one in trials] == [
        ("failed", "the mask is empty"),
        ("out of memory", "CUDA out of memory. Tried to allocate 2 GiB"),
        ("failed", "ZeroDivisionError: oops"),
        ("failed", "iou_score was never a finite number"),
        ("out of memory", "memory ran out (x)"),
        ("complete", ""),
    ]
    assert "case (4, 0.1):" not in trials[2].traceback
    assert 'raise ZeroDivisionError("oops")' in trials[2].traceback
    assert trials[0].traceback == ""
    assert study.retry_failed() == 5
    work(study, tmp_path)
    assert [one.state for one in summarize_sweep(study).trials] == ["complete"] * 6


def test_the_best_epoch_counts_for_either_goal(make_study, tmp_path):
    study = make_study(replace(GRID, metric="val_loss"))
    work(study, tmp_path, lambda config, folder, watch: rows([0.5, config.optimizer.lr, 0.7], "val_loss"))
    best = summarize_sweep(study).ranking[0]
    assert (best.value, best.epoch, best.params["lr"]) == (0.01, 2, 0.01)


def test_the_result_is_that_of_the_best_epoch():
    history = [
        {"epoch": 1, "dice": 0.5, "peak_memory_mib": 3.0, "en_health": "healthy"},
        {"epoch": 2, "dice": 0.7, "peak_memory_mib": 2.0, "val_loss": float("inf")},
        {"epoch": 3, "dice": float("nan"), "peak_memory_mib": 1.0},
    ]
    assert summarize(history, "dice", "max") == {
        "value": 0.7,
        "epoch": 2,
        "metrics": {"epoch": 2, "dice": 0.7, "peak_memory_mib": 2.0},
        "measured_peak": 3 * 2**20,
    }
    assert summarize([], "dice", "max")["value"] is None


def test_the_median_prunes_what_is_worse(make_study, tmp_path):
    values = [0.9, 0.8, 0.7, 0.1, 0.95]
    sweep = replace(
        GRID,
        parameters={"seed": Choice((0, 1, 2, 3, 4))},
        settings={"training.num_epochs": 4},
        pruner=Pruner(kind="median", min_epochs=1, startup_trials=3),
    )
    epochs = []

    def train(config, folder, watch):
        epochs.append(0)
        history = []
        for row in rows([values[config.seed]] * 4):
            history.append(row)
            epochs[-1] = row["epoch"]
            if watch(row):
                break
        return history

    study = make_study(sweep)
    work(study, tmp_path, train)
    assert [one.state for one in summarize_sweep(study).trials] == ["complete"] * 3 + ["pruned", "complete"]
    assert epochs == [4, 4, 4, 1, 4]
    assert summarize_sweep(study).trials[3].error == "pruned by median after epoch 1"


def test_hyperband_spends_fewer_epochs_and_keeps_the_best(make_study, tmp_path):
    sweep = replace(
        GRID,
        parameters={"seed": Choice(tuple(range(15)))},
        settings={"training.num_epochs": 9},
        pruner=Pruner(kind="hyperband", min_epochs=1),
    )
    spent = []

    def train(config, folder, watch):
        history = []
        for row in rows([(config.seed * 7 % 15) / 15] * 9):
            history.append(row)
            if watch(row):
                break
        spent.append(len(history))
        return history

    study = make_study(sweep)
    work(study, tmp_path, train)
    assert sum(spent) < 0.7 * 15 * 9
    assert summarize_sweep(study).ranking[0].value == pytest.approx(14 / 15)


def test_a_stop_after_the_epoch_gives_the_trial_back(make_study, tmp_path):
    sweep = replace(GRID, settings={"training.num_epochs": 1000})
    study = make_study(sweep, grace=1.0)  # signs of life, and a look for a stop, 8 times a second

    def train(config, folder, watch):
        study.stop("epoch")
        history, told = [], ""
        while not told:
            time.sleep(0.05)
            history.append({"epoch": len(history) + 1, "iou_score": 0.5, "seconds": 1.0})
            told = watch(history[-1])
        assert told == "the sweep was stopped"
        return history

    work(study, tmp_path, train)
    states = [one.state for one in summarize_sweep(study).trials]
    assert states == ["waiting"] * 6
    assert [outcome(one) for one in study.found()].count("given back") == 1
    assert work(study, tmp_path) == []  # it is still stopped
    study.stop("")
    assert len(work(study, tmp_path)) == 6
    assert [one.attempts for one in summarize_sweep(study).trials] == [2, 1, 1, 1, 1, 1]


def test_a_stop_after_the_trial_lets_it_finish(make_study, tmp_path):
    study = make_study()

    def train(config, folder, watch):
        study.stop("trial")
        return made_up(config, folder, watch)

    assert len(work(study, tmp_path, train)) == 1
    assert [one.state for one in summarize_sweep(study).trials] == ["complete"] + ["waiting"] * 5


def test_ctrl_c_gives_the_trial_back(make_study, tmp_path):
    study = make_study()

    def interrupt(config, folder, watch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(study, tmp_path, interrupt)
    assert [one.state for one in summarize_sweep(study).trials] == ["waiting"] * 6
    assert len(work(study, tmp_path)) == 6


def test_a_worker_that_slept_too_long_leaves_its_trial_alone(make_study, tmp_path):
    study = make_study(grace=1.0)

    def sleep(config, folder, watch):
        other = reopen(tmp_path)
        running = other.found()[0]
        other.storage.set_trial_state_values(running._trial_id, state=worker.optuna.trial.TrialState.FAIL)
        time.sleep(0.4)
        study.stop("trial")
        watch.confirm()
        raise AssertionError("it goes on")

    assert work(study, tmp_path, sleep) == ["trial 0: another worker has taken over"]
    assert summarize_sweep(study).trials[0].value is None


def test_signs_of_life_come_while_a_trial_runs(make_study, tmp_path):
    study = make_study(replace(GRID, parameters={"lr": Choice((0.1,))}), grace=1.0)
    signs = []

    def train(config, folder, watch):
        for _ in range(5):
            signs.append(reopen(tmp_path).found()[0].user_attrs["heartbeat"])
            time.sleep(0.25)
        return made_up(config, folder, watch)

    before = threading.active_count()
    work(study, tmp_path, train)
    assert len(set(signs)) >= 3
    assert threading.active_count() == before


def test_a_worker_waits_for_the_trials_of_others(make_study, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "PAUSE", 0.05)
    study = make_study(replace(GRID, parameters={"lr": Choice((0.1,))}))
    other = reopen(tmp_path)
    trial = other.take("other")
    assert work(study, tmp_path) == []

    def die():
        time.sleep(0.3)
        other.storage.set_trial_user_attr(
            trial._trial_id, "worker", {**other.found()[0].user_attrs["worker"], "pid": 2**22 + 1}
        )

    thread = threading.Thread(target=die)
    thread.start()
    said = work(study, tmp_path, wait=True)
    thread.join()
    assert len(said) == 1
    assert summarize_sweep(study).trials[0].state == "complete"


def test_memory_is_checked_before_a_trial(make_study, tmp_path, monkeypatch):
    sweep = replace(
        GRID,
        parameters={"sn_first_layer_out_channels": Choice((2, 64))},
        settings={"sn.num_fcn_blocks": 3, "training.num_epochs": 3, "data.image_size": (64, 64)},
    )
    study = make_study(sweep)
    study.definition = replace(study.definition, plan=True, memory=640 * 2**20, device="cpu")
    begun = []

    def train(config, folder, watch):
        begun.append(config.sn.first_layer_out_channels)
        return rows([0.5] * 3)

    work(study, tmp_path, train)
    fits, not_ = summarize_sweep(study).trials
    assert begun == [2]
    assert (fits.state, not_.state) == ("complete", "infeasible")
    assert fits.predicted_peak < 640 * 2**20 < not_.predicted_peak
    assert not_.error.startswith("does not fit: it needs 0.")
    assert "on me" in not_.error


def test_what_was_planned_for_as_little_memory_is_not_planned_again(make_study, monkeypatch):
    study = make_study()
    study.definition = replace(study.definition, plan=True)
    monkeypatch.setattr(guard, "machine", lambda config: (DEVICES["cpu"], 1000))
    monkeypatch.setattr(guard.Planner, "check", lambda *_: PlanRow(name="", memory=0, verdict="does not fit"))
    monkeypatch.setattr(guard, "resolve_shape", lambda config: (config, ""))
    plan = {"device": "cpu", "memory": 500, "peak": 400, "weights": 7}
    config = study.config(next(GRID.cells()))
    assert MemoryGuard(study.definition, 2).ask(config, plan).verdict == "fits"
    assert MemoryGuard(study.definition, 3).ask(config, plan).verdict == "does not fit"
    assert MemoryGuard(study.definition, 2).ask(config, {**plan, "device": "gpu"}).verdict == "does not fit"
    assert MemoryGuard(study.definition, 2).ask(config, None).verdict == "does not fit"
    study.definition = replace(study.definition, plan=False)
    assert MemoryGuard(study.definition, 3).ask(config, plan) is None


def test_an_error_without_words_has_its_name():
    assert describe_failure(MemoryError()) == {"outcome": "out of memory", "error": "MemoryError"}
    assert describe_failure(KeyError()) | {"traceback": ""} == {
        "outcome": "failed",
        "error": "KeyError: KeyError",
        "traceback": "",
    }


def test_a_trial_is_confirmed_before_anything_is_written(make_study, tmp_path):
    """Also where the first word that it is lost comes from a report."""
    study = make_study()

    def train(config, folder, watch):
        watch.confirm()
        other = reopen(tmp_path)
        other.storage.set_trial_state_values(other.found()[0]._trial_id, state=worker.optuna.trial.TrialState.FAIL)
        watch(rows([0.7])[0])
        study.stop("trial")
        with pytest.raises(LostError):
            watch.confirm()
        raise LostError

    assert work(study, tmp_path, train) == ["trial 0: another worker has taken over"]


def test_training_waits_while_the_storage_is_out_of_reach_for_too_long(make_study, tmp_path, monkeypatch):
    monkeypatch.setattr("flexdan.sweep.heartbeat.PAUSE", 0.05)
    study = make_study(replace(GRID, parameters={"lr": Choice((0.1,))}), grace=1.0)
    beat, away = study.beat, threading.Event()

    def beat_or_not(trial_id):
        if away.is_set():
            raise ConnectionError("away")
        beat(trial_id)

    study.beat = beat_or_not
    waited = []

    def train(config, folder, watch):
        away.set()
        begun = time.monotonic()
        watch.confirm()  # for three quarters of the time nobody else can have taken it
        assert time.monotonic() - begun < 0.5
        time.sleep(0.9)
        threading.Timer(0.5, away.clear).start()
        begun = time.monotonic()
        watch.confirm()
        waited.append(time.monotonic() - begun)
        return made_up(config, folder, watch)

    work(study, tmp_path, train)
    assert waited[0] > 0.4
    assert summarize_sweep(study).trials[0].state == "complete"


def test_a_storage_that_is_away_between_trials_is_waited_for(make_study, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "PAUSE", 0.01)
    study = make_study()
    take, calls = study.take, []

    def take_or_not(name):
        calls.append(name)
        if len(calls) in (2, 3, 4):
            raise ConnectionError("the server is away")
        return take(name)

    study.take = take_or_not
    said = work(study, tmp_path)
    assert [one.state for one in summarize_sweep(study).trials] == ["complete"] * 6
    assert sum(line.startswith("the storage is out of reach") for line in said) == 3


def test_a_worker_that_is_asked_to_end_gives_its_trial_back_after_the_epoch(make_study, tmp_path):
    study, asked = make_study(), threading.Event()
    epochs = []

    def train(config, folder, watch):
        asked.set()
        history = []
        for row in rows([0.1, 0.2, 0.3]):
            history.append(row)
            epochs.append(row["epoch"])
            if watch(row):
                break
        return history

    work(study, tmp_path, train, ending=asked.is_set)
    assert epochs == [1]
    assert [outcome(one) for one in study.found()].count("given back") == 1
    assert study.to_do() == (True, False)


def test_a_record_that_cannot_be_read_does_not_kill_the_worker(make_study, tmp_path):
    folder = tmp_path / "trials" / "0000"
    folder.mkdir(parents=True)
    (folder / "last.ckpt").write_text("x")
    (folder / "record.jsonl").write_text("no json\n{}\n")
    study = make_study()
    assert len(work(study, tmp_path)) == 6
    assert {one.state for one in summarize_sweep(study).trials} == {"complete"}


def test_the_memory_of_drawn_trials_is_told(make_study, tmp_path):
    sweep = replace(
        GRID,
        parameters={"lr": Choice((0.1, 0.2))},
        method="random",
        run_cap=2,
        settings={"sn.num_fcn_blocks": 3, "sn.first_layer_out_channels": 2, "data.image_size": (32, 32)},
    )
    study = make_study(sweep)
    study.definition = replace(study.definition, plan=True, memory=700 * 2**20, device="cpu")
    work(study, tmp_path, lambda config, folder, watch: rows([0.5]))
    summary = summarize_sweep(study)
    assert summary.memory == 700 * 2**20
    assert all(0 < one.predicted_peak < summary.memory for one in summary.trials)
