"""From the probabilities of classes to objects: threshold, holes, parting of touching objects, removal of small ones.

Touching objects are parted by watershed, flooding by priority (Beucher and Lantuejoul 1979; Meyer 1991). By shape, the
middles of objects are the maxima of the distance to the edge that stand out by a depth: their dynamic (Grimaud 1992),
which gives the middles of the h-maxima transform too (Soille, Morphological Image Analysis, 2nd edition 2003, section
6.3.4). One flooding from all maxima, whose basins are then joined over their saddles, takes a fraction of the time of
that transform. By probability, the middles are regions above a second threshold; by contours, those whose probability
of the inside is above one (Chen et al. 2016, DCAN).
"""

from collections.abc import Iterator

import numpy as np
from scipy import ndimage
from skimage.measure import label
from skimage.morphology import local_maxima
from skimage.segmentation import watershed

from flexdan.config import PostprocessingConfig

NEIGHBOURS = ((0, 1), (1, -1), (1, 0), (1, 1))  # rows and columns to four of the eight: each pair of pixels once


def to_instances(probabilities: np.ndarray, settings: PostprocessingConfig, contours: bool = False) -> np.ndarray:
    """Return the objects in an image.

    In this order: foreground is what has a probability above the threshold, each pixel of it of its most probable
    foreground class; holes are filled; connected regions of one class (eight neighbours) are objects; touching ones are
    parted; those that are then too small are removed.

    Args:
        probabilities: float (K, H, W), background first; the classes of a pixel add up to 1.
        settings: of the post-processing.
        contours: whether the last of the K is that of contours: they are foreground, of the class that is most probable
            inside.

    Returns:
        int32 (H, W): 0 is background, objects are 1..n without a gap; no object has pixels of two classes.

    Raises:
        ValueError: if the probabilities are not (K, H, W) with at least two classes, or if parting by contours is asked
            for where there are none.
    """
    if probabilities.ndim != 3 or len(probabilities) < 2 + contours:
        raise ValueError(f"probabilities are {probabilities.shape}: they must be (K, H, W) with K at least 2")
    if settings.split == "contour" and not contours:
        raise ValueError("objects cannot be parted by contours: the network has no class for them")
    foreground = _foreground(probabilities)
    insides = probabilities[1:-1] if contours else probabilities[1:]
    classes = (foreground > settings.threshold).astype(np.uint8)
    if len(insides) > 1:
        classes *= insides.argmax(0).astype(np.uint8) + np.uint8(1)
    if settings.fill_holes:
        classes = _fill_holes(classes)
    labels = np.zeros(classes.shape, np.int32)
    for one in _present(classes):
        inside = classes == one  # its regions do not touch each other, those of two classes may
        if settings.split == "distance":
            parts = _part_by_distance(inside, settings.split_depth)
        elif settings.split == "marker":
            parts = _part_by_markers(inside, foreground, settings.marker_threshold, settings.min_middle)
        elif settings.split == "contour":
            parts = _part_by_markers(inside, insides.sum(0), settings.inside_threshold, settings.min_middle)
        else:
            parts = _regions(inside)
        labels[inside] = parts[inside] + labels.max(initial=0)
    return _without_small(labels, settings.min_size)


def _foreground(probabilities: np.ndarray) -> np.ndarray:
    """Return the probability of any class but the background, float32 (H, W)."""
    if len(probabilities) == 2:
        return probabilities[1].astype(np.float32)
    return 1 - probabilities[0].astype(np.float32)


def _fill_holes(classes: np.ndarray) -> np.ndarray:
    """Give background that lies inside of a region of one class to it; of regions around each other, to the innermost.

    A hole is what its class parts from the edge of the image, through neighbours at the sides; what other classes have
    in it they keep.
    """
    filled = classes.copy()
    innermost = np.full(classes.shape, classes.size + 1)
    for one in _present(classes):
        holes = np.asarray(label(classes != one, connectivity=1))
        sizes = np.bincount(holes.ravel())
        sizes[0] = 0
        for edge in (holes[0], holes[-1], holes[:, 0], holes[:, -1]):
            sizes[edge] = 0
        size = sizes[holes]
        inside = (size > 0) & (classes == 0) & (size < innermost)
        filled[inside] = one
        innermost[inside] = size[inside]
    return filled


