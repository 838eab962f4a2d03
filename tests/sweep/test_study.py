import threading
import warnings
from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from tests.sweep.conftest import GRID, reopen, work

from flexdan.config import UserError
from flexdan.experiments import Choice, Pruner, Range, Sweep
from flexdan.sweep import Definition, SweepStudy, create_sweep, open_storage, prepare, summarize_sweep
from flexdan.sweep.attempts import MAX_LOST, number_of, outcome
from flexdan.sweep.machine import this_process
from flexdan.sweep.sampling import build_pruner, build_sampler
from flexdan.sweep.study import Slot

RANDOM = Sweep(
    parameters={
        "lr": Range(low=1e-4, high=0.1, log=True),
        "batch_size": Range(low=2, high=8, integer=True),
        "optimizer_type": Choice(("adam", "sgd")),
        "data.image_size": Choice(([32, 48], [64, 96])),
    },
    method="random",
    run_cap=12,
)
ELSEWHERE = {"host": "other", "machine": "other", "pid": 1, "started": 0.0}


def take_all(study):
    found = []
    while (trial := study.take("me")) is not None:
        found.append(study.params(study.storage.get_trial(trial._trial_id)))
        study.close(trial._trial_id, {"outcome": "complete", "value": 0.5})
    return found


def die(study, trial):
    """Let a trial look as if its worker's process were gone."""
    gone = {"name": "gone", **this_process(), "pid": 2**22 + 1}
    study.storage.set_trial_user_attr(trial._trial_id, "worker", gone)


def states(study):
    return [one.state for one in summarize_sweep(study).trials]


def test_every_cell_of_a_grid_is_taken_once_in_order(make_study):
    study = make_study()
    assert take_all(study) == list(GRID.cells())
    assert states(study) == ["complete"] * 6


def test_a_finished_grid_reopened_runs_nothing_again(make_study, tmp_path):
    take_all(make_study())
    again = make_study()
    assert again.take("me") is None
    assert len(again.found()) == 6


def test_a_larger_cap_adds_the_rest(make_study):
    assert len(take_all(make_study(replace(GRID, run_cap=2)))) == 2
    assert take_all(make_study(replace(GRID, run_cap=4))) == list(GRID.cells())[2:4]


def test_creation_that_broke_off_is_made_up_for(make_study, tmp_path):
    storage = open_storage("", tmp_path)
    create_sweep(storage, "test", Definition(sweep=GRID, plan=False))
    study = SweepStudy(storage, "test")
    full = study.add
    study.add = lambda slots: full(list(slots)[:4])
    prepare(study, 1)
    assert len(reopen(tmp_path).found()) == 4
    assert take_all(make_study()) == list(GRID.cells())


def test_two_creations_at_once_run_every_cell_once(make_study, tmp_path):
    one, other = make_study(), reopen(tmp_path)
    other.missing = lambda: list(range(6))  # as it was before the first one had added them
    prepare(other, 1)
    assert len(one.found()) == 12
    assert sorted(map(str, take_all(one))) == sorted(map(str, GRID.cells()))
    assert states(one) == ["complete"] * 6


def test_many_threads_take_every_cell_once(tmp_path, make_study):
    make_study(replace(GRID, parameters={"seed": Choice(tuple(range(40)))}))
    taken = []
    start = threading.Barrier(4)

    def work():
        study = reopen(tmp_path)
        start.wait()
        taken.extend(one["seed"] for one in take_all(study))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(40))


def test_a_dead_workers_trial_waits_again_with_its_values(make_study, tmp_path):
    study = make_study()
    first = study.take("me")
    die(study, first)
    study.rescue(study.found())
    study.rescue(study.found())  # has nothing more to do
    assert states(study) == ["waiting"] * 6
    assert len(study.found()) == 7
    lost, retry = study.found()[0], study.found()[6]
    assert (lost.state, outcome(lost), number_of(retry)) == (TrialState.FAIL, "lost", 0)
    assert retry.params == lost.params
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        assert optuna.storages.RetryHeartbeatStaleTrialCallback.retry_history(retry) == [0]
    assert sorted(map(str, take_all(study))) == sorted(map(str, GRID.cells()))


def test_two_that_rescue_at_once_put_back_one_trial(make_study, tmp_path):
    study = make_study()
    die(study, study.take("me"))
    study.rescue(study.found())
    study._try_again(study.found()[0], {})  # as one would that had looked before the other was done
    assert len(study.found()) == 8
    assert sorted(map(str, take_all(study))) == sorted(map(str, GRID.cells()))


