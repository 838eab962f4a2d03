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


def place_glands(rng: np.random.Generator, shape: tuple[int, int], malignant: bool) -> Glands:
    """Throw glands at random, each where it (nearly) touches others at most, and work out their shapes."""
    height, width = shape
    direction = rng.uniform(0, np.pi)
    stretch = rng.uniform(1.0, 1.9)
    typical = rng.uniform(29, 46)
    gap = rng.uniform(0.85, 1.15)  # below 1 neighbours touch
    wanted = rng.uniform(0.5, 1.0)  # how full the image may become
    found: list[tuple[float, float, float]] = []
    tries = int(wanted * 40 * (height + 100) * (width + 100) / (4 * typical**2))
    cos, sin = np.cos(direction), np.sin(direction)
    spread = np.sqrt(stretch)
    for y, x, size in rng.uniform((-40, -40, 0.65), (height + 40, width + 40, 1.45), (tries, 3)):
        radius = typical * size
        along, across = (x * cos + y * sin) / spread, (y * cos - x * sin) * spread
        if all(np.hypot(along - a, across - b) > gap * (radius + r) for a, b, r in found):
            found.append((along, across, radius))
        if len(found) > wanted * 1.1 * (height + 60) * (width + 60) / (4 * typical**2):
            break
    rough = rng.uniform(0.09, 0.16) if malignant else rng.uniform(0.03, 0.08)
    wave = rng.uniform(4, 8) if malignant else rng.uniform(1, 3.5)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y, x = (axis + wave * smooth_noise(rng, shape, 18) for axis in (y, x))
    nearest = np.ones(shape, np.float32)
    labels = np.zeros(shape, np.int32)
    for label, (along, across, radius) in enumerate(found, start=1):
        centre_x = along * spread * cos - across / spread * sin
        centre_y = along * spread * sin + across / spread * cos
        _add_gland(rng, (y, x), (centre_y, centre_x), radius, spread, direction, rough, label, nearest, labels)
    labels = _tidy(labels)
    inner = (labels > 0) & (ndimage.minimum_filter(labels, 3) == labels) & (ndimage.maximum_filter(labels, 3) == labels)
    depth = ndimage.distance_transform_edt(inner) if not inner.all() else np.full(shape, 30.0)
    return Glands(labels=labels, depth=np.asarray(depth, np.float32), malignant=malignant)


def _add_gland(rng, grid, centre, radius, spread, direction, rough, label, nearest, labels) -> None:
    """Draw one closed shape: an ellipse whose radius waves with the angle; the nearer centre wins an overlap."""
    reach = int(radius * spread * 1.9) + 25
    top, left = (max(int(c) - reach, 0) for c in centre)
    bottom, right = int(centre[0]) + reach, int(centre[1]) + reach
    if bottom <= 0 or right <= 0 or top >= labels.shape[0] or left >= labels.shape[1]:
        return
    box = (slice(top, bottom), slice(left, right))
    turn = direction + rng.normal(0, 0.15)
    dy, dx = grid[0][box] - centre[0], grid[1][box] - centre[1]
    along = (dx * np.cos(turn) + dy * np.sin(turn)) / spread
    across = (dy * np.cos(turn) - dx * np.sin(turn)) * spread
    angle = np.arctan2(across, along)
    outline = np.ones_like(angle)
    for order in range(2, 7):
        outline += rough * rng.normal() * 1.6 / np.sqrt(order) * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    distance = np.hypot(along, across) / (radius * np.clip(outline, 0.45, 1.6))
    wins = distance < nearest[box]
    nearest[box][wins] = distance[wins]
    labels[box][wins] = label


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
    labels, depth = glands.labels, glands.depth
    shape, count = labels.shape, int(labels.max()) + 1
    inside = labels > 0
    deepest = ndimage.maximum(depth, labels, np.arange(count))
    if glands.malignant:
        wall = rng.uniform(14, 20, count)
        vacuoles = rng.uniform(0, 0.15)
    else:
        wall = rng.uniform(16, 25, count)
        vacuoles = rng.uniform(0.4, 1.0)
    # most glands have a lumen; some are cut where they have none
    wall = np.where(rng.uniform(0, 1, count) < 0.85, np.minimum(wall, 0.62 * np.asarray(deepest)), wall)
    wall_here = wall[labels].astype(np.float32)

    grain = smooth_noise(rng, shape, 3)
    blotch = smooth_noise(rng, shape, 14)
    tone = rng.normal(0, 0.06, count)[labels] + rng.normal(0, 0.05)
    cytoplasm_e = np.clip(0.40 + tone + 0.05 * blotch + 0.05 * grain, 0.05, None)
    cytoplasm_h = np.clip(0.20 + 0.5 * tone + 0.04 * blotch + 0.03 * grain, 0.03, None)
    cytoplasm_h += 0.08 * glands.malignant

    lumen = np.clip((depth - wall_here + 2.2 * smooth_noise(rng, shape, 7)) / 1.5, 0, 1)
    mucus = np.clip(0.10 * smooth_noise(rng, shape, 9) - 0.04, 0, 0.3) + 0.015
    pale_e, pale_h = mucus, 0.6 * mucus

    slope_y, slope_x = np.gradient(ndimage.gaussian_filter(depth, 1.5))
    inward = np.arctan2(slope_y, slope_x)

    goblets = np.zeros(shape, np.float32)
    if vacuoles > 0:
        band = inside & (depth > 9) & (depth < wall_here + 4)
        y, x = scatter_on(rng, band, rng.uniform(7.5, 10))
        keep = rng.uniform(0, 1, y.size) < vacuoles
        y, x = y[keep], x[keep]
        long, short = rng.uniform(3.5, 6.5, y.size), rng.uniform(2.5, 4.5, y.size)
        stamp_ellipses(goblets, y, x, long, short, inward[y, x], rng.uniform(0.7, 1.0, y.size))
    mucin_e, mucin_h = 0.06 + 0.03 * grain, 0.08 + 0.02 * grain

    nuclei = np.zeros(shape, np.float32)
    layers = ((4.0, 5.6), (8.5, 7.0), (13.0, 9.0)) if glands.malignant else ((4.0, 4.6), (5.5, 6.5))
    strength = rng.uniform(0.75, 1.05)
    for middle, spacing in layers:
        band = inside & (np.abs(depth - middle) < 1.5) & (depth < np.maximum(wall_here - 1, 5)) & (lumen < 0.5)
        y, x = scatter_on(rng, band, spacing)
        long = rng.uniform(3.2, 5.2, y.size) * (1.15 if glands.malignant else 0.9)
        short = rng.uniform(1.7, 2.5, y.size) * (1.3 if glands.malignant else 1.0)
        angle = inward[y, x] + rng.normal(0, 0.3 + 0.2 * glands.malignant, y.size)
        value = strength * rng.uniform(0.7, 1.2, y.size)
        stamp_ellipses(nuclei, y, x, long, short, angle, value, hollow=0.45 if glands.malignant else 0.25)

    pale = np.maximum(lumen, 0)
    e = cytoplasm_e * (1 - goblets) + np.clip(mucin_e, 0.01, None) * goblets
    h = cytoplasm_h * (1 - goblets) + np.clip(mucin_h, 0.01, None) * goblets
    e = e * (1 - pale) + pale_e * pale
    h = h * (1 - pale) + pale_h * pale
    h = np.maximum(h, nuclei * (1 + 0.12 * grain))
    e = np.maximum(e * (1 - 0.25 * np.clip(nuclei, 0, 1)), 0.3 * nuclei)
    eosin[inside], haematoxylin[inside] = e[inside], h[inside]
