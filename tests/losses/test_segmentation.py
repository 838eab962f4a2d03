"""Losses against naive versions and known values."""

import math

import pytest
import torch

from flexdan.config import LossConfig
from flexdan.losses import CRITERIA, build_criterion, cross_entropy, dice_loss, tversky_loss


def example(classes: int = 3, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, classes, 5, 4, generator=generator)
    target = torch.randint(classes, (2, 5, 4), generator=generator)
    target[0, 0, :2] = 255
    return logits, target


def build(name: str):
    return build_criterion(LossConfig(criterion=name))


def test_cross_entropy_equals_the_naive_version():
    logits, target = example()
    total, counted = 0.0, 0
    for n in range(2):
        for row in range(5):
            for column in range(4):
                label = int(target[n, row, column])
                if label != 255:
                    scores = logits[n, :, row, column].double()
                    total += float(torch.log(torch.exp(scores).sum()) - scores[label])
                    counted += 1
    assert cross_entropy(logits, target).item() == pytest.approx(total / counted, rel=1e-6)


def test_dice_equals_the_naive_version():
    logits, target = example()
    shares = logits.double().softmax(1)
    losses = []
    for label in (1, 2):
        overlap = predicted = true = 0.0
        for n in range(2):
            for row in range(5):
                for column in range(4):
                    if target[n, row, column] == 255:
                        continue
                    share = float(shares[n, label, row, column])
                    is_label = float(target[n, row, column] == label)
                    overlap, predicted, true = overlap + share * is_label, predicted + share, true + is_label
        losses.append(1 - (2 * overlap + 1) / (predicted + true + 1))
    assert dice_loss(logits, target).item() == pytest.approx(sum(losses) / 2, rel=1e-5)


def test_class_weights_are_those_of_torch():
    logits, target = example()
    expected = torch.nn.functional.cross_entropy(logits, target, torch.tensor([0.5, 2.0, 3.0]), ignore_index=255)
    torch.testing.assert_close(cross_entropy(logits, target, (0.5, 2, 3)), expected)
    torch.testing.assert_close(cross_entropy(logits, target, (7, 7, 7)), cross_entropy(logits, target))
    assert cross_entropy(logits, torch.full_like(target, 255), (1, 2, 3)).item() == 0


@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.7), (0.8, 0.1)])
def test_tversky_equals_the_naive_version(alpha, beta):
    logits, target = example()
    shares, losses, counted = logits.double().softmax(1).numpy(), [], (target != 255).numpy()
    for label in (1, 2):
        found, true = shares[:, label][counted], (target == label).numpy()[counted]
        overlap = (found * true).sum()
        wrong, missed = (found * (1 - true)).sum(), ((1 - found) * true).sum()
        losses.append(1 - (overlap + 0.5) / (overlap + alpha * wrong + beta * missed + 0.5))
    assert tversky_loss(logits, target, alpha, beta).item() == pytest.approx(sum(losses) / 2, rel=1e-5)
    torch.testing.assert_close(tversky_loss(logits, target, 0.5, 0.5), dice_loss(logits, target))


def test_tversky_weighs_what_is_missed_and_what_is_too_much():
    target = torch.zeros(1, 4, 4, dtype=torch.long)
    target[:, :, :2] = 1
    more, less = target.clone(), target.clone()
    more[:, :, 2], less[:, :, 1] = 1, 0
    sure = [60 * torch.nn.functional.one_hot(one, 2).movedim(-1, 1).float() for one in (more, less)]
    assert tversky_loss(sure[0], target).item() == pytest.approx(1 - 17 / (17 + 2 * 0.3 * 4))
    assert tversky_loss(sure[1], target).item() == pytest.approx(1 - 9 / (9 + 2 * 0.7 * 4))


def test_softmax_is_applied_once():
    """A sure and right answer costs nothing; with two softmaxes it would cost ln(1 + 1/e) = 0.3133."""
    target = torch.zeros(1, 2, 2, dtype=torch.long)
    logits = torch.stack([torch.full((1, 2, 2), 50.0), torch.full((1, 2, 2), -50.0)], dim=1)
    assert cross_entropy(logits, target).item() == pytest.approx(0.0, abs=1e-6)
    undecided = torch.zeros(1, 2, 2, 2)
    assert cross_entropy(undecided, target).item() == pytest.approx(math.log(2))


def test_an_absent_class_that_is_not_predicted_costs_nothing():
    target = torch.zeros(1, 4, 4, dtype=torch.long)
    logits = torch.stack([torch.full((1, 4, 4), 30.0), torch.full((1, 4, 4), -30.0)], dim=1)
    assert dice_loss(logits, target).item() == pytest.approx(0.0, abs=1e-6)
    assert dice_loss(-logits, target).item() == pytest.approx(1 - 1 / 17, rel=1e-5)


@pytest.mark.parametrize("name", CRITERIA)
def test_gradients_are_right_and_ignored_pixels_have_none(name):
    logits, target = example(seed=1)
    logits = logits.double().requires_grad_()
    criterion = build(name)
    criterion(logits, target).backward()
    assert (logits.grad[0, :, 0, :2] == 0).all()
    assert (logits.grad[0, :, 1:] != 0).all()
    assert torch.autograd.gradcheck(lambda logits: criterion(logits, target), logits)


@pytest.mark.parametrize("name", CRITERIA)
@pytest.mark.parametrize(
    ("given", "computed"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_losses_are_computed_in_float32_at_least(name, given, computed):
    logits, target = example(seed=2)
    logits = logits.to(given)
    loss = build(name)(logits, target)
    assert loss.dtype == computed
    assert torch.equal(loss, build(name)(logits.to(computed), target))


@pytest.mark.parametrize("name", CRITERIA)
def test_nothing_to_count_is_no_error(name):
    logits = torch.randn(1, 2, 3, 3, requires_grad=True)
    loss = build(name)(logits, torch.full((1, 3, 3), 255))
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
