"""The verdict on the evaluation network, on constructed cases."""

import math

import pytest

from flexdan.strategies import gradient_ratio, judge_health
from flexdan.strategies.health import UNDECIDED

HEALTHY = {
    "en_accuracy_annotated": 0.7,
    "en_accuracy_unannotated": 0.8,
    "en_loss_annotated": 0.5,
    "en_loss_unannotated": 0.5,
    "en_score_spread": 0.2,
    "sn_grad_norm_segmentation": 2.0,
    "sn_grad_norm_adversarial": 0.5,
}


@pytest.mark.parametrize(
    ("changes", "state", "advice"),
    [
        ({}, "healthy", "70% of annotated, 80% of unannotated"),
        (  # the SN has caught up: the EN guesses, but looks
            {"en_accuracy_annotated": 0.5, "en_accuracy_unannotated": 0.5, "en_loss_annotated": math.log(2)},
            "healthy",
            "50%",
        ),
        (
            {
                "en_accuracy_annotated": 1.0,
                "en_accuracy_unannotated": 0.99,
                "en_loss_annotated": 0.01,
                "en_loss_unannotated": 0.02,
                "en_score_spread": 0.49,
            },
            "saturated",
            "lower en_lr",
        ),
        ({"en_accuracy_annotated": 1.0, "en_accuracy_unannotated": 1.0}, "healthy", "100%"),  # right, but not sure
        (  # says the same to everything
            {"en_accuracy_annotated": 1.0, "en_accuracy_unannotated": 0.0, "en_score_spread": 0.001},
            "collapsed",
            "all scores alike",
        ),
        (  # certain, and wrong
            {
                "en_accuracy_annotated": 0.4,
                "en_accuracy_unannotated": 0.5,
                "en_loss_annotated": 2.0,
                "en_loss_unannotated": 1.0,
            },
            "collapsed",
            "2.2 times that of an undecided one",
        ),
        ({"sn_grad_norm_adversarial": 0.01}, "idle", "raise sigma"),
        (  # an EN that wins since nobody plays against it
            {
                "en_accuracy_annotated": 1.0,
                "en_accuracy_unannotated": 1.0,
                "en_loss_annotated": 0.01,
                "en_loss_unannotated": 0.01,
                "sn_grad_norm_adversarial": 1e-4,
            },
            "idle",
            "raise sigma",
        ),
        ({"sn_grad_norm_segmentation": 0.0}, "healthy", ""),
    ],
)
def test_verdicts(changes, state, advice):
    health = judge_health(HEALTHY | changes)
    assert health.state == state
    assert advice in health.advice


@pytest.mark.parametrize(("frozen", "advice"), [("none", "lower en_lr"), ("sn", "init_en"), ("en", "lower sigma")])
def test_advice_names_what_can_be_changed(frozen, advice):
    sure = {"en_accuracy_annotated": 1.0, "en_accuracy_unannotated": 1.0, "en_loss_annotated": 0.0}
    assert advice in judge_health(HEALTHY | sure | {"en_loss_unannotated": 0.0}, frozen).advice
    wrong = {"en_accuracy_annotated": 0.1, "en_accuracy_unannotated": 0.2}
    assert ("the SN is ahead" in judge_health(HEALTHY | wrong, frozen).advice) == (frozen != "sn")


def test_a_frozen_sn_is_not_called_idle():
    frozen = {name: value for name, value in HEALTHY.items() if not name.startswith("sn_")}
    assert judge_health(frozen).state == "healthy"
    assert gradient_ratio(frozen) is None


def test_ratio_of_the_terms_and_the_loss_of_undecided_scores():
    assert gradient_ratio(HEALTHY) == 0.25
    assert gradient_ratio(HEALTHY | {"sn_grad_norm_segmentation": 0.0}) == math.inf
    assert pytest.approx(1.3862944) == UNDECIDED
