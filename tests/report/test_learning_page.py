from dataclasses import replace

import pytest
from tests.report.conftest import make_curve
from tests.report.test_sweep import EXTERNAL, HOSTILE, Page

from flexdan.report.learning_curve import Spread
from flexdan.report.learning_page import (
    UNLIKE,
    both_ways,
    build_learning_page,
    gain_rows,
    gain_verdict,
    gains_table,
    learning_sheet,
    learning_takeaways,
    learning_verdict,
    summary_rows,
    summary_table,
    trial_rows,
)

F1, DISTANCE = "objects.f1.pooled", "objects.object_hausdorff.pooled"


def test_a_page_is_whole_and_needs_nothing_else():
    page = build_learning_page(make_curve(), [F1, DISTANCE])
    found = Page(page)
    assert found.tags.count("figure") == 4
    assert not EXTERNAL.search(page.partition("</style>")[2])
    for text in ("27 of 27 trainings evaluated on test", "Object F1 (pooled)", "less is better", "training.num_epochs"):
        assert text in found.text
    assert "What is missing" not in found.text
    assert UNLIKE not in found.text
    assert page.count('class="line"') == 6


def test_names_and_errors_are_escaped():
    curve = make_curve()
    points = (replace(curve.points[0], scores={}, state="failed", why=HOSTILE), *curve.points[1:])
    found = Page(build_learning_page(replace(curve, name=HOSTILE, note=HOSTILE, points=points), [F1]))
    assert "script" not in found.tags
    assert found.text.count(HOSTILE) == 4  # title, heading, note, what is missing


def test_a_page_of_a_part_says_what_is_missing():
    curve = make_curve()
    points = tuple(one if one.seed == 0 else replace(one, scores={}, state="waiting") for one in curve.points)
    part = replace(curve, points=points)
    found = Page(build_learning_page(part, [F1]))
    assert "9 of 27 trainings evaluated" in found.text
    assert "supervised with 5 annotated, seeds 1, 2: waiting" in found.text
    assert "dan with 5 annotated: too few to tell, " in found.text
    nothing = replace(curve, points=tuple(replace(one, scores={}, state="waiting") for one in points))
    assert "No training is evaluated yet." in Page(build_learning_page(nothing, [F1])).text
    assert learning_sheet(nothing, [F1]).startswith("<svg")
    assert list(summary_rows(nothing)) == []


def test_the_table_of_means():
    table = summary_table(make_curve(), both_ways([F1, DISTANCE]))
    assert table.header[3:] == [*("object F1 (pooled)", "object F1 (mean over images)", "object Hausdorff (pooled)")]
    assert table.rows[0] == ["supervised", "5", "3 of 3", "0.5000 ± 0.0100", "0.2500 ± 0.0050", "50.00 ± 1.00"]


def test_what_an_interval_says():
    curve = make_curve()

    def verdict(score, *values):
        gain = Spread(strategy="dan", annotated=5, values=dict(enumerate(values)), planned=3, against="supervised")
        return gain_verdict(gain, score, curve)

    assert verdict(F1, 0.1, 0.11, 0.12) == "better"
    assert verdict(F1, -0.1, -0.11, -0.12) == "worse"
    assert verdict(DISTANCE, 0.1, 0.11, 0.12) == "worse"
    assert verdict(DISTANCE, -0.1, -0.11, -0.12) == "better"
    assert verdict(F1, 0.1, -0.1, 0.05) == "no clear difference"
    assert verdict(F1, 0.1, 0.11) == "too few to tell"


def test_what_is_gained_in_words():
    lines = learning_takeaways(make_curve(), F1)
    assert lines[0] == (
        "dan with 5 annotated: better, +0.1000 object F1 (pooled) (95 % interval +0.0752 to +0.1248) against "
        "supervised, n = 3"
    )
    assert lines[2].startswith("dan with 40 annotated: no clear difference, 0.0000 object F1 (pooled)")
    table = gains_table(make_curve(), [F1])
    assert table.rows[0] == [
        *("object F1 (pooled)", "dan", "supervised", "5", "3 of 3", "+0.1000", "+0.0752 to +0.1248", "better")
    ]
    assert len(table.rows) == 9


def test_rows_of_the_tables_for_other_programs():
    curve = make_curve()
    trials = list(trial_rows(curve))
    assert len(trials) == 27
    assert trials[0] == {
        **{"trial": 0, "strategy": "supervised", "annotated": 5, "seed": 0, "state": "complete", "split": "test"},
        **{"epoch": 3, "error": "", F1: pytest.approx(0.49), "objects.f1.image_mean": pytest.approx(0.245)},
        DISTANCE: pytest.approx(51.0),
    }
    summary = list(summary_rows(curve))
    assert len(summary) == 9 * 3
    assert summary[0] == {
        **{
            "strategy": "supervised",
            "annotated": 5,
            "metric": "objects.f1",
            "over": "pooled",
            "planned": 3,
            "seeds": 3,
        },
        **{"mean": pytest.approx(0.5), "sd": pytest.approx(0.01)},
        **{"min": pytest.approx(0.49), "max": pytest.approx(0.51)},
    }
    gained = list(gain_rows(curve))
    assert len(gained) == 9 * 3
    assert gained[0] == {
        **{"strategy": "dan", "annotated": 5, "metric": "objects.f1", "over": "pooled", "planned": 3, "pairs": 3},
        **{"against": "supervised", "mean": pytest.approx(0.1), "sd": pytest.approx(0.01)},
        **{"low": pytest.approx(0.0752, abs=1e-4), "high": pytest.approx(0.1248, abs=1e-4)},
    }


def test_the_verdict_counts_what_is_there():
    verdict = learning_verdict(make_curve())
    what = "supervised, dan, dan_without_sigma with 5, 9, 40 annotated images, 3 seeds"
    assert verdict == f"27 of 27 trainings evaluated on test: {what}"
