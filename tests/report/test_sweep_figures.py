import re

import pytest

from flexdan.config.trials import SweepSummary, Trial
from flexdan.report.effects import effects
from flexdan.report.figures import BOTTOM, TOP
from flexdan.report.sweep_figures import effect_figure, number_column, parallel_figure, robust_axis, shorten, wrap


def sweep(values, metric=None):
    trials = [
        Trial(number=at, state="complete", params={"a": value}, value=(metric or [0.1 * n for n in range(99)])[at])
        for at, value in enumerate(values)
    ]
    return SweepSummary(
        name="s", method="grid", metric="dice", goal="max", parameters={"a": "log"}, trials=tuple(trials)
    )


def test_the_mean_and_its_bar_are_at_their_values():
    summary = sweep([1, 1, 2, 2], [0.2, 0.4, 0.6, 0.8])
    (effect,) = effects(summary)
    up = robust_axis([0.2, 0.4, 0.6, 0.8])
    drawing = effect_figure(effect, "Dice", up)
    marks = [float(y) for y in re.findall(r'class="middle" d="M[\d.]+ ([\d.]+)h', drawing)]
    assert marks == pytest.approx([up.place(0.3), up.place(0.7)], abs=0.051)
    bars = [tuple(map(float, ends)) for ends in re.findall(r'<path d="M[\d.]+ ([\d.]+)V([\d.]+)"/>', drawing)]
    spread = 0.2 / 2**0.5
    assert bars[0] == pytest.approx((up.place(0.3 - spread), up.place(0.3 + spread)), abs=0.051)
    dots = [float(y) for y in re.findall(r'class="trial" cx="[\d.]+" cy="([\d.]+)"', drawing)]
    assert dots == pytest.approx([up.place(value) for value in (0.2, 0.4, 0.6, 0.8)], abs=0.051)
    assert drawing.count(">n = 2<") == 2


def test_values_far_away_are_drawn_at_the_edge():
    metric = [0.70, 0.71, 0.72, 0.73, 0.74, 0.01]
    up = robust_axis(metric)
    assert (up.low, up.high) == pytest.approx((0.70, 0.74))
    (effect,) = effects(sweep([1, 1, 1, 2, 2, 2], metric))
    drawing = effect_figure(effect, "Dice", up)
    outside = re.findall(r'class="trial outside" cx="[\d.]+" cy="([\d.]+)"', drawing)
    assert [float(y) for y in outside] == [BOTTOM]
    assert all(TOP <= float(y) <= BOTTOM for y in re.findall(r'class="middle" d="M[\d.]+ ([\d.]+)h', drawing))
    assert robust_axis([0.5, 0.5, 0.5, 0.5, 0.9]).high == pytest.approx(0.9)  # no spread: all of them are shown


def test_long_labels_are_slanted_and_cut():
    values = [f"a very long name of a value, number {at}" for at in range(25)]
    (effect,) = effects(sweep(values))
    drawing = effect_figure(effect, "Dice", robust_axis([0.0, 1.0]))
    assert drawing.count("rotate(") == 20
    assert ">a very long name of a…<" in drawing


def test_numbers_have_round_ticks():
    column = number_column("a", {0: 1e-5, 1: 0.1, 2: 1e-3}, log=True)
    assert [text for _, text in column.ticks] == ["1e-05", "0.0001", "0.001", "0.01", "0.1"]
    assert column.places[2] == pytest.approx((column.places[0] + column.places[1]) / 2)
    narrow = number_column("a", {0: 0.0021, 1: 0.0049}, log=True)
    assert [text for _, text in narrow.ticks] == ["0.0021", "0.0049"]
    assert len(number_column("a", {0: 3.0, 1: 3.0}, log=False).ticks) > 1


def test_each_trial_is_one_line_through_all_axes_and_the_best_one_is_on_top():
    drawing = parallel_figure(sweep(["x", "y", [1, 2], None], [0.4, 0.3, 0.2, 0.1]))
    assert drawing is not None
    assert re.findall(r"<title>trial (\d)", drawing) == ["3", "2", "1", "0"]
    assert re.findall(r'<g class="q(\d)"', drawing) == ["0", "2", "4", "6"]
    paths = re.findall(r'class="thread" d="(M[^"]*)"', drawing)
    assert all(path.count("L") == 1 for path in paths)
    assert parallel_figure(sweep([1])) is None
    bare = tuple(Trial(number=at, state="complete", params={}, value=0.5) for at in range(3))
    nothing = SweepSummary(name="s", method="random", metric="dice", goal="max", parameters={}, trials=bare)
    assert parallel_figure(nothing) is None


def test_a_trial_without_a_parameter_skips_its_axis():
    full = sweep([1, 2, 3])
    lost = Trial(number=3, state="complete", params={}, value=0.5)
    drawing = parallel_figure(
        SweepSummary(
            name="s", method="grid", metric="dice", goal="max", parameters={"a": ""}, trials=(*full.trials, lost)
        )
    )
    assert drawing is not None
    assert drawing.count('class="thread"') == 4
    assert len(re.findall(r'class="thread" d="M[^L"]*"', drawing)) == 1


def test_names_are_divided_where_they_may_be():
    assert wrap("sn_first_layer_out_channels", 15) == ["sn_first_layer_", "out_channels"]
    assert wrap("optimizer.lr", 11) == ["optimizer.", "lr"]
    assert wrap("0.001 to 0.25", 9) == ["0.001 to", "0.25"]
    assert wrap("a_b_c_d", 2, lines=2) == ["a_", "b…"]
    assert shorten("abcdef", 4) == "abc…"
