"""Several networks whose probabilities are averaged: an ensemble (Lakshminarayanan et al., NeurIPS 2017)."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from flexdan.inference.predict import as_logits

Size = tuple[int, int]


class EnsembleMean(nn.Module):
    """The mean of what several networks make of an image, each at the size of its own input.

    The logarithm of the mean of their probabilities is returned, so that softmax gives the mean again.

    Args:
        networks: images (N, C, h, w) to logits (N, K, h, w).
        sizes: height and width of the input of each.
    """

    def __init__(self, networks: Sequence[nn.Module], sizes: Sequence[Size]):
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.sizes = list(sizes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W), which all networks normalise alike, to logits (N, K, H, W)."""
        own = images.shape[2:]
        found = []
        for network, size in zip(self.networks, self.sizes, strict=True):
            same = own == torch.Size(size)
            resized = images if same else interpolate(images, size, mode="bilinear", antialias=True)
            probabilities = network(resized).float().softmax(1)
            found.append(probabilities if same else interpolate(probabilities, tuple(own), mode="bilinear"))
        return as_logits(torch.stack(found).mean(0))


def segment_by_all(segments: Sequence[Callable[[np.ndarray], np.ndarray]], pixels: np.ndarray) -> np.ndarray:
    """Return the mean of the probabilities (K, H, W) that several functions give for an image, uint8 (H, W, C)."""
    return sum((segment(pixels) for segment in segments[1:]), segments[0](pixels)) / np.float32(len(segments))
