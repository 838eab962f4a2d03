"""Every line of the check: it passes, it fails, and it does not know."""

import json

import pytest

from flexdan.cli.evaluated import read_contestants
from flexdan.report.checks import fairness_table, fairness_verdict, is_fair
from flexdan.report.configurations import group_runs
from flexdan.report.fairness import check_fairness

OTHER = {"optimizer.lr": 0.5}


@pytest.fixture
def check(tmp_path, measured_run):
    """Return a function that checks a usual run against one with changes, and returns the lines by their name."""

    def make(usual=None, **changes):
        changes["settings"] = OTHER | changes.get("settings", {})
        measured_run(tmp_path / "usual", **(usual or {}))
        measured_run(tmp_path / "other", **changes)
        split = changes.get("figures", {}).get("split", "test")
        weights = changes.get("figures", {}).get("weights", "best")
        if weights == "last":
            for name in ("usual", "other"):
                place = tmp_path / name / "evaluation"
                (place / split).rename(place / f"{split}-last")
        return check_fairness(group_runs(read_contestants([tmp_path], split, weights, evaluate=False)))

    return make


def by_name(checks):
    return {one.name: one for one in checks}


def test_two_equal_runs_pass_and_what_differs_is_told(check):
    checks = check()
    assert is_fair(checks)
    assert fairness_verdict(checks) == "fair comparison: 10 of 10 checks passed"
    found = by_name(checks)
    assert found["same number of SN updates"].found == "40; planned 40"
    assert found["same splits"].found == "train / val / test"
    assert found["same resolution"].found == "16x16"
    assert found["selection on validation only"].found == "best epoch by iou_score on val"
    assert found["seeds"].found == "1 seed in all: 0"
    assert found["other settings"].found == "differs, by intention? optimizer.lr 0.5 | 0.002"
    assert found["augmentation"].found == "the same"


def tuned(**tuning):
    usual = {"manifest_sha256": "ab" * 32, "metric": "f1", "weights": "", "tta": False, "scale": None}
    return {"figures": {"postprocessing": {"tuning": usual | tuning}}}


def set_by_options():
    return {"figures": {"postprocessing": {"settings": {}, "source": "options", "tuning": None}}}


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("same training data", {"start": {"manifest_sha256": "cd" * 32}}, "manifest cdcdcdcd"),
        ("same annotated images", {"start": {"annotated": ["a.png", "c.png"]}}, "seed 0: 2 and 2 images, not the same"),
        ("same splits", {"settings": {"data.val_split": "dev"}}, "train / dev / test"),
        ("same evaluated images", {"figures": {"manifest_sha256": "cd" * 32}}, "8, manifest cdcdcdcd"),
        ("same number of SN updates", {"updates": 20}, "80 ("),
        ("finished, and measured at its best", {"rows": 3}, "still running or stopped after epoch 3"),
        (
            "finished, and measured at its best",
            {"figures": {"epoch": 2}},
            "measured epoch 2, but the best one is now 4",
        ),
        ("same resolution", {"settings": {"data.image_size": (32, 48)}}, "32x48"),
        ("same resolution", {"settings": {"data.crop": True, "data.reduce": 1.5}}, "16x16 windows, reduced by 1.5"),
        ("selection on validation only", {"settings": {"data.val_split": "test"}}, "images that chose the weights"),
        ("selection on validation only", {"settings": {"data.train_split": "test"}}, "images that it was trained on"),
        ("selection on validation only", {"settings": {"training.best_metric": "dice"}}, "best epoch by dice on val"),
        ("predicted alike", {"figures": {"tta": True}}, "best weights, tta on"),
        ("predicted alike", {"figures": {"tta": "turns"}}, "best weights, tta turns"),
        ("predicted alike", {"figures": {"scale": 0.5}}, "scale 0.5"),
        (
            "post-processing tuned alike",
            {"figures": {"postprocessing": {"tuning": {"split": "test"}}}},
            "measured split",
        ),
        ("predicted alike", {"figures": {"spacing": [0.5, 0.5]}}, "pixels of 0.5 x 0.5"),
        ("finished, and measured at its best", {"last": {"event": "out_of_memory"}}, "out of memory"),
        ("post-processing tuned alike", tuned(split="val"), "on val, metric f1 ("),
        ("post-processing tuned alike", tuned(split="val", manifest_sha256="cd" * 32), "another manifest"),
        ("post-processing tuned alike", set_by_options(), "set by options"),
        ("post-processing tuned alike", {"figures": {"postprocessing": {"settings": {"min_size": 9}}}}, "min_size 9"),
    ],
)
def test_each_line_fails(check, name, changes, told):
    checks = check(**changes)
    one = by_name(checks)[name]
    assert one.state == "FAILS"
    assert told in one.found
    assert one.remedy
    assert f"{name} (FAILS)" in fairness_verdict(checks)
    assert not is_fair(checks)


