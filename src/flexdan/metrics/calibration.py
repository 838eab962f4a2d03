"""Calibration: whether probabilities are as often right as they say."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from flexdan.config import IGNORE

BINS = 15


def calibration_counts(probabilities: np.ndarray, truth: np.ndarray, bins: int = BINS) -> dict[str, float]:
    """Count the pixels of an image by confidence, which is the probability of the most probable class.

    Args:
        probabilities: float (K, H, W), adding up to 1 over the classes.
        truth: classes, integers (H, W), `IGNORE` where a pixel does not count.
        bins: equal parts of 0..1; each holds its upper end.

    Returns:
        For each bin 0, 1, …: `pixels_0`, `confidence_0`, the sum of their confidence, and `correct_0`, how many of them
        have the right class. They may be added over images.
    """
    counted = truth != IGNORE
    confidence = probabilities.max(0)[counted].astype(np.float64)
    correct = probabilities.argmax(0)[counted] == truth[counted]
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    sums = {
        "pixels": np.bincount(place, minlength=bins),
        "confidence": np.bincount(place, confidence, bins),
        "correct": np.bincount(place, correct, bins),
    }
    return {f"{name}_{number}": float(value) for name, values in sums.items() for number, value in enumerate(values)}


def calibration_metrics(counts: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return how far confidence and accuracy are apart; lower is better.

    Args:
        counts: what `calibration_counts` returned, or arrays (...) of it, or sums over images.

    Returns:
        float64 (...) each: `ece`, the expected calibration error, the mean over pixels of the gap of their bin, and
        `mce`, the largest gap of a bin (Guo et al. 2017, "On calibration of modern neural networks", ICML, eq. 3 and
        5); NaN without a counted pixel.
    """
    pixels, confidence, accuracy = reliability(counts)
    gaps = np.abs(accuracy - confidence)
    total = pixels.sum(0)
    ece = (np.nan_to_num(gaps) * pixels).sum(0) / np.maximum(total, 1)
    return {
        "ece": np.where(total > 0, ece, np.nan),
        "mce": np.where(total > 0, np.nan_to_num(gaps).max(0), np.nan),
    }


def reliability(counts: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels, mean confidence and accuracy of each bin, (bins, ...); NaN where a bin has no pixel."""
    bins = sum(name.startswith("pixels_") for name in counts)
    pixels, confidence, correct = (
        np.array([counts[f"{name}_{number}"] for number in range(bins)], np.float64)
        for name in ("pixels", "confidence", "correct")
    )
    there = np.where(pixels > 0, pixels, np.nan)
    return pixels, confidence / there, correct / there
