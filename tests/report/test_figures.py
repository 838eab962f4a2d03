import re
import xml.etree.ElementTree as ElementTree

import pytest

from flexdan.report.figures import (
    BOTTOM,
    LEFT,
    MAX_COLUMNS,
    RIGHT,
    TOP,
    Series,
    epoch_axis,
    histogram,
    line_chart,
    nice_step,
    value_axis,
)

MIDDLE_X, MIDDLE_Y = (LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2


def lines(svg: str) -> list[str]:
    return re.findall(r'class="line" d="([^"]*)"', svg)


def test_points_stand_where_their_values_say():
    svg = line_chart("t", [1, 2, 3], [Series(name="a", values=[0.0, 1.0, 0.5])])
    assert lines(svg) == [f"M{LEFT:.1f} {BOTTOM:.1f}L{MIDDLE_X:.1f} {TOP:.1f}L{RIGHT:.1f} {MIDDLE_Y:.1f}"]


def test_a_missing_value_leaves_a_gap_and_a_lonely_point_a_dot():
    epochs = list(range(1, 41))
    values = [None if epoch in (2, 4) else 1.0 for epoch in epochs]
    svg = line_chart("t", epochs, [Series(name="a", values=values)])
    assert re.sub(r"[-\d. ]", "", lines(svg)[0]) == "MMM" + 35 * "L"
    assert svg.count("<circle") == 2  # epochs 1 and 3; of many epochs the others get none


def test_each_epoch_tells_its_values_and_which_is_the_best():
    svg = line_chart("t", [1, 2], [Series(name="a", values=[0.5, None]), Series(name="b", values=[1.0, 2.0])], 2)
    titles = [title.text for title in ElementTree.fromstring(svg).iter("title")]
    assert titles == ["epoch 1\na 0.5\nb 1", "epoch 2 (best)\na -\nb 2"]
    assert f'class="best" d="M{RIGHT:.1f} {TOP}V{BOTTOM}"' in svg


def test_the_upright_axis_holds_levels_and_what_else_it_must():
    ones = [Series(name="a", values=[0.5, 1.0])]
    svg = line_chart("t", [1, 2], ones, within=(0, 2), levels={"half": 0.5})
    assert lines(svg) == [f"M{LEFT:.1f} {BOTTOM - (BOTTOM - TOP) / 4:.1f}L{RIGHT:.1f} {MIDDLE_Y:.1f}"]
    assert f'class="level" d="M{LEFT} {BOTTOM - (BOTTOM - TOP) / 4:.1f}H{RIGHT}"' in svg
    assert ">half</text>" in svg
    assert lines(line_chart("t", [1, 2], ones, levels={"two": 2.0})) == lines(svg)


def test_states_are_a_band_with_a_piece_for_each_stretch():
    states = {2: "idle", 3: "idle", 5: "healthy"}
    svg = line_chart("t", [1, 2, 3, 4, 5], [Series(name="a", values=[1.0] * 5)], states=states)
    pieces = re.findall(r'class="state (\w+)" x="([\d.]+)" y="2" width="([\d.]+)" height="8"><title>([^<]*)<', svg)
    step = (RIGHT - LEFT) / 4
    found = [(name, float(x), float(width), text) for name, x, width, text in pieces]
    assert found == [
        ("idle", pytest.approx(LEFT + step / 2), pytest.approx(2 * step), "idle, epochs 2 to 3"),
        ("healthy", pytest.approx(RIGHT - step / 2), pytest.approx(step / 2), "healthy, epoch 5"),
    ]


def test_the_state_of_a_single_epoch_fills_the_width():
    svg = line_chart("t", [7], [Series(name="a", values=[1.0])], states={7: "idle"})
    assert f'x="{LEFT:.1f}" y="2" width="{RIGHT - LEFT:.1f}"' in svg


def test_a_curve_that_hides_an_earlier_one_is_dashed():
    values = {"a": [1.0, 2.0], "b": [None, 2.0], "c": [1.0, 3.0]}
    svg = line_chart("t", [1, 2], [Series(name=name, values=points) for name, points in values.items()])
    assert re.findall(r'class="(line[^"]*)"', svg) == ["line", "line twin", "line"]


def test_many_epochs_have_at_most_so_many_columns():
    epochs = list(range(1, 1001))
    svg = line_chart("t", epochs, [Series(name="a", values=[1 / epoch for epoch in epochs])])
    assert svg.count("<title>") == MAX_COLUMNS
    assert lines(svg)[0].count("L") == 999


@pytest.mark.parametrize("values", [[0.5], [0.0], [-1.0], [1e-9], [3e8]])
def test_one_epoch_draws(values):
    svg = line_chart("t", [7], [Series(name="a", values=values)])
    x, y = map(float, re.findall(r"[\d.]+", lines(svg)[0]))
    assert x == pytest.approx(MIDDLE_X)
    assert TOP <= y <= BOTTOM


def test_names_are_escaped():
    svg = line_chart('"><script>', [1], [Series(name="<script>", values=[1.0])])
    assert "<script>" not in svg
    ElementTree.fromstring(svg)


@pytest.mark.parametrize(("span", "step"), [(1, 0.2), (0.3, 0.1), (4.9, 1), (12, 2.5), (0.001, 0.0002), (5, 1)])
def test_steps_are_round_and_few(span, step):
    assert nice_step(span, 5) == pytest.approx(step)


@pytest.mark.parametrize(
    ("values", "low", "high", "labels"),
    [
        ([0.2, 1.0], 0.0, 1.0, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ([0.85, 0.94], 0.84, 0.94, ["0.84", "0.86", "0.88", "0.90", "0.92", "0.94"]),
        ([1000.0, 4000.0], 0.0, 4000.0, ["0", "1,000", "2,000", "3,000", "4,000"]),
        ([-2.0, 2.0], -2.0, 2.0, ["-2", "-1", "0", "1", "2"]),
        ([0.00002, 0.0001], 0.0, 0.0001, ["0", "2e-05", "4e-05", "6e-05", "8e-05", "0.0001"]),
    ],
)
def test_axes_hold_all_values_between_round_ones(values, low, high, labels):
    axis = value_axis(values)
    assert (axis.low, axis.high) == pytest.approx((low, high))
    assert [axis.label(tick) for tick in axis.ticks()] == labels


@pytest.mark.parametrize(("last", "ticks"), [(3, [1, 2, 3]), (30, [5, 10, 15, 20, 25, 30]), (1, [1])])
def test_epochs_have_whole_ticks(last, ticks):
    assert epoch_axis(range(1, last + 1)).ticks() == ticks


def test_histogram_counts_and_puts_one_into_the_last_bin():
    svg = histogram("t", [0.0, 0.3, 0.31, 1.0], bins=10)
    titles = [title.text or "" for title in ElementTree.fromstring(svg).iter("title")]
    assert [int(re.findall(r": (\d+) image", title)[0]) for title in titles] == [1, 0, 0, 2, 0, 0, 0, 0, 0, 1]
    heights = [float(height) for height in re.findall(r'class="bar"[^>]*height="([\d.]+)"', svg)]
    assert heights[3] == pytest.approx(BOTTOM - TOP)
    assert heights[0] == pytest.approx((BOTTOM - TOP) / 2)
