"""Metrics of objects: counts of each image first, then pure functions of counts.

The measures of the GlaS challenge are those of Sirinukunwattana et al. 2017 ("Gland segmentation in colon histology
images: the GlaS challenge contest", Medical Image Analysis 35:489-502, the section on evaluation; the challenge's page,
glas.grand-challenge.org/Evaluation, has the same). With S_i a segmented object and G_i the true object that it shares
most pixels with, G~_j a true object and S~_j the segmented object that it shares most with:

    TP: segmented objects with |S_i and G_i| >= |G_i| / 2;  FP: the others;  FN: true objects without such an object
    Precision = TP / (TP + FP),  Recall = TP / (TP + FN),  F1 = 2 Precision Recall / (Precision + Recall)
    Dice(G, S) = 2 |G and S| / (|G| + |S|)
    Dice_object = 1/2 [ sum_i w_i Dice(G_i, S_i) + sum_j w~_j Dice(G~_j, S~_j) ]
    w_i = |S_i| / sum_m |S_m|,  w~_j = |G~_j| / sum_m |G~_m|
    H(G, S) = max( sup_{x in G} inf_{y in S} |x - y|,  sup_{y in S} inf_{x in G} |x - y| )
    H_object = 1/2 [ sum_i w_i H(G_i, S_i) + sum_j w~_j H(G~_j, S~_j) ]

In H_object, an object that shares no pixel is compared with the object of the other side that is nearest by H.

The sums run over the objects of all images of a part: that is what adding up the counts of its images gives, and the
challenge's own figure. Counts of one image give what many papers then average over images. The two are never mixed
here.

Empty sides: where neither side has an object, everything is right (ratios 1, distances 0). Where only one side has, all
of its objects are wrong: ratios 0, and the Hausdorff distance of each is the diagonal of the image, the longest there
is.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flexdan.metrics.overlap import Pair

AP_THRESHOLDS = (50, 55, 60, 65, 70, 75, 80, 85, 90)  # IoU in percent


def object_counts(
    truth: np.ndarray, segmented: np.ndarray, *, spacing: Sequence[float] | None = None, distances: bool = True
) -> dict[str, float]:
    """Count what the metrics of objects need, for one image.

    The counterpart of an object is the object of the other side that it shares most pixels with (the smaller label of
    equals). A segmented object that covers at least half of its counterpart is a true positive.

    Args:
        truth: labels, integers (H, W): 0 is background, every other value one object; up to 2^31 and beyond, gaps
            allowed.
        segmented: labels (H, W).
        spacing: height and width of a pixel, for distances; None: 1 and 1, so that distances are in pixels.
        distances: whether to measure Hausdorff distances; without, their sums are NaN.

    Returns:
        Numbers that may be added over images; `truth_` and `segmented_` are the sides:
        `truth_objects`, `segmented_objects`; `true_positives`: segmented objects that are; `detected`: true objects
        that have one; `*_area` in pixels; `*_area_dice`, `*_area_hausdorff`: sums over the side's objects of area times
        Dice, or Hausdorff distance, to the counterpart, and where there is none, 0, or the least Hausdorff distance to
        any object; `intersection`: pixels in objects of both; `aji_intersection`, `aji_union`: those of Kumar et al.;
        `pq_matches`, `pq_iou`: pairs with IoU above 0.5 and their sum of IoU; `matches_50` … `matches_90`: pairs with
        at least that IoU in percent, one to one.

    Raises:
        ValueError: if the shapes differ, or labels are not whole numbers from 0 on.
    """
    pair = Pair(truth, segmented, spacing)
    counts: dict[str, float] = {
        "truth_objects": pair.truth.count,
        "segmented_objects": pair.segmented.count,
        **_detection(pair),
        "intersection": int(pair.pixels.sum()),
    }
    for name, side, swapped in (("truth", pair.truth, False), ("segmented", pair.segmented, True)):
        counts[f"{name}_area"] = int(side.areas.sum())
        counts[f"{name}_area_dice"] = float(_dice(pair, swapped) @ side.areas)
        counts[f"{name}_area_hausdorff"] = (
            float(_hausdorff(pair, swapped) @ side.areas) if distances else np.nan if side.count else 0.0
        )
    return {name: float(value) for name, value in (counts | _aji(pair) | _matches(pair)).items()}


def object_metrics(counts: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the metrics of objects: of one image from its counts, of many images together from the sums of theirs.

    Args:
        counts: what `object_counts` returned, or arrays (...) of it.

    Returns:
        float64 (...) each. Of Sirinukunwattana et al. 2017, see above: `f1`, `precision` and `recall` of the detection,
        `object_dice`, and `object_hausdorff` (lower is better). Further `panoptic_quality` and its factors,
        `segmentation_quality` and `recognition_quality` (Kirillov et al. 2019, CVPR, eq. 1 and 2); `aji`, the
        aggregated Jaccard index (Kumar et al. 2017, IEEE TMI 36, its algorithm); `ap50` … `ap90`, average precision at
        an IoU of at least 0.5, 0.55, … 0.9, TP / (TP + FP + FN), and `ap`, their mean (as the 2018 Data Science Bowl,
        Caicedo et al. 2019, Nature Methods 16, which goes up to 0.95 and asks for more than the IoU); `dice` and `iou`
        of the pixels in any object.
    """
    of = {name: np.asarray(value, np.float64) for name, value in counts.items()}
    truth, segmented = of["truth_objects"], of["segmented_objects"]
    areas = of["truth_area"] + of["segmented_area"]
    missed = truth - of["detected"]
    precision = _ratio(of["true_positives"], segmented, truth)
    recall = _ratio(of["true_positives"], of["true_positives"] + missed, segmented)
    quality = _ratio(of["pq_matches"], (truth + segmented) / 2)
    similarity = _ratio(of["pq_iou"], of["pq_matches"], truth + segmented)
    at = {f"ap{level}": _average_precision(of[f"matches_{level}"], truth, segmented) for level in AP_THRESHOLDS}
    return {
        "f1": _ratio(2 * precision * recall, precision + recall, truth + segmented),
        "precision": precision,
        "recall": recall,
        "object_dice": _object_level(of, "dice", 1.0),
        "object_hausdorff": _object_level(of, "hausdorff", 0.0),
        "panoptic_quality": quality * similarity,
        "segmentation_quality": similarity,
        "recognition_quality": quality,
        "aji": _ratio(of["aji_intersection"], of["aji_union"]),
        **at,
        "ap": np.mean(list(at.values()), axis=0),
        "dice": _ratio(2 * of["intersection"], areas),
        "iou": _ratio(of["intersection"], areas - of["intersection"]),
    }


