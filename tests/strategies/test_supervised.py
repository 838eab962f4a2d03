"""The supervised step against a naive version."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from flexdan.losses import cross_entropy
from flexdan.strategies import NonFiniteLossError, supervised_step


def parts(seed: int = 0):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    images, targets = torch.randn(2, 3, 8, 8), torch.randint(2, (2, 8, 8))
    return network, torch.optim.Adam(network.parameters(), lr=0.01), images, targets


def step(network, optimizer, images, targets, **more):
    return supervised_step(network, optimizer, images, targets, criterion=cross_entropy, autocast=nullcontext, **more)


def test_a_step_equals_the_naive_version():
    network, optimizer, images, targets = parts()
    naive, naive_optimizer, _, _ = parts()
    for _ in range(3):
        losses = step(network, optimizer, images, targets)
        naive_optimizer.zero_grad()
        loss = F.cross_entropy(naive(images), targets)
        loss.backward()
        naive_optimizer.step()
        assert losses == {"train_loss": pytest.approx(loss.item(), rel=1e-6)}
    for ours, theirs in zip(network.state_dict().values(), naive.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


def test_gradients_accumulate_until_the_update():
    network, optimizer, images, targets = parts()
    before = [parameter.clone() for parameter in network.parameters()]
    step(network, optimizer, images, targets, accumulate=2, update=False)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    first = network[3].weight.grad.clone()
    step(network, optimizer, images, targets, accumulate=2, update=True)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(torch.equal(a, b) for a, b in zip(before[-1:], list(network.parameters())[-1:], strict=True))
    whole, _, _, _ = parts()
    F.cross_entropy(whole(images), targets).backward()
    torch.testing.assert_close(2 * first, whole[3].weight.grad)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_changes_no_weight(poison):
    network, optimizer, images, targets = parts()
    before = [parameter.clone() for parameter in network.parameters()]
    images[0, 0, 0, 0] = poison
    with pytest.raises(NonFiniteLossError, match="training loss is"):
        step(network, optimizer, images, targets)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in network.parameters())
