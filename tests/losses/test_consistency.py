"""Losses without masks, against numbers by hand."""

import math

import pytest
import torch

from flexdan.losses import entropy, entropy_loss, pseudo_label_loss, softmax_mse


def logits_of(*foreground: float) -> torch.Tensor:
    """Logits (1, 2, 1, W) with these probabilities of the foreground."""
    probability = torch.tensor(foreground)
    return torch.stack([1 - probability, probability]).log()[None, :, None]


def test_squared_difference_of_probabilities_over_the_counted_pixels():
    logits, target = logits_of(0.5, 0.9), logits_of(0.8, 0.2).exp()
    every = torch.tensor([[[True, True]]])
    assert softmax_mse(logits, target, every).item() == pytest.approx((0.3**2 + 0.7**2) / 2)
    assert softmax_mse(logits, target, torch.tensor([[[True, False]]])).item() == pytest.approx(0.3**2)
    assert softmax_mse(logits, target, ~every).item() == 0


def test_pixels_that_do_not_count_lower_the_cross_entropy_with_labels():
    logits, labels = logits_of(0.5, 0.9), torch.tensor([[[1, 0]]])
    every = torch.tensor([[[True, True]]])
    found = pseudo_label_loss(logits, labels, every).item()
    assert found == pytest.approx(-(math.log(0.5) + math.log(0.1)) / 2)
    assert pseudo_label_loss(logits, labels, torch.tensor([[[False, True]]])).item() == pytest.approx(
        -math.log(0.1) / 2
    )
    assert pseudo_label_loss(logits, labels, ~every).item() == 0


def test_entropy_is_one_where_all_is_equally_probable_and_nothing_where_it_is_sure():
    assert entropy_loss(torch.zeros(2, 5, 3, 3)).item() == pytest.approx(1)
    assert entropy_loss(logits_of(1.0)).item() == pytest.approx(0)
    half = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1)) / math.log(2)
    assert entropy_loss(logits_of(0.5, 0.9)).item() == pytest.approx((1 + half) / 2)
    assert entropy(logits_of(0.9, 0.0)).flatten().tolist() == pytest.approx([half * math.log(2), 0])


@pytest.mark.parametrize("name", ["softmax_mse", "pseudo_label_loss", "entropy_loss"])
def test_gradients_are_those_of_finite_differences(name):
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    counted = torch.rand(2, 2, 2) < 0.7
    calls = {
        "softmax_mse": lambda x: softmax_mse(x, torch.randn(2, 3, 2, 2).double().softmax(1), counted),
        "pseudo_label_loss": lambda x: pseudo_label_loss(x, torch.ones(2, 2, 2), counted),
        "entropy_loss": entropy_loss,
    }
    target = torch.randn(2, 3, 2, 2).double().softmax(1)
    calls["softmax_mse"] = lambda x: softmax_mse(x, target, counted)
    assert torch.autograd.gradcheck(calls[name], logits)


def test_half_precision_is_widened():
    assert entropy_loss(torch.zeros(1, 2, 1, 1, dtype=torch.bfloat16)).dtype == torch.float32
