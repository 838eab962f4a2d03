"""Stroma of the synthetic set: fibres and their cells, and what looks like a part of a gland but is none."""

import numpy as np
from scipy import ndimage

from flexdan.data.synthesis_texture import fibre_noise, scatter, smooth_noise, stamp_ellipses


def paint_stroma(rng: np.random.Generator, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Paint the tissue between the glands.

    Args:
        rng: source of randomness.
        labels: int (H, W): where the glands (not 0) will be painted later.

    Returns:
        the amounts of haematoxylin and of eosin, float32 (H, W) each.
    """
    shape = labels.shape
    outside = np.asarray(ndimage.distance_transform_edt(labels == 0), np.float32)  # distance from the nearest gland
    angle = rng.uniform(0, np.pi) + 0.5 * smooth_noise(rng, shape, 70)
    streaks = fibre_noise(rng, angle, 26, 2.6)
    bundles = fibre_noise(rng, angle, 60, 9)
    grain = smooth_noise(rng, shape, 2.5)
    level = rng.uniform(0.34, 0.5)
    eosin = level + 0.10 * streaks + 0.08 * bundles + 0.04 * grain
    haematoxylin = 0.13 + 0.03 * streaks + 0.05 * smooth_noise(rng, shape, 35) + 0.02 * grain

    white = _clefts(rng, bundles, outside) if rng.uniform() < 0.7 else np.zeros(shape, np.float32)
    white = np.maximum(white, _halo(rng, outside))
    white = np.maximum(white, _fat(rng, outside) if rng.uniform() < 0.3 else 0)
    eosin = np.clip(eosin, 0.08, None) * (1 - white) + 0.02 * white
    haematoxylin = np.clip(haematoxylin, 0.03, None) * (1 - white) + 0.01 * white

    cells = _cells(rng, angle, white, outside)
    haematoxylin = np.maximum(haematoxylin, cells * (1 + 0.1 * grain))
    eosin = eosin * (1 - 0.25 * np.clip(cells, 0, 1))
    _vessels(rng, outside, haematoxylin, eosin)
    return haematoxylin.astype(np.float32), eosin.astype(np.float32)


def _clefts(rng: np.random.Generator, bundles: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Tears along the fibres, 0..1: white as a lumen."""
    field = bundles + 0.8 * smooth_noise(rng, bundles.shape, 22)
    return np.clip((field - rng.uniform(1.1, 1.7)) * 4, 0, 1) * np.clip(outside - 1, 0, 1)


def _halo(rng: np.random.Generator, outside: np.ndarray) -> np.ndarray:
    """Gaps in places where the stroma shrank away from a gland, 0..1."""
    width = 1.6 * smooth_noise(rng, outside.shape, 24) + rng.uniform(-1, 1.2)
    return np.clip(width - np.abs(outside - 2), 0, 0.9)


def _fat(rng: np.random.Generator, outside: np.ndarray) -> np.ndarray:
    """Fat cells in a part of the image: white discs with thin walls between, 0..1."""
    shape = outside.shape
    where = np.clip((smooth_noise(rng, shape, 60) - 0.4) * 6, 0, 1)
    spacing = rng.uniform(20, 30)
    y, x = scatter(rng, np.ones(shape), spacing)
    seeds = np.ones(shape, bool)
    seeds[y, x] = False
    nearest = np.asarray(ndimage.distance_transform_edt(seeds, return_distances=False, return_indices=True))
    cell = nearest[0] * shape[1] + nearest[1]
    wall = (cell != np.roll(cell, 1, 0)) | (cell != np.roll(cell, 1, 1))
    from_wall = np.asarray(ndimage.distance_transform_edt(~wall & (where > 0.5) & (outside > 2)), np.float32)
    return np.clip(ndimage.gaussian_filter(from_wall, 1.8) - 2.2, 0, 1)  # blurred distances round the corners


def _cells(rng: np.random.Generator, angle: np.ndarray, white: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Nuclei of fibroblasts along the fibres, and of lymphocytes, scattered and in clusters: haematoxylin (H, W)."""
    shape = angle.shape
    cells = np.zeros(shape, np.float32)
    free = (white < 0.3) & (outside > 2)
    y, x = scatter(rng, free * rng.uniform(0.25, 0.6), 9)
    long, short = rng.uniform(4, 7, y.size), rng.uniform(1.1, 1.9, y.size)
    along = angle[y, x] + rng.normal(0, 0.25, y.size)
    stamp_ellipses(cells, y, x, long, short, along, rng.uniform(0.5, 0.95, y.size))
    crowd = np.clip(0.55 * smooth_noise(rng, shape, 45) - rng.uniform(0, 0.5), 0, 0.95) + rng.uniform(0.02, 0.12)
    y, x = scatter(rng, free * crowd, 5.5)
    long = rng.uniform(2.2, 3.2, y.size)
    stamp_ellipses(cells, y, x, long, long * rng.uniform(0.75, 1, y.size), long, rng.uniform(0.8, 1.3, y.size), 0.15)
    return cells


def _vessels(rng: np.random.Generator, outside: np.ndarray, haematoxylin: np.ndarray, eosin: np.ndarray) -> None:
    """Paint small vessels in place: pale inside with red cells, a thin wall with few flat nuclei."""
    shape = outside.shape
    y_grid, x_grid = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    y_grid += 2 * smooth_noise(rng, shape, 14)
    for _ in range(rng.poisson(shape[0] * shape[1] / 30_000)):
        y, x = np.unravel_index(int(rng.integers(outside.size)), shape)
        room = float(outside[y, x])
        if room < 9:
            continue
        short = min(rng.uniform(6, 16), room - 3)
        long = short * rng.uniform(1, 1.8)
        turn = rng.uniform(0, np.pi)
        dy, dx = y_grid - y, x_grid - x
        along = (dx * np.cos(turn) + dy * np.sin(turn)) / long
        across = (dy * np.cos(turn) - dx * np.sin(turn)) / short
        edge = (1 - np.hypot(along, across)) * short  # about the distance from the wall, in pixels
        lumen = np.clip(edge, 0, 1) * np.clip(outside - 2, 0, 1)
        wall = np.clip(3 - np.abs(edge + 1.5), 0, 1) * np.clip(outside - 2, 0, 1)
        eosin += wall * 0.12
        eosin *= 1 - lumen
        haematoxylin *= 1 - lumen
        eosin += 0.03 * lumen
        cell_y, cell_x = scatter(rng, (lumen > 0.9) * rng.uniform(0, 0.8), 4.5)
        reds = np.zeros(shape, np.float32)
        size = rng.uniform(1.8, 2.5, cell_y.size)
        stamp_ellipses(reds, cell_y, cell_x, size, size, size, rng.uniform(0.6, 1.0, size.size))
        np.maximum(eosin, reds, out=eosin)
        cell_y, cell_x = scatter(rng, (np.abs(edge + 1) < 1.2) * (outside > 2) * 0.6, 6)
        rim = np.zeros(shape, np.float32)
        tangent = np.arctan2(cell_y - y, cell_x - x) + np.pi / 2
        size = rng.uniform(3, 5, cell_y.size)
        stamp_ellipses(rim, cell_y, cell_x, size, size * 0.35, tangent, rng.uniform(0.6, 1, size.size))
        np.maximum(haematoxylin, rim, out=haematoxylin)
