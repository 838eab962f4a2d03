import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from tests.report.conftest import make_curve

from flexdan.report.figures import BOTTOM, LEFT, RIGHT, TOP
from flexdan.report.learning_curve import Spread, gains, spreads
from flexdan.report.learning_figures import APART, INSET, count_places, curve_figure, gain_figure, sheet

F1 = "objects.f1.pooled"


def layout(*strategies, counts=(5, 10, 20)):
    return {"title": "F1", "better": "", "strategies": strategies, "counts": counts}


def cell(annotated, *values, strategy="dan"):
    return Spread(strategy=strategy, annotated=annotated, values=dict(enumerate(values)), planned=len(values))


def test_equal_ratios_of_counts_are_equally_far_apart():
    assert list(count_places([5, 10, 20]).values()) == pytest.approx([LEFT + INSET, (LEFT + RIGHT) / 2, RIGHT - INSET])
    assert count_places([7]) == {7: (LEFT + RIGHT) / 2}


def test_the_pieces_of_a_curve():
    figure = curve_figure([cell(5, 0.0, 0.0), cell(10, 0.4, 0.8), cell(20, 1.0)], **layout("dan"))
    assert figure is not None
    left, middle, right = LEFT + INSET, (LEFT + RIGHT) / 2, RIGHT - INSET
    up = {value: BOTTOM + (TOP - BOTTOM) * value for value in (0.0, 0.4, 0.6, 0.8, 1.0)}
    drawing = str(figure.drawing)
    assert (
        f'<path class="line" d="M{left:.1f} {up[0.0]:.1f}L{middle:.1f} {up[0.6]:.1f}L{right:.1f} {up[1.0]:.1f}"/>'
        in drawing
    )
    spread = 0.2 * 2**0.5
    low, high = (BOTTOM + (TOP - BOTTOM) * end for end in (0.6 - spread, 0.6 + spread))
    bar = f"M{middle:.1f} {low:.1f}V{high:.1f}M{middle - 3.5:.1f} {low:.1f}h7M{middle - 3.5:.1f} {high:.1f}h7"
    assert f'<path class="spread" d="{bar}"/>' in drawing
    dots = re.findall(r'class="seed" cx="([\d.]+)" cy="([\d.]+)"', drawing)
    assert [float(y) for _, y in dots] == pytest.approx([up[v] for v in (0.0, 0.0, 0.4, 0.8, 1.0)], abs=0.051)
    assert drawing.count('class="spread"') == 2  # one seed has no deviation
    titles = [title.text for title in ElementTree.fromstring(drawing).iter("title")]
    assert titles == [
        "5 annotated\ndan 0 ± 0 (0, 0)",
        "10 annotated\ndan 0.6 ± 0.2828 (0.4, 0.8)",
        "20 annotated\ndan 1 (1)",
    ]


def test_strategies_stand_beside_each_other():
    cells = [cell(5, 0.5, strategy="supervised"), cell(5, 0.5)]
    figure = curve_figure(cells, **layout("supervised", "dan", counts=(5,)))
    assert figure is not None
    dots = [float(x) for x in re.findall(r'class="seed" cx="([\d.]+)"', figure.drawing)]
    assert dots[1] - dots[0] == pytest.approx(APART)
    assert re.findall(r'<g class="(s\d)">', figure.drawing) == ["s0", "s1"]
    assert figure.names == ["supervised", "dan"]


def test_an_interval_beyond_the_figure_is_cut_and_has_no_end():
    figure = gain_figure([cell(5, 0.01, 0.02)], **layout("supervised", "dan"))  # ± 0.0635
    assert figure is not None
    (bar,) = re.findall(r'class="spread" d="([^"]*)"', figure.drawing)
    ends = [float(end) for end in re.fullmatch(r"M[\d.]+ ([\d.]+)V([\d.]+)(?:M.*)?", bar).groups()]
    assert TOP <= min(ends) <= max(ends) <= BOTTOM
    assert bar.count("h7") == 0
    assert 'class="level"' in figure.drawing  # zero
    assert 'class="line"' not in figure.drawing
    narrow = gain_figure([cell(5, 0.01, 0.0101)], **layout("supervised", "dan"))
    assert narrow is not None
    assert narrow.drawing.count("h7") == 2


def test_labels_of_counts_that_are_close_are_left_out():
    counts = (5, 80, 81, 85)
    figure = curve_figure([cell(count, 0.5) for count in counts], **layout("dan", counts=counts))
    assert figure is not None
    assert re.findall(r'class="across"[^>]*>(\d+)<', figure.drawing) == ["5", "80"]
    assert figure.drawing.count('class="axis"') == 5


def test_scores_that_are_all_zero_have_an_axis_up_to_one():
    figure = curve_figure([cell(5, 0.0)], **layout("dan"))
    assert figure is not None
    assert ">1.0</text>" in figure.drawing
    assert ">-" not in figure.drawing


def test_nothing_is_drawn_of_nothing():
    assert curve_figure([cell(5)], **layout("dan")) is None
    assert gain_figure([], **layout("dan")) is None


def test_all_figures_in_one_file():
    curve = make_curve()
    every = {**layout(*curve.strategies, counts=curve.counts), "title": "F1 <&>"}
    left, right = curve_figure(spreads(curve, F1), **every), gain_figure(gains(curve, F1), **every)
    assert left is not None
    assert right is not None
    text = sheet([[left, right], [replace(left, title="second")]], curve.strategies)
    root = ElementTree.fromstring(text)
    name = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{name}svg"
    texts = [one.text for one in root.iter(f"{name}text")]
    assert texts[:3] == ["supervised", "dan", "dan_without_sigma"]
    assert texts.count("F1 <&>") == 1
    assert "second" in texts
    assert len([one for one in root.iter(f"{name}g") if "translate" in one.get("transform", "")]) == 3
    assert "url(" not in text
    assert "href" not in text