def test_a_rescue_that_broke_off_is_made_up_for(make_study):
    study = make_study()
    first = study.take("me")
    study.storage.set_trial_state_values(first._trial_id, state=TrialState.FAIL)  # and dies
    study.rescue(study.found())
    assert sorted(map(str, take_all(study))) == sorted(map(str, GRID.cells()))


def test_a_worker_that_died_between_result_and_state_has_finished(make_study):
    study = make_study()
    first = study.take("me")
    study.storage.set_trial_user_attr(first._trial_id, "result", {"outcome": "complete", "value": 0.75, "epoch": 2})
    die(study, first)
    study.rescue(study.found())
    best = summarize_sweep(study).trials[0]
    assert (best.state, best.value, best.epoch) == ("complete", 0.75, 2)
    assert len(take_all(study)) == 5


def test_a_trial_in_which_every_worker_dies_fails_and_can_be_tried_again(make_study):
    study = make_study(replace(GRID, parameters={"lr": Choice((0.1,))}))
    for _ in range(MAX_LOST):
        die(study, study.take("me"))
        study.rescue(study.found())
    assert study.take("me") is None
    only = summarize_sweep(study).trials[0]
    assert (only.state, only.attempts) == ("failed", MAX_LOST)
    assert "workers have died in it" in only.error
    assert study.retry_failed() == 1
    die(study, study.take("me"))
    study.rescue(study.found())
    assert len(take_all(study)) == 1
    assert states(study) == ["complete"]


def test_a_worker_of_another_machine_is_dead_when_its_signs_stop(make_study, monkeypatch):
    study = make_study(grace=60.0)
    clock = [0.0]
    monkeypatch.setattr("flexdan.sweep.machine.time.monotonic", lambda: clock[0])
    first = study.take("me")
    study.storage.set_trial_user_attr(first._trial_id, "worker", {"name": "far", **ELSEWHERE})
    for now, sign in ((0, 1), (14, 2), (28, 3), (42, 3), (56, 3), (70, 3), (84, 3)):
        clock[0] = now
        study.storage.set_trial_user_attr(first._trial_id, "heartbeat", sign)
        study.rescue(study.found())
        assert study.found()[0].state is TrialState.RUNNING
    clock[0] = 140  # after a break, in which signs may have come and gone
    study.rescue(study.found())
    assert study.found()[0].state is TrialState.RUNNING
    for now in range(154, 200, 14):
        clock[0] = now
        study.rescue(study.found())
    assert study.found()[0].state is TrialState.RUNNING
    clock[0] = 201
    study.rescue(study.found())
    assert outcome(study.found()[0]) == "lost"


def test_what_a_lost_worker_still_reports_is_not_counted(make_study):
    study = make_study()
    first = study.take("me")
    die(study, first)
    study.rescue(study.found())
    study.close(first._trial_id, {"outcome": "complete", "value": 9.9})
    assert outcome(study.found()[0]) == "lost"
    assert max(one.value or 0 for one in summarize_sweep(study).trials) == 0


def test_a_trial_that_is_given_back_is_taken_first_thing_after_the_others(make_study):
    study = make_study()
    first = study.take("me")
    study.close(first._trial_id, {"outcome": "given back"})
    assert states(study) == ["waiting"] * 6
    assert sorted(map(str, take_all(study))) == sorted(map(str, GRID.cells()))


def test_draws_depend_on_the_seed_and_the_trial_and_on_no_worker(make_study, tmp_path):
    alone = take_all(make_study(RANDOM, tmp_path / "a"))
    study = make_study(RANDOM, tmp_path / "b")
    taken = [study.take("me") for _ in range(12)]  # at once
    together = [study.params(study.storage.get_trial(one._trial_id)) for one in taken]
    assert alone == together
    assert alone != take_all(make_study(replace(RANDOM, seed=1), tmp_path / "c"))
    assert all(1e-4 <= one["lr"] <= 0.1 and one["batch_size"] in range(2, 9) for one in alone)
    assert {tuple(one["data.image_size"]) for one in alone} == {(32, 48), (64, 96)}
    assert len({one["lr"] for one in alone}) == 12


def test_without_a_cap_trials_never_run_out(make_study):
    study = make_study(replace(RANDOM, run_cap=None))
    for _ in range(3):
        trial = study.take("me")
        study.close(trial._trial_id, {"outcome": "complete", "value": 0.1})
    assert [one.number for one in summarize_sweep(study).trials] == [0, 1, 2]
    assert study.missing() == []


