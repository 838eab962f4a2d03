"""Glands of the synthetic set: where they lie, their shape, and what they are painted with."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from flexdan.data.synthesis_texture import scatter_on, smooth_noise, stamp_ellipses


@dataclass(frozen=True, kw_only=True)
class Glands:
    """Shapes of all glands of an image.

    Args:
        labels: int32 (H, W): 0 is stroma, others one gland each.
        depth: float32 (H, W): distance of a gland's pixels from its border, in pixels; 0 in the stroma.
        malignant: whether they are irregular.
    """

    labels: np.ndarray
    depth: np.ndarray
    malignant: bool


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """A closed shape: an ellipse whose radius waves with the angle.

    Args:
        y: row of the centre.
        x: column of the centre.
        radius: of the circle of equal area, in pixels.
        spread: the long axis is longer, and the short one shorter, by this factor.
        turn: direction of the long axis, in radians.
        waves: order (waves in a round), height (share of the radius) and phase of each.
    """

    y: float
    x: float
    radius: float
    spread: float
    turn: float
    waves: tuple[tuple[int, float, float], ...]

    def distance(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return the distance of points from the centre: 1 on the border."""
        dy, dx = y - self.y, x - self.x
        along = (dx * np.cos(self.turn) + dy * np.sin(self.turn)) / self.spread
        across = (dy * np.cos(self.turn) - dx * np.sin(self.turn)) * self.spread
        angle = np.arctan2(across, along)
        outline = np.ones_like(angle)
        for order, height, phase in self.waves:
            outline += height * np.cos(order * angle + phase)
        return np.hypot(along, across) / (self.radius * np.clip(outline, 0.45, 1.6))


def place_glands(rng: np.random.Generator, shape: tuple[int, int], malignant: bool) -> Glands:
    """Throw glands at random, each where it (nearly) touches others at most, and work out their shapes."""
    direction = rng.uniform(0, np.pi)
    spread = np.sqrt(rng.uniform(1.0, 1.9))
    centres = _throw(rng, shape, direction, spread)
    rough = rng.uniform(0.09, 0.16) if malignant else rng.uniform(0.03, 0.08)
    bend = rng.uniform(4, 8) if malignant else rng.uniform(1, 3.5)  # pixels by which all borders are bent
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    y, x = (axis + bend * smooth_noise(rng, shape, 18) for axis in (y, x))
    nearest = np.ones(shape, np.float32)
    labels = np.zeros(shape, np.int32)
    for label, (centre_y, centre_x, radius) in enumerate(centres, start=1):
        reach = int(radius * spread * 1.9) + 25
        top, left = max(int(centre_y) - reach, 0), max(int(centre_x) - reach, 0)
        bottom, right = int(centre_y) + reach, int(centre_x) + reach
        if bottom <= 0 or right <= 0 or top >= shape[0] or left >= shape[1]:
            continue
        turn = direction + rng.normal(0, 0.15)
        waves = tuple(
            (order, rough * rng.normal() * 1.6 / np.sqrt(order), rng.uniform(0, 2 * np.pi)) for order in range(2, 7)
        )
        gland = _Shape(y=centre_y, x=centre_x, radius=radius, spread=spread, turn=turn, waves=waves)
        box = (slice(top, bottom), slice(left, right))
        distance = gland.distance(y[box], x[box])
        wins = distance < nearest[box]  # where two overlap, the nearer centre has the pixel
        nearest[box][wins] = distance[wins]
        labels[box][wins] = label
    labels = _tidy(labels)
    inner = (labels > 0) & (ndimage.minimum_filter(labels, 3) == labels) & (ndimage.maximum_filter(labels, 3) == labels)
    depth = ndimage.distance_transform_edt(inner) if not inner.all() else np.full(shape, 30.0)
    return Glands(labels=labels, depth=np.asarray(depth, np.float32), malignant=malignant)


def _throw(rng: np.random.Generator, shape: tuple[int, int], direction: float, spread: float) -> np.ndarray:
    """Draw rows, columns and radii (N, 3) of glands stretched along one direction that keep clear of each other."""
    height, width = shape
    typical = rng.uniform(29, 46)
    gap = rng.uniform(0.85, 1.15)  # below 1 neighbours touch
    fullness = rng.uniform(0.5, 1.0)
    cell = 4 * typical**2
    limit = int(fullness * 1.1 * (height + 60) * (width + 60) / cell) + 1
    tries = int(fullness * 40 * (height + 100) * (width + 100) / cell)
    cos, sin = np.cos(direction), np.sin(direction)
    found = np.empty((limit, 3))  # place along and across the direction in units in which glands are round; radius
    placed = np.empty((limit, 3))
    count = 0
    for y, x, size in rng.uniform((-40, -40, 0.65), (height + 40, width + 40, 1.45), (tries, 3)):
        radius = typical * size
        along, across = (x * cos + y * sin) / spread, (y * cos - x * sin) * spread
        apart = np.hypot(along - found[:count, 0], across - found[:count, 1])
        if (apart > gap * (radius + found[:count, 2])).all():
            found[count] = along, across, radius
            placed[count] = y, x, radius
            count += 1
        if count == limit:
            break
    return placed[:count]


