"""Metrics of boundaries: how far the outlines of two masks are from each other.

The boundary of a mask are its pixels with one of their four neighbours outside of it or of the image. Empty sides:
where neither mask has a pixel, the F-score is 1 and distances are 0; where only one has, the F-score is 0 and every
distance the diagonal of the image.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from flexdan.metrics.shapes import pixel_spacing

TOLERANCE = 0.0075  # of the image's diagonal


def surface_counts(
    truth: np.ndarray, segmented: np.ndarray, *, spacing: Sequence[float] | None = None, tolerance: float | None = None
) -> dict[str, float]:
    """Count what the metrics of boundaries need, for one image.

    Args:
        truth: mask, bool (H, W).
        segmented: mask, bool (H, W).
        spacing: height and width of a pixel; None: 1 and 1, so that distances are in pixels.
        tolerance: up to which distance a pixel of one boundary is right, in units of the spacing; None: 0.75 % of the
            image's diagonal (Csurka et al. 2013).

    Returns:
        Numbers that may be added over images but for the last: `*_boundary`: pixels of each side's; `*_boundary_near`:
        those within the tolerance of the other side's; `surface_distance`: sum over both sides' pixels of the distance
        to the other side's; `hd95`.

    Raises:
        ValueError: if the shapes differ.
    """
    if truth.shape != segmented.shape:
        raise ValueError(f"truth is {truth.shape} and segmented {segmented.shape}: both must have the same shape")
    sampling = pixel_spacing(spacing, truth.ndim)
    diagonal = float(np.linalg.norm((np.array(truth.shape) - 1) * sampling))
    near = TOLERANCE * diagonal if tolerance is None else tolerance
    there = np.argwhere(truth | segmented)
    box = tuple(map(slice, there.min(0), there.max(0) + 1)) if len(there) else ()
    edges = [mask[box] & ~_eroded(mask[box]) for mask in (truth, segmented)]
    if len(there) and all(edge.any() for edge in edges):
        forth, back = (
            np.asarray(ndimage.distance_transform_edt(~other, sampling=sampling))[edge]
            for edge, other in (edges, reversed(edges))
        )
    else:
        forth, back = (np.full(int(edge.sum()), diagonal) for edge in edges)
    far = [float(np.percentile(one, 95)) for one in (forth, back) if one.size]
    return {
        "truth_boundary": float(forth.size),
        "truth_boundary_near": float((forth <= near).sum() if back.size else 0),
        "segmented_boundary": float(back.size),
        "segmented_boundary_near": float((back <= near).sum() if forth.size else 0),
        "surface_distance": float(forth.sum() + back.sum()),
        "hd95": max(far, default=0.0),
    }


def surface_metrics(counts: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the metrics of boundaries: of one image from its counts, of many images together from the sums of theirs.

    Args:
        counts: what `surface_counts` returned, or arrays (...) of it.

    Returns:
        float64 (...) each: `boundary_f1`, the harmonic mean of the shares of both boundaries within the tolerance
        (Csurka et al. 2013, "What is a good evaluation measure for semantic segmentation?", BMVC); `asd`, the average
        symmetric surface distance over the pixels of both boundaries (Heimann et al. 2009, IEEE TMI 28); `hd95`, the
        larger of the two 95th percentiles of the distances from one boundary to the other (a ranked Hausdorff distance,
        Huttenlocher et al. 1993, IEEE TPAMI 15), which means nothing for sums of counts. Lower is better for distances.
    """
    of = {name: np.asarray(value, np.float64) for name, value in counts.items()}
    truth, segmented = of["truth_boundary"], of["segmented_boundary"]
    neither = truth + segmented == 0
    recall = of["truth_boundary_near"] / np.maximum(truth, 1)
    precision = of["segmented_boundary_near"] / np.maximum(segmented, 1)
    both = precision + recall
    return {
        "boundary_f1": np.where(neither, 1.0, 2 * precision * recall / np.where(both > 0, both, 1)),
        "asd": of["surface_distance"] / np.maximum(truth + segmented, 1),
        "hd95": of["hd95"],
    }


def _eroded(mask: np.ndarray) -> np.ndarray:
    return np.asarray(ndimage.binary_erosion(mask), bool)
