import pytest

from flexdan.report import read_run
from flexdan.report.tables import epoch_table, evaluation_table, facts, outdated, verdict


def test_verdict_names_epoch_and_figures(folder):
    assert verdict(read_run(folder)) == "Best epoch 3 of 4: validation IoU 0.7500, Dice 0.8571 (finished)"


def test_verdict_of_other_metrics_and_of_no_epoch(tmp_path, record, events):
    events[0]["config"]["training"]["best_metric"] = "val_loss"
    assert verdict(read_run(record(tmp_path, events))).startswith("Best epoch by validation loss 4 of 4: ")
    assert verdict(read_run(record(tmp_path, events[:1]))).startswith("No epoch has been measured yet: still running")


def test_facts_tell_what_was_run(folder):
    told = dict(facts(read_run(folder)))
    expected = {
        "Network": "ZhengSN, 519,744 parameters",
        "Training images": "2 annotated, 5 unannotated (not used by the supervised strategy)",
        "Validation images": "7",
        "Image size": "24 x 32 pixels (height x width)",
        "Precision": "fp32",
        "Device": "cpu: Some CPU, 2 threads",
        "Seed": "3",
        "Started": "2025-03-01 10:00 UTC",
        "Duration": "2 min 0 s of training steps in 4 epochs; 3 min 0 s with validation",
        "Speed": "5.00 images/s in training (median over epochs)",
        "Peak memory": "1,004 MiB of the process",
        "Manifest": f"set.csv, SHA-256 {'ab' * 32}",
        "Code": "git commit c0ffee, with changes that are not committed",
        "Versions": "flexdan 0.1.0, Python 3.11.7, torch 2.9",
        "Command": "flexdan train -o 'my run'",
    }
    assert {name: told[name] for name in expected} == expected


def test_facts_of_gpus_resumed_runs_and_records_that_lack_them(tmp_path, record, events):
    events[0] |= {"device": "cuda:0", "processes": 2}
    events[0]["environment"]["gpus"] = ["Some GPU", "Some GPU"]
    resume = {"event": "resume", "after_epoch": 2}
    told = dict(facts(read_run(record(tmp_path, [*events[:3], resume, *events[3:]]))))
    assert told["Device"] == "cuda:0: Some GPU, 2 processes"
    assert told["Duration"] == "2 min 0 s of training steps in 4 epochs; resumed 1 time"
    assert told["Peak memory"] == "1,004 MiB of the GPU"
    bare = dict(facts(read_run(record(tmp_path, [{"event": "start"}]))))
    assert bare["Seed"] == bare["Speed"] == bare["Image size"] == "-"
    assert bare["Code"] == "an installed package, without a git commit"


def test_every_epoch_stands_in_the_table_with_numbers_of_other_strategies_too(tmp_path, record, events):
    events[2]["en_loss"] = 0.25
    events[3]["val_loss"] = None
    table = epoch_table(read_run(record(tmp_path, events)).rows)
    assert list(table.header[:4]) == ["epoch", "training loss", "validation loss", "IoU"]
    assert table.header[-1] == "en loss"
    assert [row[0] for row in table.rows] == ["1", "2", "3", "4"]
    assert [row[-1] for row in table.rows] == ["-", "0.2500", "-", "-"]
    assert [row[2] for row in table.rows] == ["2.0000", "1.0000", "-", "0.5000"]


def test_evaluation_table_keeps_sizes_and_ways_apart(folder, evaluation):
    evaluation(folder, "test-tta", images=[("a.png", 0.5)], tta=True)
    run = read_run(folder)
    table = evaluation_table(run.evaluations[0], run)
    assert table.title == ("test-tta: split test-tta, 1 image, best weights of epoch 3, averaged over mirror images")
    assert list(table.header) == ["size", "figure", "IoU", "Dice", "accuracy", "precision", "recall"]
    assert [list(row) for row in table.rows] == [
        ["network size, 24 x 32", "pooled over all pixels", "0.1100", "0.1200", "0.1000", "0.1300", "0.1400"],
        ["network size, 24 x 32", "mean over images", "0.1600", "0.1700", "0.1500", "0.1800", "0.1900"],
        ["full resolution", "pooled over all pixels", "0.2100", "0.2200", "0.2000", "0.2300", "0.2400"],
        ["full resolution", "mean over images", "0.2600", "0.2700", "0.2500", "0.2800", "0.2900"],
    ]


def test_several_classes_have_rows_of_their_own(folder, evaluation):
    evaluation(folder, classes=3)
    run = read_run(folder)
    table = evaluation_table(run.evaluations[0], run)
    assert [row[1] for row in table.rows[2:5]] == ["class 0, pooled", "class 1, pooled", "class 2, pooled"]
    assert list(table.rows[2][2:]) == ["0.1000", "0.1000", "-", "0.1000", "0.1000"]
    assert "mean over the classes except the background" in table.note


@pytest.mark.parametrize(("weights", "epoch", "old"), [("best", 3, False), ("best", 2, True), ("last", 2, False)])
def test_an_evaluation_of_an_epoch_that_is_no_longer_the_best_is_told(folder, evaluation, weights, epoch, old):
    evaluation(folder, weights=weights, epoch=epoch)
    run = read_run(folder)
    text = outdated(run.evaluations[0], run)
    assert bool(text) == old
    assert text in evaluation_table(run.evaluations[0], run).note
