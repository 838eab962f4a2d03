"""Two small networks and a mixed batch."""

import pytest
import torch
from torch import nn

from flexdan.losses import cross_entropy
from flexdan.strategies import Batch, Means, Player, Players


def sn(channels: int = 3, classes: int = 2) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(channels, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Conv2d(4, classes, 1, bias=False),
    )


def en(channels: int, size: int = 8) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(channels, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(6 * size * size, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1)),
    )


def player(network: nn.Module, lr: float = 0.01) -> Player:
    return Player(network=network, bare=network, optimizer=torch.optim.Adam(network.parameters(), lr=lr))


@pytest.fixture
def make():
    """Return a function that makes players and batches from a seed: equal calls give equal weights and images."""

    def make(en_channels: int = 4, classes: int = 2, seed: int = 0, batches: int = 1, norm: bool = True):
        torch.manual_seed(seed)
        networks = sn(3, classes), en(en_channels)
        if not norm:
            for network in networks:
                for place, module in list(network.named_children()):
                    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                        setattr(network, place, nn.Identity())
        made = [
            Batch(
                images=torch.randn(3, 3, 8, 8),
                targets=torch.randint(classes, (3, 8, 8)),
                unannotated=torch.randn(2, 3, 8, 8) + 0.5,
            )
            for _ in range(batches)
        ]
        return Players(sn=player(networks[0]), en=player(networks[1])), made, Means(criterion=cross_entropy)

    return make
