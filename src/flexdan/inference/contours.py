"""Probabilities of a network that has a class for the contours of objects."""

import numpy as np
import torch
from torch import Tensor


def fold_contours(probabilities: Tensor) -> Tensor:
    """Return the probabilities of the classes alone: each gets its share of that of the contours.

    A contour is shared out among the foreground classes as their own probabilities there are: with one of them, it
    gets all of it.

    Args:
        probabilities: (N, K + 1, H, W) of background, the insides of K - 1 classes, and contours.

    Returns:
        (N, K, H, W), adding up to what was given.
    """
    inside, contours = probabilities[:, 1:-1], probabilities[:, -1:]
    tiny = torch.finfo(probabilities.dtype).tiny  # shares out evenly where no class has a part
    share = (inside + tiny) / (inside + tiny).sum(1, keepdim=True)
    return torch.cat([probabilities[:, :1], inside + contours * share], dim=1)


def most_probable(probabilities: Tensor, contours: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the most probable class of each pixel, its contour counted with it; its probability; where its contour is.

    Of all the K + 1 alike the most probable one would too often be the background: two parts share an object.

    Args:
        probabilities: (N, K, H, W), or (N, K + 1, H, W) with contours.
        contours: whether the last of them is that of contours.

    Returns:
        classes 0..K-1, (N, H, W), their probabilities, alike, and bool (N, H, W), where the contour is more probable
        than the inside.
    """
    if not contours:
        probability, classes = probabilities.max(1)
        return classes, probability, torch.zeros_like(classes, dtype=torch.bool)
    probability, classes = fold_contours(probabilities).max(1)
    inside = probabilities.gather(1, classes[:, None])[:, 0]
    return classes, probability, (classes > 0) & (probability > 2 * inside)


def class_probabilities(probabilities: np.ndarray, contours: bool) -> np.ndarray:
    """Return the probabilities of the classes (K, H, W) of an image, whether or not contours are one more class."""
    return fold_contours(torch.from_numpy(probabilities)[None])[0].numpy() if contours else probabilities
