import json

import pytest

from flexdan.config import UserError
from flexdan.report import read_run
from flexdan.report.run import best_and_worst


def test_a_finished_run(folder):
    run = read_run(folder)
    assert run.name == "run"
    assert run.best is not None
    assert run.best["epoch"] == 3
    assert (run.num_epochs, run.status, run.evaluations) == (4, "finished", ())


def test_a_run_without_an_end_is_running_or_stopped(tmp_path, record, events):
    run = read_run(record(tmp_path, events[:3]))
    assert run.status == "still running or stopped after epoch 2"
    assert read_run(record(tmp_path, events[:1])).best is None


def test_the_best_epoch_follows_the_metric_and_leaves_out_what_was_not_finite(tmp_path, record, events):
    events[0]["config"]["training"]["best_metric"] = "val_loss"
    events[4]["val_loss"] = None
    best = read_run(record(tmp_path, events)).best
    assert best is not None
    assert best["epoch"] == 3


def test_a_record_that_lacks_facts_can_be_read(tmp_path, record):
    run = read_run(record(tmp_path, [{"event": "start"}, {"event": "epoch", "epoch": 1}]))
    assert run.best is None
    assert run.num_epochs == 1


def test_words_about_the_evaluation_network_are_apart_from_the_numbers(tmp_path, record, adversarial_events):
    run = read_run(record(tmp_path, adversarial_events))
    assert run.health == {3: "healthy", 4: "saturated"}
    assert run.advice == "EN right about all, and sure: lower en_lr"
    assert run.rows[3]["en_grad_norm"] is None
    assert all(isinstance(value, int | float | None) for row in run.rows for value in row.values())


def test_a_run_without_an_evaluation_network_has_no_health(folder):
    run = read_run(folder)
    assert (run.health, run.advice) == ({}, "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "does not begin with the start"),
        ('{"event": "end"}\n', "does not begin with the start"),
        ('{"event": "start"}\n{"event": "epoch"}\n', "an epoch without its number"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path, content, message):
    (tmp_path / "record.jsonl").write_text(content)
    with pytest.raises(UserError, match=message):
        read_run(tmp_path)


def test_evaluations_are_read_with_their_images_from_best_to_worst(folder, evaluation):
    evaluation(folder, "val", images=[("x/low.png", 0.1), ("x/high.png", 0.9), ("x/none.png", "nan")])
    evaluation(folder, "test")
    test, val = read_run(folder).evaluations
    assert (test.name, test.images) == ("test", ())
    assert [(one.image.name, one.dice) for one in val.images] == [("high.png", 0.9), ("low.png", 0.1)]


@pytest.mark.parametrize(("name", "value"), [("split", None), ("network_size", 3), ("full_resolution", {})])
def test_a_broken_evaluation_is_named(folder, evaluation, name, value):
    evaluation(folder)
    path = folder / "evaluation" / "test" / "metrics.json"
    figures = json.loads(path.read_text())
    del figures[name]
    path.write_text(json.dumps(figures if value is None else {**figures, name: value}))
    with pytest.raises(UserError, match=r"metrics\.json is no result of an evaluation .*run `flexdan evaluate` again"):
        read_run(folder)


def test_a_broken_table_of_images_is_named(folder, evaluation):
    evaluation(folder, images=[("a.png", "much")])
    with pytest.raises(UserError, match=r"images\.csv is no table of an evaluation"):
        read_run(folder)


@pytest.mark.parametrize(("limit", "names"), [(3, "abf"), (2, "af"), (1, "a"), (0, ""), (9, "abcdf")])
def test_best_and_worst_come_from_both_ends(folder, evaluation, limit, names):
    dices = zip("abcdf", (0.9, 0.8, 0.7, 0.2, 0.1), strict=True)
    evaluation(folder, images=list(dices))
    images = read_run(folder).evaluations[0].images
    chosen = [one.image.name for one in best_and_worst(images, limit)]
    assert chosen == list(names)
