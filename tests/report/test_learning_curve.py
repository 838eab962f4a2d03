import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from tests.report.conftest import make_curve

from flexdan.config import UserError
from flexdan.config.trials import SweepSummary, Trial
from flexdan.report.learning_curve import comparisons, gains, missing, read_learning_curve, spreads

F1 = "objects.f1.pooled"


def test_means_and_deviations_over_seeds():
    curve = make_curve()
    found = {(one.strategy, one.annotated): one for one in spreads(curve, F1)}
    assert list(found) == [(name, count) for name in ("supervised", "dan", "dan_without_sigma") for count in (5, 9, 40)]
    for one in found.values():
        assert one.mean == pytest.approx(np.mean(list(one.values.values())))
        assert one.deviation == pytest.approx(np.std(list(one.values.values()), ddof=1))
        assert one.planned == 3


def test_gains_are_paired_by_seed_and_have_the_interval_of_a_paired_t_test():
    curve = make_curve()
    score = {(one.strategy, one.annotated, one.seed): one.scores[F1] for one in curve.points}
    for gain in gains(curve, F1):
        ours, theirs = (
            [score[name, gain.annotated, seed] for seed in range(3)] for name in (gain.strategy, gain.against)
        )
        test = stats.ttest_rel(ours, theirs)
        assert gain.mean == pytest.approx(np.mean(ours) - np.mean(theirs))
        assert gain.interval == pytest.approx(tuple(test.confidence_interval(0.95)))
        assert gain.against == "supervised"
    assert [(one.strategy, one.against) for one in comparisons(curve, F1)] == [
        *[("dan", "supervised")] * 3,
        *[("dan_without_sigma", "supervised")] * 3,
        *[("dan", "dan_without_sigma")] * 3,
    ]


def test_only_whole_pairs_count():
    curve = make_curve()
    gone = [("dan", 5, 0), ("supervised", 5, 1), ("supervised", 9, 0), ("supervised", 9, 1), ("supervised", 9, 2)]
    points = tuple(
        replace(one, scores={}, state="waiting") if (one.strategy, one.annotated, one.seed) in gone else one
        for one in curve.points
    )
    part = replace(curve, points=points)
    by_count = {one.annotated: one for one in gains(part, F1) if one.strategy == "dan"}
    assert list(by_count[5].values) == [2]
    assert by_count[5].planned == 3
    assert by_count[5].interval is None
    assert by_count[5].deviation is None
    assert by_count[9].mean is None
    assert by_count[40].values == pytest.approx({seed: 0.01 * (seed - 1) for seed in range(3)})
    assert missing(part) == [
        "supervised with 5 annotated, seed 1: waiting",
        "supervised with 9 annotated, seeds 0, 1, 2: waiting",
        "dan with 5 annotated, seed 0: waiting",
    ]


def test_a_study_without_supervised_training_has_no_gains():
    curve = make_curve()
    alone = replace(curve, points=tuple(one for one in curve.points if one.strategy == "dan"))
    assert gains(alone, F1) == []
    assert comparisons(alone, F1) == []


def trial(number, state="complete", **fields):
    params = {"strategy": "dan", "data.annotated": 5, "seed": number}
    return Trial(number=number, state=state, params=params, folder=f"trials/{number}", **fields)


@pytest.fixture
def summary():
    trials = (trial(0), trial(1), trial(2, "running"), trial(3, "failed", error="no memory"))
    return SweepSummary(name="s", method="grid", metric="iou_score", goal="max", parameters={}, trials=trials)


def write_evaluation(folder, number, f1, split="test", **figures):
    file = folder / f"trials/{number}/evaluation/{split}/metrics.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"epoch": 7, "objects": {"pooled": {"f1": f1}}, **figures}))
    return file


def test_evaluations_are_read_from_the_run_folders(summary, tmp_path):
    write_evaluation(tmp_path, 0, 0.5)
    write_evaluation(tmp_path, 1, 0.9, split="val")
    write_evaluation(tmp_path, 2, 0.9)  # of an earlier attempt
    curve = read_learning_curve(summary, tmp_path, "test", lower=["asd"])
    assert [dict(one.scores) for one in curve.points] == [{F1: 0.5}, {}, {}, {}]
    assert curve.points[0].epoch == 7
    assert curve.lower == {"asd"}
    assert missing(curve) == [
        "dan with 5 annotated, seed 1: not evaluated",
        "dan with 5 annotated, seed 2: running",
        "dan with 5 annotated, seed 3: failed (no memory)",
    ]


def test_networks_that_were_evaluated_in_different_ways_are_told(summary, tmp_path):
    write_evaluation(tmp_path, 0, 0.5, postprocessing={"settings": {"threshold": 0.5}, "source": "default"})
    file = write_evaluation(tmp_path, 1, 0.5, postprocessing={"settings": {"threshold": 0.5}, "source": "tuned"})
    assert read_learning_curve(summary, tmp_path, "test").alike
    file.write_text(
        json.dumps({"objects": {"pooled": {"f1": 0.5}}, "postprocessing": {"settings": {"threshold": 0.6}}})
    )
    assert not read_learning_curve(summary, tmp_path, "test").alike


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_broken_evaluation_is_a_mistake(summary, tmp_path, text):
    write_evaluation(tmp_path, 0, math.inf).write_text(text)
    with pytest.raises(UserError, match=r"is broken: .*; remove it, and it is measured again"):
        read_learning_curve(summary, tmp_path, "test")