def _part_by_distance(inside: np.ndarray, depth: float) -> np.ndarray:
    """Part regions at their necks: labels (H, W).

    The edge of the image counts as an edge of what it cuts.
    """
    within = (slice(1, -1), slice(1, -1))
    distance = np.asarray(ndimage.distance_transform_edt(np.pad(inside, 1)), np.float32)
    maxima = _regions(np.asarray(local_maxima(distance, connectivity=2))[within] & inside)
    distance = distance[within]
    basins = watershed(-distance, maxima, mask=inside, connectivity=2)
    heights = np.zeros(maxima.max(initial=0) + 1, np.float32)
    heights[maxima] = distance  # equal all over a maximum
    return _join(heights, _saddles(basins, distance), depth)[basins]


def _saddles(basins: np.ndarray, height: np.ndarray) -> Iterator[tuple[float, int, int]]:
    """Give the highest way between each two basins that touch, and the two: the highest first."""
    rows, columns = basins.shape
    ways, pairs = [], []
    for down, right in NEIGHBOURS:
        here = (slice(0, rows - down), slice(max(-right, 0), columns - max(right, 0)))
        there = (slice(down, rows), slice(max(right, 0), columns + min(right, 0)))
        border = (basins[here] != basins[there]) & (basins[here] > 0) & (basins[there] > 0)
        ways.append(np.minimum(height[here][border], height[there][border]))
        pairs.append(np.stack([basins[here][border], basins[there][border]]))  # (2, pixels)
    way, pair = np.concatenate(ways), np.sort(np.concatenate(pairs, axis=1), axis=0)
    order = np.argsort(-way, kind="stable")
    keys = pair[0].astype(np.int64) * (basins.max(initial=0) + 1) + pair[1]
    _, first = np.unique(keys[order], return_index=True)
    for place in order[np.sort(first)]:
        yield float(way[place]), int(pair[0, place]), int(pair[1, place])


def _join(heights: np.ndarray, saddles: Iterator[tuple[float, int, int]], depth: float) -> np.ndarray:
    """Join each basin whose maximum does not rise more than `depth` above a saddle with the one beyond.

    Args:
        heights: of the maxima of the basins, (basins,).
        saddles: from the highest down.
        depth: in the unit of the heights.

    Returns:
        for each basin the one with the highest maximum among those joined, (basins,).
    """
    joined = list(range(len(heights)))

    def highest(basin: int) -> int:
        while joined[basin] != basin:
            joined[basin] = joined[joined[basin]]
            basin = joined[basin]
        return basin

    for way, one, other in saddles:
        low, high = sorted((highest(one), highest(other)), key=lambda basin: (heights[basin], -basin))
        if heights[low] - way <= depth:
            joined[low] = high
    return np.array([highest(basin) for basin in range(len(heights))])


def _part_by_markers(inside: np.ndarray, middles: np.ndarray, threshold: float, min_size: int) -> np.ndarray:
    """Part regions between their parts of high probability; a region without two of them stays whole: labels (H, W)."""
    middles, regions = middles.astype(np.float32), _regions(inside)
    markers = _without_small(_regions(inside & (middles > threshold)), min_size)
    count = markers.max(initial=0)
    home = np.zeros(count + 1, np.int64)
    home[markers] = regions  # the region of each marker
    number = np.bincount(home[1:], minlength=regions.max(initial=0) + 1)  # of markers in each region
    names = np.arange(len(number)) + count
    alone = np.flatnonzero(number[home] == 1)
    names[home[alone]] = alone
    parts, crowded = names[regions], (number > 1)[regions]
    if crowded.any():  # flooding takes most of the time, and most regions have one marker
        parts[crowded] = watershed(-middles, markers, mask=crowded, connectivity=2)[crowded]
    return parts


def _regions(inside: np.ndarray) -> np.ndarray:
    return np.asarray(label(inside, connectivity=2))


def _present(classes: np.ndarray) -> list[int]:
    """Return the classes but the background that are there."""
    return [one for one, pixels in enumerate(np.bincount(classes.ravel())) if one and pixels]


def _without_small(labels: np.ndarray, min_size: int) -> np.ndarray:
    """Remove objects of fewer pixels, and number the rest 1..n."""
    sizes = np.bincount(labels.ravel(), minlength=1)
    stays = sizes >= max(min_size, 1)
    stays[0] = False
    return (np.cumsum(stays) * stays).astype(np.int32)[labels]