@pytest.mark.parametrize(
    ("name", "section", "key"),
    [
        ("same training data", "start", "manifest_sha256"),
        ("same annotated images", "start", "annotated"),
        ("same splits", "data", "val_split"),
        ("same evaluated images", "figures", "manifest_sha256"),
        ("same number of SN updates", "epoch", "sn_updates"),
        ("same resolution", "data", "image_size"),
        ("selection on validation only", "training", "best_metric"),
        ("selection on validation only", "figures", "manifest_sha256"),
        ("predicted alike", "figures", "tta"),
        ("post-processing tuned alike", "figures", "postprocessing"),
    ],
)
def test_what_an_old_record_does_not_tell_is_unknown(tmp_path, check, measured_run, name, section, key):
    measured_run(tmp_path / "old", settings={"optimizer.lr": 0.7})
    file = tmp_path / "old" / ("evaluation/test/metrics.json" if section == "figures" else "record.jsonl")
    events = [json.loads(line) for line in file.read_text().splitlines()]
    for event in events:
        its = event.get("config", {}).get(section, {}) if section in ("data", "training") else event
        its.pop(key, None)
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    checks = check()
    assert by_name(checks)[name].state == "unknown"
    assert not is_fair(checks)
    assert f"{name} (unknown)" in fairness_verdict(checks)


def test_last_weights_chose_nothing_unless_validation_steered_the_training(check):
    figures = {"split": "val", "weights": "last", "epoch": 4}
    assert by_name(check({"figures": figures}, figures=figures))["selection on validation only"].state == "pass"


@pytest.mark.parametrize(
    "settings", [{"scheduler.scheduler_type": "ReduceLROnPlateau"}, {"training.early_stopping_patience": 3}]
)
def test_last_weights_are_no_way_out_where_validation_steered_the_training(check, settings):
    figures = {"split": "val", "weights": "last", "epoch": 4}
    one = by_name(check({"figures": figures}, figures=figures, settings=settings))["selection on validation only"]
    assert (one.state, "steered the learning rate" in one.found) == ("FAILS", True)


def test_updates_of_the_start_count_too(tmp_path, measured_run):
    measured_run(tmp_path / "start/sn")
    measured_run(tmp_path / "runs/long", updates=20)
    measured_run(tmp_path / "runs/tuned", settings={"init_sn": str(tmp_path / "start/sn")})
    runs = [tmp_path / "runs"]
    one = by_name(check_fairness(group_runs(read_contestants(runs, "test", "best", evaluate=False))))
    updates = one["same number of SN updates"]
    assert (updates.state, updates.found) == (
        "pass",
        "80, of them 40 before, in the SN that some started from; planned 80",
    )
    (tmp_path / "start/sn/record.jsonl").unlink()
    found = by_name(check_fairness(group_runs(read_contestants(runs, "test", "best", evaluate=False))))
    assert found["same number of SN updates"].state == "unknown"


def test_early_stopping_makes_updates_differ_and_is_named(tmp_path, check):
    measured = {"settings": {"training.early_stopping_patience": 2}, "rows": 3, "figures": {"epoch": 3}}
    one = by_name(check(**measured))["same number of SN updates"]
    assert (one.state, one.found.endswith("; planned 40")) == ("FAILS", True)
    assert "planned were equally many" in one.remedy


def test_networks_augmentation_and_unannotated_images_may_differ_and_are_told(check):
    settings = {"augmentation.rotation": 10.0, "sn.num_fcn_blocks": 4, "strategy": "dan", "training.batch_size": 3}
    checks = check(settings=settings, start={"parameters": 50})
    found = by_name(checks)
    assert found["augmentation"].found == "differs, by intention? rotation 10 | 0"
    assert found["segmentation network"].found == "differs, by intention? num_fcn_blocks 4 | 5; parameters 100 | 50"
    assert found["unannotated images used"].found.endswith("5; supervised: 0")
    assert is_fair(checks)
    assert [row[1] for row in fairness_table(checks).rows].count("info") == 5


def test_seeds_that_are_not_in_all_are_told(tmp_path, measured_run, check):
    measured_run(tmp_path / "second", seed=1)
    assert by_name(check())["seeds"].found == (
        "1 seed in all: 0; not in all: lr 0.002: seed 1, left out of differences where the other side lacks it"
    )


@pytest.mark.parametrize(
    ("way", "state"), [("metric", "FAILS"), ("weights", "FAILS"), ("tta", "FAILS"), ("images", "pass")]
)
def test_post_processing_is_tuned_in_the_same_way(check, way, state):
    checks = check(tuned(split="val"), **tuned(split="val", **{way: "other"}))
    assert by_name(checks)["post-processing tuned alike"].state == state


@pytest.mark.parametrize(
    ("start", "state"),
    [
        ({"settings": {"data.val_split": "dev", "data.train_split": "test"}}, "FAILS"),
        ({"settings": {"data.val_split": "test"}}, "FAILS"),
        ({"start": {"manifest_sha256": "cd" * 32}}, "unknown"),
        ({}, "pass"),
        (None, "unknown"),
    ],
)
def test_the_training_that_an_sn_started_from_did_not_see_the_measured_images(
    tmp_path_factory, check, measured_run, start, state
):
    begun = tmp_path_factory.mktemp("begun") / "sn"
    if start is not None:
        measured_run(begun, **start)
    checks = check(settings={"init_sn": str(begun)})
    assert by_name(checks)["selection on validation only"].state == state


@pytest.mark.parametrize(("annotated", "state"), [(["c.png", "d.png"], "pass"), (["c.png"], "FAILS")])
def test_without_a_common_seed_equally_many_images_are_annotated(check, annotated, state):
    checks = check(seed=1, start={"annotated": annotated})
    assert by_name(checks)["same annotated images"].state == state


def test_early_stopping_is_told_of_the_last_weights(check):
    figures = {"weights": "last", "epoch": 4}
    settings = {"training.early_stopping_patience": 3}
    checks = check({"figures": figures, "settings": settings}, figures=figures, settings=settings)
    assert by_name(checks)["selection on validation only"].found == "last epoch, as val ended it"
