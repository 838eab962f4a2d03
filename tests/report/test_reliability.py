import re
import xml.etree.ElementTree as ElementTree

import pytest

from flexdan.report.figures import BOTTOM, TOP
from flexdan.report.reliability import reliability_chart, reliability_picture

CALIBRATION = {
    "pooled": {"ece": 0.1, "mce": 0.2},
    "bins": {"pixels": [0.0, 10.0, 30.0], "confidence": [None, 0.5, 0.9], "accuracy": [None, 0.75, 1.0]},
}


def heights(svg, kind):
    return [float(height) for height in re.findall(rf'class="{kind}"[^>]* width="[\d.]+" height="([\d.]+)"', svg)]


def test_bars_are_as_high_as_accuracy_and_share_say():
    svg = reliability_chart(CALIBRATION)
    full = BOTTOM - TOP
    assert heights(svg, "bar")[:2] == pytest.approx([0.75 * full, full], abs=0.1)
    assert heights(svg, "share")[:2] == pytest.approx([0.25 * full, 0.75 * full], abs=0.1)
    assert "confidence 0.500: right 0.750, 25.0 % of the pixels" in svg


def test_the_picture_is_a_file_of_its_own():
    tree = ElementTree.fromstring(reliability_picture(CALIBRATION))
    assert tree.tag == "{http://www.w3.org/2000/svg}svg"
    assert (tree.get("width"), tree.get("viewBox")) == ("720", "0 0 480 260")
    assert tree[0].tag.endswith("style")


def test_nothing_counted_is_an_empty_diagram():
    nothing = {"pooled": {}, "bins": {"pixels": [0.0], "confidence": [None], "accuracy": [None]}}
    assert "hit" not in reliability_chart(nothing)
