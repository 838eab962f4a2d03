"""The loss of scores against the formula."""

import math

import pytest
import torch

from flexdan.losses import EN_LOSSES, score_loss


@pytest.mark.parametrize("target", [0.0, 0.1, 1.0])
def test_loss_equals_the_formula(target):
    logits = torch.tensor([[-3.0], [0.0], [2.5]])
    scores = [1 / (1 + math.exp(-value)) for value in logits.flatten().tolist()]
    expected = -sum(target * math.log(score) + (1 - target) * math.log(1 - score) for score in scores) / 3
    assert score_loss(logits, target).item() == pytest.approx(expected, rel=1e-6)


def test_undecided_scores_cost_ln_2_whatever_the_target():
    assert score_loss(torch.zeros(4, 1), 1.0).item() == pytest.approx(math.log(2))
    assert score_loss(torch.zeros(4, 1), 0.1).item() == pytest.approx(math.log(2))


def test_sure_scores_stay_finite_and_half_precision_is_widened():
    loss = score_loss(torch.tensor([[-200.0]], dtype=torch.bfloat16), 1.0)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(200)


def test_gradient():
    logits = torch.randn(3, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: score_loss(values, 1.0), (logits,))


SCORES = torch.tensor([[-3.0], [0.5], [2.0]])


@pytest.mark.parametrize(
    ("name", "known", "unknown", "fool"),
    [
        ("least_squares", (16 + 0.25 + 1) / 6, (9 + 0.25 + 4) / 6, (16 + 0.25 + 1) / 6),
        ("hinge", (4 + 0.5 + 0) / 3, (0 + 1.5 + 3) / 3, -(-3 + 0.5 + 2) / 3),
    ],
)
def test_other_games_by_hand(name, known, unknown, fool):
    loss = EN_LOSSES[name]
    assert loss.known(SCORES, 0.0).item() == pytest.approx(known)
    assert loss.unknown(SCORES, 0.0).item() == pytest.approx(unknown)
    assert loss.fool(SCORES).item() == pytest.approx(fool)


@pytest.mark.parametrize("name", EN_LOSSES)
def test_an_undecided_en_has_the_loss_that_is_said_and_the_players_pull_apart(name):
    """The EN wants more for annotated images and less for unannotated ones, for which the SN wants more."""
    loss = EN_LOSSES[name]
    scores = torch.full((4, 1), loss.limit, requires_grad=True)
    both = loss.known(scores, 0.0) + loss.unknown(scores, 0.0)
    assert both.item() == pytest.approx(loss.undecided)
    assert loss.share(scores).mean().item() == pytest.approx(0.5)
    slopes = [torch.autograd.grad(one, scores)[0].sum().item() for one in (loss.known(scores, 0.0), loss.fool(scores))]
    assert max(slopes) < 0
    assert torch.autograd.grad(loss.unknown(scores, 0.0), scores)[0].sum() > 0


def test_smoothed_squares_aim_between():
    assert EN_LOSSES["least_squares"].known(torch.tensor([0.9]), 0.1).item() == pytest.approx(0)
    assert EN_LOSSES["least_squares"].unknown(torch.tensor([0.1]), 0.1).item() == pytest.approx(0)
