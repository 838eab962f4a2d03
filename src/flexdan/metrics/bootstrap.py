"""Bootstrap over images: how far a figure would move with other images of the same kind."""

from collections.abc import Sequence

import numpy as np

RESAMPLES = 2000


def resample(num_images: int, resamples: int = RESAMPLES, seed: int = 0, groups: Sequence[str] = ()) -> np.ndarray:
    """Draw images with replacement, as many as there are (Efron and Tibshirani 1993, chapter 6).

    Args:
        num_images: N.
        resamples: B, how often.
        seed: of the draw.
        groups: the group of each image, such as its patient: then whole groups are drawn, as many as there are, since
            images of a group are alike; an image without one ("") is a group of its own. Empty: single images are
            drawn.

    Returns:
        float64 (B, N): how often each image was drawn.
    """
    names = [group or f"\0{number}" for number, group in enumerate(groups)] or list(range(num_images))
    kinds, member = np.unique(np.array(names), return_inverse=True)
    drawn = np.random.default_rng(seed).multinomial(len(kinds), np.full(len(kinds), 1 / len(kinds)), size=resamples)
    return drawn[:, member].astype(np.float64)


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of resampled figures; NaN if one of them is.

    Args:
        values: (B,).
        level: the share of the figures that lie inside.
    """
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
