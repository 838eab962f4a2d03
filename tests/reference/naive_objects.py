"""The metrics of objects as their papers write them: object by object, all of their pixels, nothing clever."""

import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

MOST_DISTANCES = 20_000_000


def naive_metrics(pairs, spacing=(1.0, 1.0)):
    """Return the metrics pooled over pairs (truth, segmented) of label images (H, W), by the definitions."""
    tp = fp = fn = 0
    sides = {"segmented": [], "truth": []}  # of each object: area, Dice, Hausdorff distance
    common = union = 0
    shared = 0
    all_ious = []  # of each image: the matrix
    for truth, segmented in pairs:
        true = [truth == label for label in np.unique(truth) if label != 0]
        found = [segmented == label for label in np.unique(segmented) if label != 0]
        diagonal = np.hypot((truth.shape[0] - 1) * spacing[0], (truth.shape[1] - 1) * spacing[1])
        shared += ((truth > 0) & (segmented > 0)).sum()

        hit = [False] * len(true)
        for one in found:
            overlaps = [(one & other).sum() for other in true]
            best = int(np.argmax(overlaps)) if overlaps else -1
            if best >= 0 and overlaps[best] > 0 and overlaps[best] >= true[best].sum() / 2:
                tp += 1
                hit[best] = True
            else:
                fp += 1
        fn += hit.count(False)

        for name, mine, others in (("segmented", found, true), ("truth", true, found)):
            for one in mine:
                overlaps = [(one & other).sum() for other in others]
                if not others:
                    sides[name].append((one.sum(), 0.0, diagonal))
                elif max(overlaps) > 0:
                    other = others[int(np.argmax(overlaps))]
                    dice = 2 * (one & other).sum() / (one.sum() + other.sum())
                    sides[name].append((one.sum(), dice, hausdorff(one, other, spacing)))
                else:
                    sides[name].append((one.sum(), 0.0, min(hausdorff(one, other, spacing) for other in others)))

        ious = np.array([[(a & b).sum() / (a | b).sum() for b in found] for a in true]).reshape(len(true), len(found))
        all_ious.append(ious)
        used = set()
        for row, one in enumerate(true):
            best = int(np.argmax(ious[row])) if found else -1
            if best >= 0 and ious[row, best] > 0:
                used.add(best)
                common += (one & found[best]).sum()
                union += (one | found[best]).sum()
            else:
                union += one.sum()
        union += sum(one.sum() for column, one in enumerate(found) if column not in used)

    num_true, num_found = len(sides["truth"]), len(sides["segmented"])
    if num_true + num_found == 0:
        return None
    precision = tp / (tp + fp) if num_found else 0.0
    recall = tp / (tp + fn) if tp + fn else 0.0
    matched = [iou for ious in all_ious for iou in ious.ravel() if iou > 0.5]
    quality = len(matched) / ((num_true + num_found) / 2)
    similarity = sum(matched) / len(matched) if matched else 0.0
    aps = {}
    for level in range(50, 91, 5):
        matches = sum(matching(ious >= level / 100 - 1e-12) for ious in all_ious)
        aps[f"ap{level}"] = matches / (num_true + num_found - matches)
    area = sum(one[0] for side in sides.values() for one in side)
    return {
        "f1": 2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        "precision": precision,
        "recall": recall,
        "object_dice": object_level(sides, 1),
        "object_hausdorff": object_level(sides, 2),
        "panoptic_quality": quality * similarity,
        "segmentation_quality": similarity,
        "recognition_quality": quality,
        "aji": common / union,
        **aps,
        "ap": sum(aps.values()) / len(aps),
        "dice": 2 * shared / area,
        "iou": shared / (area - shared),
    }


def hausdorff(one, other, spacing):
    """Return the Hausdorff distance of two masks from all distances of their pixels, by trees where those are many."""
    ours, theirs = np.argwhere(one) * spacing, np.argwhere(other) * spacing
    if len(ours) * len(theirs) <= MOST_DISTANCES:
        distances = cdist(ours, theirs)
        return max(distances.min(0).max(), distances.min(1).max())
    return max(KDTree(theirs).query(ours)[0].max(), KDTree(ours).query(theirs)[0].max())


def object_level(sides, which):
    """Return the mean over the sides that have objects of their means weighted by area."""
    means = [sum(one[0] * one[which] for one in side) / sum(one[0] for one in side) for side in sides.values() if side]
    return sum(means) / len(means)


def matching(allowed):
    """Return the size of the largest one-to-one matching, by augmenting paths."""
    partner = {}

    def augment(row, seen):
        for column in np.flatnonzero(allowed[row]):
            if column not in seen:
                seen.add(column)
                if column not in partner or augment(partner[column], seen):
                    partner[column] = row
                    return True
        return False

    return sum(augment(row, set()) for row in range(len(allowed)))
