from dataclasses import replace

import pytest
from tests.sweep.conftest import GRID

from flexdan.config.trials import Trial
from flexdan.experiments import Choice
from flexdan.sweep import count_states, prepare, seconds_left, summarize_sweep


def trial(number, state, seconds=None):
    return Trial(number=number, state=state, params={}, seconds=seconds)


def test_states_are_counted_in_order():
    trials = [trial(0, "complete"), trial(1, "failed"), trial(2, "complete"), trial(3, "waiting"), trial(4, "running")]
    assert list(count_states(trials).items()) == [("waiting", 1), ("running", 1), ("complete", 2), ("failed", 1)]


def test_the_time_left_is_that_of_the_trials_left_by_those_that_run_at_once():
    done = [trial(0, "complete", 10.0), trial(1, "pruned", 20.0)]
    open_ = [trial(2, "running"), trial(3, "running"), *(trial(number, "waiting") for number in range(4, 9))]
    assert seconds_left([*done, *open_]) == pytest.approx(15 * (5 + 1) / 2)
    assert seconds_left(open_) is None
    assert seconds_left(done) is None


def test_a_running_trial_is_told_with_its_best_epoch(make_study):
    study = make_study()
    running = study.take("me")
    for epoch, value in ((1, 0.3), (2, 0.5), (3, 0.4)):
        running.report(value, epoch)
    first = summarize_sweep(study).trials[0]
    assert (first.state, first.value, first.epoch, first.worker) == ("running", 0.5, 2, "me")
    assert first.curve == {1: 0.3, 2: 0.5, 3: 0.4}


def test_a_summary_says_what_was_swept_and_what_was_not(make_study):
    summary = summarize_sweep(make_study())
    assert summary.parameters == {"sn_num_fcn_blocks": "3, 4, 5", "lr": "0.1, 0.01"}
    assert summary.fixed == {"training.num_epochs": 3}
    assert (summary.method, summary.metric, summary.goal, summary.memory) == ("grid", "iou_score", "max", None)
    assert {one.state for one in summary.trials} == {"waiting"}
    assert summary.ranking == ()


def test_cells_that_cannot_fit_are_told_before_anything_runs(make_study, tmp_path, discs):
    sweep = replace(
        GRID,
        parameters={"sn_first_layer_out_channels": Choice((2, 64))},
        settings={"sn.num_fcn_blocks": 3, "data.manifest": str(discs), "data.image_size": (64, 64)},
    )
    study = make_study(replace(sweep, run_cap=None), tmp_path / "x")
    assert summarize_sweep(study).memory is None
    from flexdan.sweep import Definition, SweepStudy, create_sweep, open_storage

    storage = open_storage("", tmp_path / "y")
    create_sweep(storage, "y", Definition(sweep=sweep, memory=640 * 2**20, device="cpu"))
    study = SweepStudy(storage, "y")
    assert [row.verdict for row in prepare(study, 1)] == ["fits", "does not fit"]
    assert prepare(study, 1) == []
    summary = summarize_sweep(study)
    fits, not_ = summary.trials
    assert summary.memory == 640 * 2**20
    assert (fits.state, not_.state) == ("waiting", "infeasible")
    assert fits.predicted_peak < summary.memory < not_.predicted_peak
    assert (not_.attempts, not_.folder, not_.worker) == (0, "", "")
    assert "does not fit: it needs 0." in not_.error
    assert study.take("me").params == {"sn_first_layer_out_channels": 2}
    assert study.take("me") is None
