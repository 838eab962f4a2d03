"""The supervised step against a naive version."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from flexdan.losses import cross_entropy
from flexdan.strategies import Batch, Means, NonFiniteLossError, Player, Players, supervised_step


def parts(seed: int = 0):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    images, targets = torch.randn(2, 3, 8, 8), torch.randint(2, (2, 8, 8))
    return network, torch.optim.Adam(network.parameters(), lr=0.01), images, targets


def step(network, optimizer, *batches, **more):
    players = Players(sn=Player(network=network, bare=network, optimizer=optimizer))
    batches = [Batch(images=images, targets=targets) for images, targets in batches]
    return supervised_step(players, batches, Means(criterion=cross_entropy, **more))


def test_a_step_equals_the_naive_version():
    network, optimizer, images, targets = parts()
    naive, naive_optimizer, _, _ = parts()
    for _ in range(3):
        losses = step(network, optimizer, (images, targets))
        naive_optimizer.zero_grad()
        loss = F.cross_entropy(naive(images), targets)
        loss.backward()
        naive_optimizer.step()
        assert losses == {"train_loss": pytest.approx(loss.item(), rel=1e-6), "sn_updates": 1}
    for ours, theirs in zip(network.state_dict().values(), naive.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


def test_gradients_of_several_batches_make_one_update():
    _, _, images, targets = parts()
    linear, whole = (nn.Conv2d(3, 2, 1) for _ in range(2))  # without batch norm the batches do not see each other
    whole.load_state_dict(linear.state_dict())
    optimizer, naive = (torch.optim.SGD(network.parameters(), lr=0.1) for network in (linear, whole))
    synced = []

    class NoSync:
        def __init__(self, network):
            assert network is linear

        def __enter__(self):
            synced.append("not yet")

        def __exit__(self, *error):
            pass

    losses = step(linear, optimizer, *zip(images.split(1), targets.split(1), strict=True), no_sync=NoSync)
    loss = F.cross_entropy(whole(images), targets)
    loss.backward()
    naive.step()
    assert losses["train_loss"] == pytest.approx(loss.item(), rel=1e-6)
    torch.testing.assert_close(linear.weight, whole.weight)
    assert synced == ["not yet"]  # in the first of two passes
    assert linear.weight.grad is None


def test_a_limit_scales_the_gradients_down():
    network, _, images, targets = parts()
    before = [parameter.clone() for parameter in network.parameters()]
    step(network, torch.optim.SGD(network.parameters(), lr=1.0), (images, targets), max_grad_norm=0.01)
    change = torch.stack([(a - b).norm() for a, b in zip(before, network.parameters(), strict=True)]).norm()
    assert change.item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_changes_no_weight(poison):
    network, optimizer, images, targets = parts()
    before = [parameter.clone() for parameter in network.parameters()]
    images[0, 0, 0, 0] = poison
    with pytest.raises(NonFiniteLossError, match="training loss is"):
        step(network, optimizer, (images, targets))
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in network.parameters())
