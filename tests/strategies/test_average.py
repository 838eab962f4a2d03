"""The average of the weights against sums by hand."""

import copy

import pytest
import torch
from torch import nn

from flexdan.strategies import average_share, update_average


def averaged(values: list[float], decay: float, start: int = 0) -> list[float]:
    """The average after each of the updates, which give a weight these values."""
    average, network = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    found = []
    for done, value in enumerate(values):
        nn.init.constant_(network.weight, value)
        update_average(average, network, average_share(done, decay, start))
        found.append(average.weight.item())
    return found


def test_the_exponential_average_is_a_plain_mean_until_its_decay_holds():
    """With a decay of 0.75 the shares are 1, 1/2, 1/3, 1/4, 1/4: the random start is forgotten at once."""
    expected = [4.0, 6.0, 6.0, 0.75 * 6 + 0.25 * 2]
    expected.append(0.75 * expected[-1] + 0.25 * 1)
    assert averaged([4.0, 8.0, 6.0, 2.0, 1.0], decay=0.75) == pytest.approx(expected)


def test_the_plain_mean_begins_at_its_start_and_is_the_network_before():
    assert averaged([4.0, 8.0, 6.0, 2.0, 1.0], decay=1.0, start=2) == pytest.approx([4, 8, 6, 4, 3])


def test_statistics_are_averaged_and_counts_are_copied():
    network = nn.BatchNorm2d(1)
    average = copy.deepcopy(network)
    network(torch.full((2, 1, 2, 2), 10.0))  # momentum 0.1: the running mean is 1
    update_average(average, network, 0.25)
    assert average.running_mean.item() == pytest.approx(0.25)
    assert average.num_batches_tracked.item() == 1
