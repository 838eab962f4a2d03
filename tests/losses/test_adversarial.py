"""The loss of scores against the formula."""

import math

import pytest
import torch

from flexdan.losses import score_loss


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
