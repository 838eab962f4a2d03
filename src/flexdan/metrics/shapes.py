"""Hausdorff distances of objects in an image, each object looked at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

Slices = tuple[slice, ...]
TILE, MANY = 32, 1000  # pixels: of the side of a tile, and of an edge from which on it is put into tiles
SPARSE = 1 / 16  # of its box: an object that fills less of it needs no map of distances


def pixel_spacing(spacing: Sequence[float] | None, axes: int) -> np.ndarray:
    """Return the size of a pixel along each axis, 1 if none is given.

    Raises:
        ValueError: if it is not one number above 0 for each axis.
    """
    sizes = np.ones(axes) if spacing is None else np.asarray(spacing, np.float64)
    if sizes.shape != (axes,) or not (sizes > 0).all():
        raise ValueError(f"spacing is {spacing}: it must be {axes} numbers above 0, one for each axis")
    return sizes


@dataclass(frozen=True)
class Shape:
    """One object.

    Args:
        box: its bounding box in the image.
        mask: which pixels of the box are its own, bool.
        spacing: height and width of a pixel.
    """

    box: Slices
    mask: np.ndarray
    spacing: np.ndarray

    @cached_property
    def distances(self) -> np.ndarray:
        """The distance of each pixel of the box to the object."""
        return np.asarray(ndimage.distance_transform_edt(~self.mask, sampling=self.spacing))

    @cached_property
    def edge(self) -> np.ndarray:
        """The places in the image of its pixels that have a neighbour (at a side) outside of it, (n, axes)."""
        inner = np.asarray(ndimage.binary_erosion(self.mask), bool)
        return np.argwhere(self.mask & ~inner) + [one.start for one in self.box]

    @cached_property
    def tree(self) -> KDTree:
        """Finds the nearest pixel of its edge."""
        return KDTree(self.edge * self.spacing)

    @cached_property
    def ends(self) -> np.ndarray:
        """Of its edge in units of the spacing, one pixel at each end of each axis."""
        return self.edge[np.concatenate([self.edge.argmin(0), self.edge.argmax(0)])] * self.spacing

    @cached_property
    def tiles(self) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """Its edge in tiles of the image: first and last pixel of each along each axis, (n, axes), and its pixels."""
        _, number = np.unique(self.edge // TILE, axis=0, return_inverse=True)
        order = np.argsort(number.ravel(), kind="stable")
        parts = np.split(self.edge[order], np.flatnonzero(np.diff(number.ravel()[order])) + 1)
        return np.array([one.min(0) for one in parts]), np.array([one.max(0) for one in parts]), parts

    def far_edge(self, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Return those pixels of its edge that may be the farthest from an object with this first and last pixel."""
        if len(self.edge) <= MANY:
            return self.edge
        low, high, parts = self.tiles
        least = np.linalg.norm(np.maximum(np.maximum(first - high, low - last), 0) * self.spacing, axis=1)
        most = np.linalg.norm(np.maximum(high - first, last - low) * self.spacing, axis=1)
        return np.concatenate([parts[number] for number in np.flatnonzero(most >= least.max())])


def hausdorff(one: Shape, other: Shape) -> float:
    """Return the Hausdorff distance of two objects, as sets of pixels, in units of the spacing."""
    return max(_farthest(one, other), _farthest(other, one))


def _farthest(one: Shape, other: Shape) -> float:
    """Return the distance from the farthest pixel of one object to the other.

    Beyond the other's box, a step away from it along an axis is a step away from every pixel of it. So the farthest
    pixel is in that box, or at the edge of its own object.
    """
    shared = tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one.box, other.box, strict=True))
    farthest = 0.0
    if all(part.start < part.stop for part in shared):
        mine, its = (shape.mask[_within(shared, shape.box)] for shape in (one, other))
        outside = mine & ~its
        if outside.any() and other.mask.mean() < SPARSE:
            places = np.argwhere(outside) + [part.start for part in shared]
            farthest = float(other.tree.query(places * one.spacing)[0].max())
        elif outside.any():
            farthest = float(other.distances[_within(shared, other.box)][mine].max())
    first, last = np.array([part.start for part in other.box]), np.array([part.stop - 1 for part in other.box])
    edge = one.far_edge(first, last)
    points = edge[((edge < first) | (edge > last)).any(1)] * one.spacing
    if not len(points):
        return farthest
    least = np.maximum(np.maximum(first * one.spacing - points, points - last * one.spacing), 0)  # to the box
    most = np.linalg.norm(points[:, None] - other.ends, axis=2).min(1)
    enough = max(farthest, float(np.linalg.norm(least, axis=1).max()))
    points = points[most >= enough]  # the others are nearer than the farthest is at least
    return max(farthest, float(other.tree.query(points)[0].max())) if len(points) else farthest


def _within(part: Slices, box: Slices) -> Slices:
    """Return a part of the image as a part of a box in it."""
    return tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(part, box, strict=True))
