from dataclasses import asdict

import pytest

from flexdan.config import PostprocessingConfig
from flexdan.report import read_run
from flexdan.report.run import Evaluation
from flexdan.report.tables import epoch_table, evaluation_table, health_verdict, outdated, verdict


def test_verdict_names_epoch_and_figures(folder):
    assert verdict(read_run(folder)) == "Best epoch 3 of 4: validation IoU 0.7500, Dice 0.8571 (finished)"


def test_verdict_of_other_metrics_and_of_no_epoch(tmp_path, record, events):
    events[0]["config"]["training"]["best_metric"] = "val_loss"
    assert verdict(read_run(record(tmp_path, events))).startswith("Best epoch by validation loss 4 of 4: ")
    assert verdict(read_run(record(tmp_path, events[:1]))).startswith("No epoch has been measured yet: still running")


def test_health_verdict_counts_states_and_gives_the_last_advice(tmp_path, record, adversarial_events):
    assert health_verdict(read_run(record(tmp_path, adversarial_events))) == (
        "EN healthy in 1 of 2 epochs, saturated in 1. Last, in epoch 4, saturated: "
        "EN right about all, and sure: lower en_lr"
    )
    del adversarial_events[4]["en_advice"]
    adversarial_events[2]["en_health"] = "saturated"
    assert health_verdict(read_run(record(tmp_path, adversarial_events))) == (
        "EN saturated in 2 of 3 epochs, healthy in 1. Last, in epoch 4, saturated"
    )


def test_without_an_evaluation_network_there_is_no_health_verdict(folder):
    assert health_verdict(read_run(folder)) == ""


def test_every_epoch_stands_in_the_table_with_numbers_of_other_strategies_too(tmp_path, record, events):
    events[2]["en_loss"] = 0.25
    events[3]["val_loss"] = None
    table = epoch_table(read_run(record(tmp_path, events)))
    assert list(table.header[:4]) == ["epoch", "training loss", "validation loss", "IoU"]
    assert table.header[-1] == "en loss"
    assert [row[0] for row in table.rows] == ["1", "2", "3", "4"]
    assert [row[-1] for row in table.rows] == ["-", "0.2500", "-", "-"]
    assert [row[2] for row in table.rows] == ["2.0000", "1.0000", "-", "0.5000"]


def test_numbers_of_the_evaluation_network_have_names_and_stand_after_the_others(tmp_path, record, adversarial_events):
    table = epoch_table(read_run(record(tmp_path, adversarial_events)))
    rows = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    assert [row["SN updates"] for row in rows] == ["5", "5", "10", "10"]
    names = list(table.header[table.header.index("sigma") :])
    assert [rows[1][name] for name in names] == ["-"] * len(names)
    assert {name: rows[3][name] for name in names} == {
        "sigma": "0.113",
        "EN accuracy, annotated": "1.0000",
        "EN accuracy, unannotated": "0.9800",
        "EN loss, annotated": "0.2000",
        "EN loss, unannotated": "0.1000",
        "adversarial loss": "2.5000",
        "spread of EN scores": "0.4000",
        "SN gradient, segmentation": "1",
        "SN gradient, adversarial": "0.03",
        "gradient ratio": "0.03",
        "EN gradient": "-",
        "EN learning rate": "0.004",
        "EN health": "saturated",
    }


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


def test_an_evaluation_with_another_post_processing_is_outdated(folder):
    def evaluation(source, **settings):
        values = {"settings": asdict(PostprocessingConfig(**settings)), "source": source, "tuning": None}
        figures = {"epoch": 3, "weights": "last", "postprocessing": values}
        return Evaluation(name="test", figures=figures, images=())

    run = read_run(folder)
    assert outdated(evaluation("default"), run) == ""
    assert "another post-processing" in outdated(evaluation("run", min_size=3), run)
    assert outdated(evaluation("run and options", min_size=3), run) == ""