def test_bayes_finds_better_values_than_it_began_with(make_study):
    sweep = Sweep(parameters={"lr": Range(low=1e-5, high=1, log=True)}, method="bayes", run_cap=40)
    study = make_study(sweep)
    found = []
    while (trial := study.take("me")) is not None:
        error = abs(np.log10(trial.params["lr"]) + 2)
        found.append(error)
        study.close(trial._trial_id, {"outcome": "complete", "value": 1 - error})
    assert np.mean(found[20:]) < 0.5 * 1.3  # of draws that are spread evenly: (3² + 2²) / 2 / 5


def test_bayes_learns_to_avoid_what_does_not_fit(make_study):
    sweep = Sweep(
        parameters={"sn_first_layer_out_channels": Range(low=1, high=100, integer=True)}, method="bayes", run_cap=50
    )
    study = make_study(sweep)
    fitted = []
    while (trial := study.take("me")) is not None:
        channels = trial.params["sn_first_layer_out_channels"]
        fitted.append(channels <= 20)
        result = {"outcome": "complete", "value": channels / 100} if fitted[-1] else {"outcome": "infeasible"}
        study.close(trial._trial_id, result)
    assert np.mean(fitted[25:]) > 2 * np.mean(fitted[:10]) > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parameters": {"lr": Choice((0.1, 0.2))}}, "sn_num_fcn_blocks"),
        ({"settings": {"training.num_epochs": 9}}, "training.num_epochs 3, not 9"),
        ({"metric": "dice"}, "metric 'iou_score', not 'dice'"),
        ({"seed": 5}, "seed 0, not 5"),
    ],
)
def test_another_sweep_of_the_same_name_is_refused(make_study, change, message):
    make_study()
    with pytest.raises(UserError, match=f"another sweep 'test' already, with .*{message}"):
        make_study(replace(GRID, **change))


def test_other_data_and_another_scale_are_refused(make_study):
    make_study(manifest_sha256="a")
    with pytest.raises(UserError, match="with other data"):
        make_study(manifest_sha256="b")
    with pytest.raises(UserError, match="with scale full"):
        make_study(manifest_sha256="a", small=True)


def test_a_manifest_may_have_moved(make_study):
    make_study(replace(GRID, settings={**GRID.settings, "data.manifest": "/a/m.csv"}), manifest_sha256="a")
    study = make_study(replace(GRID, settings={**GRID.settings, "data.manifest": "/b/m.csv"}), manifest_sha256="a")
    assert study.config({"lr": 0.1}).data.manifest == "/b/m.csv"
    study.use_manifest("/c/m.csv")
    assert study.config({"lr": 0.1}).data.manifest == "/c/m.csv"
    assert study.definition.sweep.settings["data.manifest"] == "/b/m.csv"


def test_a_storage_without_the_sweep_says_so(tmp_path):
    storage = open_storage("", tmp_path)
    with pytest.raises(UserError, match="no sweep 'test'"):
        SweepStudy(storage, "test")
    optuna.create_study(storage=storage, study_name="foreign")
    with pytest.raises(UserError, match="no sweep 'foreign'"):
        SweepStudy(storage, "foreign")


def test_pruners_of_optuna():
    sweep = replace(GRID, settings={"training.num_epochs": 27})
    assert isinstance(build_pruner(sweep), optuna.pruners.NopPruner)
    hyperband = build_pruner(replace(sweep, pruner=Pruner(kind="hyperband", min_epochs=3)))
    assert (hyperband._min_resource, hyperband._max_resource, hyperband._reduction_factor) == (3, 27, 3)
    median = build_pruner(replace(sweep, pruner=Pruner(kind="median", min_epochs=4, startup_trials=2)))
    assert (median._n_warmup_steps, median._n_startup_trials) == (4, 2)


def test_a_worker_that_dies_with_a_duplicate_in_its_hands_runs_nothing_twice(make_study, tmp_path):
    one, other = make_study(), reopen(tmp_path)
    other.missing = lambda: list(range(6))
    prepare(other, 1)
    for number in range(6):  # complete all that count
        trial = one.take("me")
        one.close(trial._trial_id, {"outcome": "complete", "value": 0.1 * number})
    duplicate = one.found()[6]
    one.storage.set_trial_state_values(duplicate._trial_id, state=TrialState.RUNNING)
    one._sign(duplicate._trial_id, "me")
    die(one, optuna.Trial(optuna.load_study(study_name="test", storage=one.storage), duplicate._trial_id))
    assert one.take("me") is None
    assert outcome(one.found()[6]) == "lost"
    assert [one.state for one in summarize_sweep(other).trials] == ["complete"] * 6
    assert len(other.found()) == 12
    assert other.to_do() == (False, False)


