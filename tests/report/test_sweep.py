import itertools
import random
import re
from html.parser import HTMLParser

import pytest

from flexdan.config.trials import SweepSummary, Trial
from flexdan.report.effects import effects
from flexdan.report.sweep import build_sweep_page, ranking_table, running_table, sweep_verdict, unfit_table

GIB = 2**30
HOSTILE = "<script>alert(1)</script>\"'&{{ 7 * 7 }}"
EXTERNAL = re.compile(r"""(src|href|srcset|action|url)\s*[=(]|@import|<link|<script|<iframe""")


class Page(HTMLParser):
    """Checks that every element is closed, and keeps the text and the elements."""

    def __init__(self, page):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in ("meta", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def known(number, width, pattern):
    fields = {"params": {"sn_first_layer_out_channels": width, "sn_block_pattern": pattern}, "number": number}
    if width == 64 and pattern == "single_run":
        return Trial(state="infeasible", predicted_peak=20 * GIB, error="needs 20 GiB of 14.76", **fields)
    value = 0.5 + 0.01 * number
    return Trial(
        state="complete",
        value=value,
        epoch=3,
        curve={1: value / 4, 2: value / 2, 3: value},
        seconds=90.0,
        predicted_peak=2 * GIB,
        measured_peak=GIB,
        weights=519744,
        folder=f"trials/{number}",
        **fields,
    )


@pytest.fixture
def summary():
    trials = [
        known(number, *values)
        for number, values in enumerate(itertools.product((16, 32, 64), ("single_run", "double_run")))
    ]
    names = {"sn_first_layer_out_channels": "16, 32, 64", "sn_block_pattern": "single_run, double_run"}
    return SweepSummary(
        name="widths",
        method="grid",
        metric="iou_score",
        goal="max",
        parameters=names,
        trials=(
            *trials,
            Trial(number=6, state="out of memory", params={}, measured_peak=15 * GIB),
            Trial(number=7, state="failed", params={}, error="the file is gone", traceback="Traceback: of 7 and 8"),
            Trial(number=8, state="failed", params={}, error="the file is gone", traceback="Traceback: of 7 and 8"),
            Trial(number=9, state="running", params={}, value=0.9, epoch=1),
            Trial(number=10, state="waiting", params={}),
            Trial(number=11, state="pruned", params={}),
        ),
        memory=round(14.76 * GIB),
        fixed={"training.num_epochs": 3, "data.image_size": [24, 32]},
    )


def test_a_full_page_is_whole_and_needs_nothing_else(summary):
    html = build_sweep_page(summary)
    page = Page(html)
    assert not EXTERNAL.search(html)
    assert "default-src 'none'" in html
    assert page.tags.count("svg") == 4  # two effects, the parallel coordinates, the curves
    assert page.tags.count("h1") == 1
    assert html.count('<tr class="marked">') == 1
    assert "sn_first_layer_out_channels 64: 1 of 2 infeasible or out of memory, against 0 of 4" in page.text
    assert "Best of all: trial 5 (sn_first_layer_out_channels 64, sn_block_pattern double_run): IoU 0.5500" in page.text
    assert "trials 7, 8: the file is gone" in page.text
    assert page.text.count("Traceback: of 7 and 8") == 1
    shares = [one.importance for one in effects(summary)]
    assert len(shares) == 2
    assert all(f"{100 * share:.0f} %" in page.text for share in shares if share is not None)
    assert "[24, 32]" in page.text
    assert "without a value: trials 11." in page.text
    assert all(f"trial {number}: IoU" in page.text for number in (0, 1, 2, 3, 5))


def test_the_verdict_counts_every_trial(summary):
    assert sweep_verdict(summary) == (
        "Best: trial 5, IoU 0.5500 in epoch 3. 5 of 12 trials complete, 1 infeasible, 1 out of memory, 1 pruned, "
        "2 failed, 2 still to do"
    )


def test_the_tables_have_every_number(summary):
    table = ranking_table(summary)
    assert [row[:2] for row in table.rows] == [["1", "5"], ["2", "3"], ["3", "2"], ["4", "1"], ["5", "0"]]
    assert dict(zip(table.header, table.rows[0], strict=True)) == {
        "rank": "1",
        "trial": "5",
        "state": "complete",
        "IoU": "0.5500",
        "epoch": "3",
        "sn_first_layer_out_channels": "64",
        "sn_block_pattern": "double_run",
        "predicted peak, GiB": "2.00",
        "measured peak, GiB": "1.00",
        "weights": "519,744",
        "minutes": "1.5",
        "folder": "trials/5",
    }
    assert [row[:6] for row in running_table(summary).rows] == [["-", "9", "running", "0.9000", "1", "-"]]
    assert [row[:2] + row[-4:] for row in unfit_table(summary).rows] == [
        ["4", "infeasible", "20.00", "-", "14.76", "-"],
        ["6", "out of memory", "-", "15.00", "14.76", "-"],
    ]


def test_the_ranking_follows_the_goal():
    trials = tuple(Trial(number=at, state="complete", params={"a": at}, value=0.1 * at) for at in range(3))
    lower = SweepSummary(name="s", method="grid", metric="val_loss", goal="min", parameters={"a": ""}, trials=trials)
    assert [row[1] for row in ranking_table(lower).rows] == ["0", "1", "2"]
    page = Page(build_sweep_page(lower))
    assert "Best: trial 0, validation loss 0.0000. 3 of 3 trials complete" in page.text
    assert "lower is better" in page.text


def test_a_sweep_that_has_not_begun_has_a_page():
    trials = (Trial(number=0, state="waiting", params={}), Trial(number=1, state="running", params={"a": 1}))
    page = Page(
        build_sweep_page(
            SweepSummary(name="s", method="bayes", metric="dice", goal="max", parameters={"a": "0 to 1"}, trials=trials)
        )
    )
    assert "No trial has a value yet. 0 of 2 trials complete, 2 still to do" in page.text
    assert "There are too few trials to tell." in page.text
    assert "No trial is complete yet." in page.text
    assert "gave nothing" not in page.text
    assert "svg" not in page.tags


def test_an_empty_sweep_and_a_single_trial_have_a_page():
    settings = {"name": "s", "method": "grid", "metric": "dice", "goal": "max", "parameters": {"a": "1"}}
    assert "0 of 0 trials complete" in Page(build_sweep_page(SweepSummary(trials=(), **settings))).text
    alone = Trial(number=0, state="complete", params={"a": [1, 2]}, value=0.5, curve={1: 0.5})
    page = Page(build_sweep_page(SweepSummary(trials=(alone,), **settings)))
    assert page.tags.count("svg") == 2  # the effect and the curve
    assert "[1, 2]" in page.text


def test_hostile_names_and_errors_stay_text():
    trials = (
        Trial(number=0, state="complete", params={HOSTILE: HOSTILE, "n": 1}, value=0.5, curve={1: 0.5}, folder=HOSTILE),
        Trial(number=1, state="complete", params={HOSTILE: [HOSTILE], "n": 2}, value=0.6, predicted_peak=1),
        Trial(number=2, state="failed", params={HOSTILE: HOSTILE}, error=HOSTILE, traceback=HOSTILE),
        Trial(number=3, state="infeasible", params={HOSTILE: 1}, error=HOSTILE),
        Trial(number=4, state="running", params={HOSTILE: HOSTILE}, folder=HOSTILE),
    )
    html = build_sweep_page(
        SweepSummary(
            name=HOSTILE,
            method="grid",
            metric=HOSTILE,
            goal="max",
            parameters={HOSTILE: HOSTILE, "n": ""},
            trials=trials,
            fixed={HOSTILE: HOSTILE},
        )
    )
    page = Page(html)
    assert "<script" not in html
    assert "script" not in page.tags
    assert "{{ 7 * 7 }}" in page.text


def many_trials(count):
    draw = random.Random(0)
    trials = []
    for number in range(count):
        params = {"lr": 10 ** draw.uniform(-5, -1), "weight": draw.random(), "loss": draw.choice(["a", "b", "c"])}
        curve = {epoch: draw.random() for epoch in range(1, 101)}
        trials.append(
            Trial(number=number, state="complete", params=params, value=draw.random(), curve=curve, seconds=1.0)
        )
    names = {"lr": "1e-05 to 0.1, log", "weight": "0 to 1", "loss": "a, b, c"}
    return SweepSummary(name="s", method="random", metric="dice", goal="max", parameters=names, trials=tuple(trials))


def test_a_thousand_trials_make_a_page_of_a_reasonable_size():
    html = build_sweep_page(many_trials(1000))
    page = Page(html)
    assert len(html.encode()) < 3_000_000
    assert html.count('class="thread"') == 300
    assert "the best 300 of 1000 are shown" in page.text
    assert "950 further rows" in page.text
    assert html.count('class="trial"') == 3000
    assert html.count('<g class="s') == 5  # curves


def test_long_tracebacks_and_many_failures_are_cut():
    trials = tuple(
        Trial(number=at, state="failed", params={}, error=f"{at}" * 1000, traceback=f"{at:09}" * 10_000)
        for at in range(100)
    )
    html = build_sweep_page(
        SweepSummary(name="s", method="grid", metric="dice", goal="max", parameters={}, trials=trials)
    )
    assert len(html) < 600_000
    page = Page(html)
    assert page.tags.count("pre") == 20
    assert "And 50 further errors." in page.text
