"""The objects of two label images, which of them share pixels, and how far they are apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from flexdan.metrics.shapes import Shape, Slices, hausdorff, pixel_spacing


@dataclass(frozen=True)
class Side:
    """The objects of one side.

    Args:
        labels: 0 for background and 1..count, in the order of the labels given, int32 (H, W).
        areas: of each object in pixels, (count,).
    """

    labels: np.ndarray
    areas: np.ndarray

    @property
    def count(self) -> int:
        """The number of objects."""
        return len(self.areas)

    @cached_property
    def shapes(self) -> dict[int, Shape]:
        """The objects that were looked at, by number from 0 on."""
        return {}

    @cached_property
    def boxes(self) -> list[Slices]:
        """The bounding box of each object."""
        return ndimage.find_objects(self.labels)

    def ends(self, spacing: np.ndarray) -> np.ndarray:
        """Return the first and the last pixel of each object along each axis, in units of the spacing, (count, 4)."""
        first = np.array([[one.start for one in box] for box in self.boxes])
        last = np.array([[one.stop - 1 for one in box] for box in self.boxes])
        return np.concatenate([first * spacing, last * spacing], axis=1)


class Pair:
    """Truth and segmentation of an image, and how many pixels their objects share.

    Objects are numbered from 0 on here: `rows` true ones and `columns` segmented ones that share `pixels`, with their
    `ious`, one entry for each such pair.

    Args:
        truth: labels, integers (H, W).
        segmented: labels (H, W).
        spacing: height and width of a pixel; None: 1 and 1.

    Raises:
        ValueError: if the shapes differ, labels are not whole numbers from 0 on, or the spacing is not above 0.
    """

    def __init__(self, truth: np.ndarray, segmented: np.ndarray, spacing: Sequence[float] | None):
        if truth.shape != segmented.shape:
            raise ValueError(f"truth is {truth.shape} and segmented {segmented.shape}: both must have the same shape")
        self.spacing = pixel_spacing(spacing, truth.ndim)
        self.truth, self.segmented = _make_side(truth, "truth"), _make_side(segmented, "segmented")
        self.diagonal = float(np.linalg.norm((np.array(truth.shape) - 1) * self.spacing))
        self._measured: dict[tuple[int, int], float] = {}
        self._trees: dict[bool, tuple[KDTree, np.ndarray]] = {}
        columns = self.segmented.count + 1
        keys = self.truth.labels.ravel() * np.int64(columns) + self.segmented.labels.ravel()
        if (self.truth.count + 1) * columns <= 4 * keys.size:
            pixels = np.bincount(keys, minlength=1)
            keys = np.flatnonzero(pixels)
            pixels = pixels[keys]
        else:
            keys, pixels = np.unique(keys, return_counts=True)
        rows, columns = np.divmod(keys, columns)
        both = (rows > 0) & (columns > 0)
        self.rows, self.columns, self.pixels = rows[both] - 1, columns[both] - 1, pixels[both]  # objects from 0 on
        unions = self.truth.areas[self.rows] + self.segmented.areas[self.columns] - self.pixels
        self.ious = self.pixels / unions

    def best(self, swapped: bool, merit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return for each true object (swapped: segmented object) its overlap of most merit, as a place in `pixels`.

        Returns:
            the objects that have an overlap, ascending, and the place of theirs.
        """
        mine, others = (self.columns, self.rows) if swapped else (self.rows, self.columns)
        order = np.lexsort((others, -merit, mine))
        objects, first = np.unique(mine[order], return_index=True)
        return objects, order[first]

    def hausdorff(self, row: int, column: int) -> float:
        """Return the Hausdorff distance of two objects, as sets of pixels."""
        if (row, column) not in self._measured:
            true, found = self._shape(self.truth, row), self._shape(self.segmented, column)
            self._measured[row, column] = hausdorff(true, found)
        return self._measured[row, column]

    def _shape(self, side: Side, number: int) -> Shape:
        if number not in side.shapes:
            box = side.boxes[number]
            side.shapes[number] = Shape(box, side.labels[box] == number + 1, self.spacing)
        return side.shapes[number]

    def least_hausdorff(self, mine: int, swapped: bool) -> float:
        """Return the least Hausdorff distance of an object to any of the other side, which has one.

        Boxes whose ends lie d apart along an axis belong to objects that are d apart at least, so those with the
        nearest ends are measured first, and most are not measured at all.
        """
        if swapped not in self._trees:
            side, other = (self.segmented, self.truth) if swapped else (self.truth, self.segmented)
            self._trees[swapped] = (KDTree(other.ends(self.spacing)), side.ends(self.spacing))
        tree, ends = self._trees[swapped]
        least, done, wanted = np.inf, 0, 4
        while done < tree.n:
            bounds, others = map(np.atleast_1d, tree.query(ends[mine], k=min(wanted, tree.n), p=np.inf))
            for bound, other in zip(bounds[done:].tolist(), others[done:].tolist(), strict=True):
                if bound >= least:
                    return least
                least = min(least, self.hausdorff(*((other, mine) if swapped else (mine, other))))
            done, wanted = wanted, 4 * wanted
        return least


def _make_side(labels: np.ndarray, name: str) -> Side:
    """Number the objects 1..count without gaps: by a table where labels are small, by sorting where they are not."""
    if labels.dtype.kind not in "bui":
        raise ValueError(f"{name} has {labels.dtype} values: labels must be integers")
    flat = labels.ravel() if labels.dtype != np.uint64 else labels.ravel().astype(np.int64)
    low, high = (int(flat.min()), int(flat.max())) if flat.size else (0, 0)
    if low < 0:
        raise ValueError(f"{name} holds the label {low}: 0 is background, and objects are above it")
    if high <= 4 * flat.size:
        areas = np.bincount(flat, minlength=1)
        present = areas > 0
        present[0] = True
        dense = (np.cumsum(present, dtype=np.int32) - 1)[flat] if not present.all() else flat.astype(np.int32)
        return Side(dense.reshape(labels.shape), areas[present][1:])
    values, dense, areas = np.unique(flat, return_inverse=True, return_counts=True)
    if values[0] != 0:
        dense, areas = dense + 1, np.concatenate([[0], areas])
    return Side(dense.astype(np.int32).reshape(labels.shape), areas[1:])
