"""The mean of several networks."""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate

from flexdan.inference import EnsembleMean, segment_by_all


def test_the_mean_of_probabilities_each_at_its_own_size():
    torch.manual_seed(0)
    networks = [nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(3, 2, 1)]
    images = torch.randn(2, 3, 8, 12)
    with torch.no_grad():
        small = interpolate(images, (4, 6), mode="bilinear", antialias=True)
        second = interpolate(networks[1](small).softmax(1), (8, 12), mode="bilinear")
        expected = (networks[0](images).softmax(1) + second) / 2
        found = EnsembleMean(networks, [(8, 12), (4, 6)])(images).softmax(1)
        alone = EnsembleMean(networks[:1] * 2, [(8, 12)] * 2)(images).softmax(1)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(alone, networks[0](images).softmax(1))


def test_the_mean_of_results_is_that_of_all():
    pixels = np.full((2, 2, 1), 3, np.uint8)
    segments = [lambda image, factor=factor: (factor * image[None, ..., 0]).astype(np.float32) for factor in (1, 2, 6)]
    found = segment_by_all(segments, pixels)
    assert found.dtype == np.float32
    assert np.array_equal(found, np.full((1, 2, 2), 9))