def test_duplicates_that_were_found_infeasible_hide_no_result(make_study, tmp_path):
    study = make_study()
    take_all(study)
    study.add([Slot(number=0, params=next(GRID.cells()), plan={}, infeasible="too small a machine")])
    assert states(study) == ["complete"] * 6


def test_a_retry_that_is_lost_beside_its_duplicate_is_not_forgotten(make_study):
    study = make_study(replace(GRID, parameters={"lr": Choice((0.1,))}))
    die(study, study.take("me"))
    study.rescue(study.found())
    study._try_again(study.found()[0], {})
    retry = study.take("me")
    assert number_of(study.storage.get_trial(retry._trial_id)) == 0
    die(study, retry)
    assert study.to_do() == (False, True)
    assert len(take_all(study)) == 1
    assert states(study) == ["complete"]


def test_draws_of_a_worker_that_died_amid_them_begin_anew(make_study, tmp_path):
    whole = make_study(RANDOM, tmp_path / "a").take("me")
    study = make_study(RANDOM, tmp_path / "b")
    trial_id = study.found()[0]._trial_id
    study._get(trial_id, "me")
    partly = optuna.Trial(
        optuna.load_study(study_name="test", storage=study.storage, sampler=build_sampler(RANDOM, 0)), trial_id
    )
    partly.suggest_float("lr", 1e-4, 0.1, log=True)
    die(study, partly)
    study.rescue(study.found())
    retry = next(one for one in study.found() if one.number == 12)
    assert retry.params == {}
    for _ in range(11):
        study.take("me")
    assert study.take("me").params == whole.params


def test_infeasible_trials_can_be_tried_again(make_study, tmp_path):
    study = make_study()
    study.add([Slot(number=6, params={"sn_num_fcn_blocks": 3, "lr": 0.1}, plan={"memory": 1}, infeasible="too large")])
    assert states(study)[6] == "infeasible"
    assert study.retry_failed() == 1
    assert states(study)[6] == "waiting"
    assert "plan" not in study.found()[-1].user_attrs


def test_what_may_change_is_told(tmp_path):
    storage = open_storage("", tmp_path)
    assert create_sweep(storage, "a", Definition(sweep=GRID, memory=2**31)) == []
    SweepStudy(storage, "a").add([Slot(number=0, params=next(GRID.cells()), plan={})])
    notes = create_sweep(storage, "a", Definition(sweep=GRID, grace=60))
    assert notes == [
        "the memory of a trial was 2.00 GiB and is now what its device has; what is recorded stays",
        "the time until a silent worker counts as dead was 120 s and is now 60 s; what is recorded stays",
    ]


def test_the_state_of_the_clock_does_not_tell_who_is_dead(make_study, monkeypatch):
    """The start of a process is counted from the boot, not from the time of day."""
    study = make_study()
    study.take("me")
    monkeypatch.setattr("flexdan.sweep.machine.time.time", lambda: 0.0)
    study.rescue(study.found())
    assert study.found()[0].state is TrialState.RUNNING


LISTED = replace(
    GRID,
    parameters={"sn_num_fcn_blocks": Range(low=3, high=6, integer=True), "lr": Choice((0.1, 0.01))},
    listed=tuple({"sn_num_fcn_blocks": blocks, "lr": 0.1} for blocks in (3, 5)),
)


def test_a_list_of_cells_may_grow_while_workers_are_at_work(make_study, tmp_path):
    early = make_study(LISTED)
    assert len(work(early, tmp_path)) == 2
    more = (*LISTED.listed, {"sn_num_fcn_blocks": 6, "lr": 0.01})
    study = make_study(replace(LISTED, listed=more))
    assert len(work(early, tmp_path)) == 1  # it has read the shorter list
    trials = summarize_sweep(study).trials
    assert [one.params for one in trials] == list(more)
    assert [one.attempts for one in trials] == [1, 1, 1]
    for other, message in ((more[1:], "trial 0 "), (more[:2], "trial 2 "), (None, "a list of values")):
        with pytest.raises(UserError, match=f"another sweep 'test' already, with {message}"):
            make_study(replace(LISTED, listed=other))
