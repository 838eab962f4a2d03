"""Hausdorff distances of objects in an image, each object looked at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

Slices = tuple[slice, ...]


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
    def points(self) -> np.ndarray:
        """Its edge in units of the spacing, (n, axes)."""
        return self.edge * self.spacing

    @cached_property
    def tree(self) -> KDTree:
        """Finds the nearest of its points."""
        return KDTree(self.points)

    @cached_property
    def ends(self) -> np.ndarray:
        """Of its points, one at each end of each axis."""
        return self.points[np.concatenate([self.points.argmin(0), self.points.argmax(0)])]


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
        if (mine & ~its).any():
            farthest = float(other.distances[_within(shared, other.box)][mine].max())
    first, last = (np.array([getattr(part, end) for part in other.box]) for end in ("start", "stop"))
    beyond = ((one.edge < first) | (one.edge >= last)).any(1)
    points = one.points[beyond]
    if not len(points):
        return farthest
    least = np.maximum(np.maximum(first * one.spacing - points, points - (last - 1) * one.spacing), 0)  # to the box
    most = np.linalg.norm(points[:, None] - other.ends, axis=2).min(1)
    enough = max(farthest, float(np.linalg.norm(least, axis=1).max()))
    points = points[most >= enough]  # the others are nearer than the farthest is at least
    return max(farthest, float(other.tree.query(points)[0].max())) if len(points) else farthest


def _within(part: Slices, box: Slices) -> Slices:
    """Return a part of the image as a part of a box in it."""
    return tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(part, box, strict=True))
