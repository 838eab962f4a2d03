import math
import re

import pytest

from flexdan.report import read_run
from flexdan.report.curves import en_figures, epoch_figures
from flexdan.report.figures import BOTTOM, TOP


def test_a_supervised_run_has_four_figures_and_none_of_an_evaluation_network(folder):
    run = read_run(folder)
    assert [figure.title for figure in epoch_figures(run)] == [
        "Loss",
        "Validation: IoU, Dice, accuracy",
        "Learning rate",
        "Speed of training",
    ]
    assert epoch_figures(run)[2].names == ["learning rate"]
    assert en_figures(run) == []


def test_an_adversarial_run_shows_both_networks(tmp_path, record, adversarial_events):
    run = read_run(record(tmp_path, adversarial_events))
    assert {figure.title: list(figure.names) for figure in en_figures(run)} == {
        "EN accuracy": ["annotated", "unannotated"],
        "EN losses": ["EN, annotated", "EN, unannotated", "SN, adversarial"],
        "Gradient norms of the SN": ["segmentation term", "EN's term, with sigma"],
        "Sigma": ["sigma"],
    }
    assert [list(figure.states) for figure in en_figures(run)] == [["healthy", "saturated"], [], [], []]
    assert {figure.title: list(figure.names) for figure in epoch_figures(run)}["Learning rate"] == [
        "learning rate",
        "EN learning rate",
    ]
    assert "Further losses" not in [figure.title for figure in epoch_figures(run)]


def test_curves_of_the_evaluation_network_begin_where_it_takes_part(tmp_path, record, adversarial_events):
    accuracy, losses, *_ = en_figures(read_run(record(tmp_path, adversarial_events)))
    assert "epoch 2\nannotated -\nunannotated -<" in accuracy.drawing
    assert "epoch 4\nannotated 1\nunannotated 0.98<" in accuracy.drawing
    assert "epoch 3 (best)\nEN, annotated 0.7\nEN, unannotated 0.6\nSN, adversarial 0.9<" in losses.drawing


def test_accuracy_reaches_from_0_to_1_and_losses_have_a_level_at_ln_2(tmp_path, record, adversarial_events):
    accuracy, losses, *_ = en_figures(read_run(record(tmp_path, adversarial_events)))
    heights = [float(y) for y in re.findall(r'class="line" d="M[\d.]+ ([\d.]+)L', accuracy.drawing)]
    assert heights == pytest.approx([BOTTOM - share * (BOTTOM - TOP) for share in (0.5, 0.75)])
    level = float(re.findall(r'class="level" d="M\d+ ([\d.]+)H', losses.drawing)[0])
    assert level == pytest.approx(BOTTOM - math.log(2) / 2.5 * (BOTTOM - TOP), abs=0.06)  # the axis ends at 2.5


def test_numbers_that_a_frozen_network_lacks_are_left_out(tmp_path, record, adversarial_events):
    for event in adversarial_events:
        for name in ("sn_grad_norm_segmentation", "sn_grad_norm_adversarial", "adversarial_loss"):
            event.pop(name, None)
    figures = {
        figure.title: list(figure.names) for figure in en_figures(read_run(record(tmp_path, adversarial_events)))
    }
    assert figures["EN losses"] == ["EN, annotated", "EN, unannotated"]
    assert "Gradient norms of the SN" not in figures