def _detection(pair: Pair) -> dict[str, int]:
    _, at = pair.best(True, pair.pixels)
    covers = 2 * pair.pixels[at] >= pair.truth.areas[pair.rows[at]]
    return {"true_positives": int(covers.sum()), "detected": len(np.unique(pair.rows[at][covers]))}


def _dice(pair: Pair, swapped: bool) -> np.ndarray:
    """Return the Dice coefficient of each object of a side with its counterpart, 0 without one."""
    side = pair.segmented if swapped else pair.truth
    values = np.zeros(side.count)
    objects, at = pair.best(swapped, pair.pixels)
    areas = pair.truth.areas[pair.rows[at]] + pair.segmented.areas[pair.columns[at]]
    values[objects] = 2 * pair.pixels[at] / areas
    return values


def _hausdorff(pair: Pair, swapped: bool) -> np.ndarray:
    """Return the Hausdorff distance of each object of a side to its counterpart, or else to the nearest object."""
    side, other = (pair.segmented, pair.truth) if swapped else (pair.truth, pair.segmented)
    if not other.count:
        return np.full(side.count, pair.diagonal)
    objects, at = pair.best(swapped, pair.pixels)
    counterparts = dict(zip(objects.tolist(), at.tolist(), strict=True))
    values = [
        pair.hausdorff(int(pair.rows[counterparts[one]]), int(pair.columns[counterparts[one]]))
        if one in counterparts
        else pair.least_hausdorff(one, swapped)
        for one in range(side.count)
    ]
    return np.array(values, np.float64)


def _aji(pair: Pair) -> dict[str, float]:
    """Return the two sums of Kumar et al. 2017, algorithm 1: a segmented object may serve several true ones."""
    objects, at = pair.best(False, pair.ious)
    areas_truth, areas_segmented = pair.truth.areas, pair.segmented.areas
    shared, columns = pair.pixels[at], pair.columns[at]
    union = areas_truth[objects].sum() + areas_segmented[columns].sum() - shared.sum()
    union += np.delete(areas_truth, objects).sum() + np.delete(areas_segmented, columns).sum()
    return {"aji_intersection": int(shared.sum()), "aji_union": int(union)}


def _matches(pair: Pair) -> dict[str, float]:
    """Count pairs by IoU, each object at most once.

    Above 0.5 an object has one partner at most (Kirillov et al. 2019). At 0.5 it may have two, halves of it, which have
    no
    other: then the pairs make a forest, and it has as many trees as objects minus pairs.
    """
    ious = pair.ious
    counts: dict[str, float] = {"pq_matches": int((ious > 0.5).sum()), "pq_iou": float(ious[ious > 0.5].sum())}
    for level in AP_THRESHOLDS:
        enough = 100 * ious >= level * (1 - 1e-12)
        objects = sum(len(np.unique(side[enough])) for side in (pair.rows, pair.columns))
        counts[f"matches_{level}"] = objects - int(enough.sum())
    return counts


def _object_level(of: Mapping[str, np.ndarray], what: str, empty: float) -> np.ndarray:
    """Return half of the sum of both sides' means, weighted by area; the mean of one side where the other is empty."""
    total, sides = np.zeros_like(of["truth_area"]), np.zeros_like(of["truth_area"])
    for side in ("truth", "segmented"):
        there = of[f"{side}_objects"] > 0
        total = total + np.where(there, of[f"{side}_area_{what}"] / np.where(there, of[f"{side}_area"], 1), 0)
        sides = sides + there
    return np.where(sides > 0, total / np.maximum(sides, 1), empty)


def _average_precision(matches: np.ndarray, truth: np.ndarray, segmented: np.ndarray) -> np.ndarray:
    return _ratio(matches, truth + segmented - matches)


def _ratio(numerator: np.ndarray, denominator: np.ndarray, needed: np.ndarray | None = None) -> np.ndarray:
    """Divide; where the denominator is 0, return 1 if `needed` (or else the denominator) is 0, and 0 otherwise."""
    there = denominator > 0
    nothing = (denominator if needed is None else needed) == 0
    return np.where(there, numerator / np.where(there, denominator, 1), np.where(nothing, 1.0, 0.0))