def _tidy(labels: np.ndarray) -> np.ndarray:
    """Keep the largest part of every gland and fill its holes."""
    tidy = np.zeros_like(labels)
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        parts, number = ndimage.label(labels[box] == label)  # type: ignore[misc]
        if number > 1:
            parts = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
        filled = np.asarray(ndimage.binary_fill_holes(parts > 0))
        tidy[box][filled] = label
    return tidy


def paint_glands(rng: np.random.Generator, glands: Glands, haematoxylin: np.ndarray, eosin: np.ndarray) -> None:
    """Paint cytoplasm, lumen, vacuoles and the rim of nuclei over both dyes (H, W), in place."""
    labels, depth, malignant = glands.labels, glands.depth, glands.malignant
    shape, count = labels.shape, int(labels.max()) + 1
    deepest = np.asarray(ndimage.maximum(depth, labels, np.arange(count)))
    wall = rng.uniform(14, 20, count) if malignant else rng.uniform(16, 25, count)
    fullness = rng.uniform(0, 0.15) if malignant else rng.uniform(0.4, 1.0)  # share of places that hold a vacuole
    # most glands have a lumen; some are cut where they have none
    wall = np.where(rng.uniform(0, 1, count) < 0.85, np.minimum(wall, 0.62 * deepest), wall)[labels].astype(np.float32)

    grain = smooth_noise(rng, shape, 3)
    blotch = smooth_noise(rng, shape, 14)
    tone = rng.normal(0, 0.06, count)[labels] + rng.normal(0, 0.05)
    e = np.clip(0.40 + tone + 0.05 * blotch + 0.05 * grain, 0.05, None)
    h = np.clip(0.20 + 0.5 * tone + 0.04 * blotch + 0.03 * grain, 0.03, None) + 0.08 * malignant

    lumen = np.clip((depth - wall + 2.2 * smooth_noise(rng, shape, 7)) / 1.5, 0, 1)
    mucus = np.clip(0.10 * smooth_noise(rng, shape, 9) - 0.04, 0, 0.3) + 0.015
    slope_y, slope_x = np.gradient(ndimage.gaussian_filter(depth, 1.5))
    inward = np.arctan2(slope_y, slope_x)

    vacuoles = _vacuoles(rng, glands, wall, inward, fullness)
    e = e * (1 - vacuoles) + np.clip(0.06 + 0.03 * grain, 0.01, None) * vacuoles
    h = h * (1 - vacuoles) + np.clip(0.08 + 0.02 * grain, 0.01, None) * vacuoles
    e = e * (1 - lumen) + mucus * lumen
    h = h * (1 - lumen) + 0.6 * mucus * lumen
    nuclei = _nuclei(rng, glands, wall, inward, lumen)
    h = np.maximum(h, nuclei * (1 + 0.12 * grain))
    e = np.maximum(e * (1 - 0.25 * np.clip(nuclei, 0, 1)), 0.3 * nuclei)
    inside = labels > 0
    eosin[inside], haematoxylin[inside] = e[inside], h[inside]


def _vacuoles(
    rng: np.random.Generator, glands: Glands, wall: np.ndarray, inward: np.ndarray, fullness: float
) -> np.ndarray:
    """Return where the mucus of goblet cells lies, 0..1 (H, W): between the nuclei and the lumen."""
    drawn = np.zeros(wall.shape, np.float32)
    band = (glands.labels > 0) & (glands.depth > 9) & (glands.depth < wall + 4)
    y, x = scatter_on(rng, band, rng.uniform(7.5, 10))
    keep = rng.uniform(0, 1, y.size) < fullness
    y, x = y[keep], x[keep]
    long, short = rng.uniform(3.5, 6.5, y.size), rng.uniform(2.5, 4.5, y.size)
    stamp_ellipses(drawn, y, x, long, short, inward[y, x], rng.uniform(0.7, 1.0, y.size))
    return drawn


def _nuclei(
    rng: np.random.Generator, glands: Glands, wall: np.ndarray, inward: np.ndarray, lumen: np.ndarray
) -> np.ndarray:
    """Return the haematoxylin (H, W) of the epithelium's nuclei: one row at the border, several where malignant."""
    drawn = np.zeros(wall.shape, np.float32)
    malignant = glands.malignant
    rows = ((4.0, 5.6), (8.5, 7.0), (13.0, 9.0)) if malignant else ((4.0, 4.6), (5.5, 6.5))  # depth and spacing, pixels
    strength = rng.uniform(0.75, 1.05)
    for middle, spacing in rows:
        band = (glands.labels > 0) & (np.abs(glands.depth - middle) < 1.5) & (lumen < 0.5)
        y, x = scatter_on(rng, band & (glands.depth < np.maximum(wall - 1, 5)), spacing)
        long = rng.uniform(3.2, 5.2, y.size) * (1.15 if malignant else 0.9)
        short = rng.uniform(1.7, 2.5, y.size) * (1.3 if malignant else 1.0)
        angle = inward[y, x] + rng.normal(0, 0.5 if malignant else 0.3, y.size)
        value = strength * rng.uniform(0.7, 1.2, y.size)
        stamp_ellipses(drawn, y, x, long, short, angle, value, hollow=0.45 if malignant else 0.25)
    return drawn
