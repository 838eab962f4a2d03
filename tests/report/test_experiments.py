"""The table of an experiment, from outcomes with known numbers."""

from flexdan.report.experiments import Outcome, experiment_table, write_table


def outcome(name="dan", seed=0, last=0.5, **more) -> Outcome:
    rows = ({"epoch": 1, "iou_score": 0.6, "dice": 0.7, "sn_updates": 3},
            {"epoch": 2, "iou_score": last, "dice": last + 0.1, "sn_updates": 3})  # fmt: skip
    facts = {"status": "trained", "why": "", "seconds": 12.0, "rows": rows, "best": rows[0], "health": {}}
    return Outcome(name=name, seed=seed, **(facts | more))


def cells(table, name) -> dict[str, str]:
    return dict(zip(table.header, next(row for row in table.rows if row[0] == name), strict=True))


def test_several_seeds_give_mean_spread_and_paired_differences():
    outcomes = [outcome("supervised", 0, last=0.5), outcome("supervised", 1, last=0.7)]
    outcomes += [outcome("dan", 0, last=0.6, health={"healthy": 2}), outcome("dan", 1, last=0.72, health={"idle": 2})]
    table = experiment_table("An experiment", outcomes)
    found = cells(table, "dan")
    assert found["seeds"] == "2 of 2"
    assert found["IoU, last epoch"] == "0.6600 ± 0.0849"
    assert found["Dice, last epoch"] == "0.7600 ± 0.0849"
    assert found["IoU, best epoch"] == "0.6000 ± 0.0000"
    assert found["IoU, last epoch, minus supervised"] == "+0.0600 ± 0.0566"  # of +0.10 and +0.02
    assert found["SN updates"] == "6"
    assert found["EN health by epoch"] == "healthy 2, idle 2"
    assert cells(table, "supervised")["EN health by epoch"] == "-"
    assert "over 2 seeds" in table.note


def test_what_failed_says_why_and_counts_for_nothing():
    lost = {"status": "failed", "why": "the training loss is nan", "rows": (), "best": None}
    table = experiment_table("An experiment", [outcome(seed=0), outcome(seed=1, **lost), outcome("x", **lost)])
    assert cells(table, "dan")["seeds"] == "1 of 2"
    assert cells(table, "dan")["IoU, last epoch"] == "0.5000"
    assert cells(table, "dan")["note"] == "failed: the training loss is nan"
    assert cells(table, "x")["IoU, last epoch"] == "-"
    assert not any("minus" in name for name in table.header)
    assert outcome("x", **lost).text == "failed: the training loss is nan"


def test_one_line_for_each_outcome():
    line = outcome(health={"healthy": 3, "saturated": 1}).text
    assert line == "trained: validation IoU 0.6000, Dice 0.7000 in epoch 1, EN healthy 3, saturated 1, 12 s"


def test_the_table_is_markdown(tmp_path):
    lost = {"status": "failed", "why": "a | b", "rows": (), "best": None}
    text = write_table(experiment_table("Title", [outcome(**lost)]), tmp_path / "table.md")
    assert (tmp_path / "table.md").read_text() == text + "\n"
    title, _, header, rule, row, *_ = text.splitlines()
    assert title == "Title"
    assert header.count("|") == rule.count("|") == row.count("|")


def test_numbers_come_from_the_record(record, events, tmp_path):
    events[2] |= {"en_health": "saturated", "en_advice": "lower en_lr", "sn_updates": 7}
    events[3] |= {"en_health": "healthy", "en_advice": "", "sn_updates": 7}
    folder = record(tmp_path / "run", events)
    found = Outcome.read("dan", 3, folder, "done before", "", 0.0)
    assert found.health == {"saturated": 1, "healthy": 1}
    assert (found.best["iou_score"], found.rows[-1]["iou_score"], found.updates) == (0.75, 0.6, 14)
    assert Outcome.read("dan", 3, folder, "failed", "why", 0.0).rows == ()
    assert Outcome.read("dan", 3, tmp_path / "none", "left out", "why", 0.0).best is None
