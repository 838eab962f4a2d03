import re
from html.parser import HTMLParser

import pytest

from flexdan.report import build_page, read_run
from flexdan.report.page import Picture

EXTERNAL = re.compile(
    r"""(src|href|srcset|action|url)\s*[=(]\s*["']?\s*(https?:|//|\w+\.)|@import|<link|<script|<iframe"""
)
HOSTILE = "<script>alert(1)</script>\"'&{{ 7 * 7 }}"
VOID = ("meta", "img", "br", "link", "input", "hr")


class Balance(HTMLParser):
    """Checks that every element is closed, and keeps the text and the elements."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def parse(page: str) -> Balance:
    parser = Balance()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def test_a_full_page_is_whole_and_needs_nothing_else(folder, evaluation):
    evaluation(folder, images=[("a.png", 0.5), ("b.png", 0.75)])
    picture = Picture(source="data:image/jpeg;base64,AAAA", width=4, height=3, name="a.png", note="Dice 0.5000")
    page = build_page(read_run(folder), pictures={"test": [picture]}, examples={"test": picture})
    parsed = parse(page)
    assert not EXTERNAL.search(page)
    assert parsed.tags.count("svg") == 5  # four curves and the distribution of Dice
    assert parsed.tags.count("img") == 1  # pictures take the place of the examples
    assert "Best epoch 3 of 4: validation IoU 0.7500, Dice 0.8571 (finished)" in parsed.text
    assert "0.2600" in parsed.text
    assert "model_type: ZhengSN" in parsed.text
    assert page.count('<tr class="marked">') == 1


def test_a_page_without_evaluations_says_so(folder):
    text = parse(build_page(read_run(folder))).text
    assert "None yet. flexdan evaluate measures" in text


def test_the_examples_of_an_evaluation_are_shown(folder, evaluation):
    evaluation(folder)
    picture = Picture(source="data:image/jpeg;base64,AAAA", width=4, height=3, name="examples.png", note="")
    assert "Examples, chosen evenly" in parse(build_page(read_run(folder), examples={"test": picture})).text


@pytest.mark.parametrize("count", [1, 2])
def test_a_run_that_goes_on_has_a_page(tmp_path, record, events, count):
    parsed = parse(build_page(read_run(record(tmp_path, events[:count]))))
    assert parsed.tags.count("svg") == (4 if count > 1 else 0)
    assert "still running or stopped" in parsed.text


def test_figures_that_were_never_finite_are_left_out(tmp_path, record, events):
    for event in events[1:5]:
        event |= {"val_loss": None, "train_loss": None}
    assert parse(build_page(read_run(record(tmp_path, events)))).tags.count("svg") == 3


def test_losses_of_other_strategies_are_drawn(tmp_path, record, events):
    events[2]["en_loss"] = 0.25
    parsed = parse(build_page(read_run(record(tmp_path, events))))
    assert parsed.tags.count("svg") == 5
    assert "Further losses" in parsed.text


def test_a_page_of_an_adversarial_run(tmp_path, record, adversarial_events):
    page = build_page(read_run(record(tmp_path, adversarial_events)))
    parsed = parse(page)
    assert not EXTERNAL.search(page)
    assert parsed.tags.count("svg") == 8
    assert "EN healthy in 1 of 2 epochs, saturated in 1. Last, in epoch 4, saturated: " in parsed.text
    assert "Evaluation network (EN) against segmentation network (SN)" in parsed.text
    for state in ("healthy", "saturated"):
        assert f'<span class="state {state}">' in page
        assert f'<rect class="state {state}"' in page
        assert re.search(rf"^.*\.{state} {{ --c: ", page, re.MULTILINE)


def test_a_page_of_an_adversarial_run_before_the_evaluation_network_takes_part(tmp_path, record, adversarial_events):
    parsed = parse(build_page(read_run(record(tmp_path, adversarial_events[:3]))))
    assert parsed.tags.count("svg") == 4
    assert "dan, with the EN from epoch 3 on" in parsed.text
    assert "against segmentation network" not in parsed.text


def test_hostile_names_and_settings_stay_text(tmp_path, record, evaluation, events):
    events[0]["config"]["data"]["manifest"] = HOSTILE
    events[0]["config"]["sn"]["model_type"] = HOSTILE
    events[0] |= {"command": ["flexdan", HOSTILE], "annotated": [HOSTILE], "device": HOSTILE}
    events[1] |= {HOSTILE + "_loss": 1.0, "en_accuracy_annotated": 1.0, "en_health": HOSTILE, "en_advice": HOSTILE}
    events[-1]["reason"] = HOSTILE
    folder = record(tmp_path / HOSTILE.replace("/", ""), events)
    evaluation(folder, images=[(HOSTILE.replace("/", ""), 0.5), ("b.png", 0.5)], split=HOSTILE, manifest=HOSTILE)
    page = build_page(read_run(folder))
    parsed = parse(page)
    assert "script" not in parsed.tags
    assert "<script" not in page
    assert "{{ 7 * 7 }}" in parsed.text
