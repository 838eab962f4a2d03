"""Drawing tools of the synthetic set: smooth noise, fibres, many small ellipses at once, stain and camera."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

PATCH = 8  # half the side, in pixels, of the square in which one ellipse is drawn


@dataclass(frozen=True, kw_only=True)
class Stain:
    """How haematoxylin and eosin absorb light in the slides of one patient.

    Args:
        haematoxylin: absorbance in red, green and blue for one unit of the dye.
        eosin: likewise.
    """

    haematoxylin: np.ndarray
    eosin: np.ndarray


def draw_stain(rng: np.random.Generator) -> Stain:
    """Draw the hue and the strength of both dyes around their usual absorbance (Ruifrok and Johnston, 2001)."""

    def vary(absorbance: tuple[float, float, float], hue: float, strength: float) -> np.ndarray:
        vector = np.clip(np.array(absorbance) + rng.normal(0, hue, 3), 0.02, None)
        return (vector / np.linalg.norm(vector) * np.exp(rng.normal(0, strength))).astype(np.float32)

    return Stain(
        haematoxylin=vary((0.62, 0.73, 0.29), hue=0.04, strength=0.2),
        eosin=vary((0.10, 0.96, 0.25), hue=0.07, strength=0.25),
    )


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> np.ndarray:
    """Return noise of mean 0 and deviation about 1 whose blobs are about `scale` pixels wide; float32 (H, W)."""
    size = [int(length / scale) + 4 for length in shape]
    coarse = rng.standard_normal(size, dtype=np.float32)
    offset = 1 + float(rng.uniform())
    # cubic B-splines without prefilter are smooth, but shrink the deviation: 1.45 makes up for it
    return 1.45 * ndimage.affine_transform(
        coarse, np.full(2, 1 / scale), offset, shape, order=3, mode="nearest", prefilter=False
    )


def fibre_noise(rng: np.random.Generator, angle: np.ndarray, length: float, width: float) -> np.ndarray:
    """Return noise stretched along one direction and bent by a varying one, as collagen is; float32 (H, W).

    Args:
        rng: source of randomness.
        angle: direction of the fibres in radians (H, W); its mean sets the direction, the rest bends it.
        length: of the streaks, in pixels.
        width: of the streaks, in pixels.
    """
    height, width_px = angle.shape
    y, x = np.mgrid[:height, :width_px].astype(np.float32)
    mean = float(angle.mean())
    bend = (angle - mean) * 25  # displacement across the fibres, in pixels
    along = (x * np.cos(mean) + y * np.sin(mean)) / length
    across = (y * np.cos(mean) - x * np.sin(mean) + bend) / width
    coordinates = np.stack([across - across.min() + 1, along - along.min() + 1])
    size = [int(axis.max()) + 4 for axis in coordinates]
    coarse = rng.standard_normal(size, dtype=np.float32)
    return 1.45 * ndimage.map_coordinates(coarse, coordinates, order=2, mode="nearest", prefilter=False)


def scatter(rng: np.random.Generator, weight: np.ndarray, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Choose pixels at random, about `spacing` apart, with the probability `weight` (H, W) in 0..1.

    Returns:
        rows and columns of the pixels chosen, at most one in each cell of a jittered grid.
    """
    height, width = weight.shape
    rows, columns = int(height / spacing) + 1, int(width / spacing) + 1
    y = ((np.arange(rows)[:, None] + rng.uniform(0, 1, (rows, columns))) * spacing).astype(int).ravel()
    x = ((np.arange(columns)[None, :] + rng.uniform(0, 1, (rows, columns))) * spacing).astype(int).ravel()
    chance = rng.uniform(0, 1, y.size)
    inside = (y < height) & (x < width)
    y, x, chance = y[inside], x[inside], chance[inside]
    chosen = chance < weight[y, x]
    return y[chosen], x[chosen]


def scatter_on(rng: np.random.Generator, band: np.ndarray, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Choose pixels of a thin band (bool (H, W)), at most one in each cell of a grid of the given spacing."""
    y, x = np.nonzero(band)
    order = rng.permutation(y.size)
    y, x = y[order], x[order]
    cells = (y / spacing).astype(np.int64) * 100_000 + (x / spacing).astype(np.int64)
    _, first = np.unique(cells, return_index=True)
    return y[first], x[first]


def stamp_ellipses(
    canvas: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    long: np.ndarray,
    short: np.ndarray,
    angle: np.ndarray,
    value: np.ndarray,
    hollow: float = 0.0,
) -> None:
    """Draw soft-edged ellipses into `canvas` (H, W) in place; where they meet, the larger value stays.

    Args:
        canvas: float32 array.
        y: row of each centre.
        x: column of each centre.
        long: half axis along `angle`, in pixels.
        short: half axis across it.
        angle: direction of the long axis in radians, counted from the columns towards the rows.
        value: what the ellipses add at most.
        hollow: how much paler the middle is, 0..1.
    """
    if y.size == 0:
        return
    steps = np.arange(-PATCH, PATCH + 1, dtype=np.float32)
    dy, dx = steps[None, :, None], steps[None, None, :]
    cos, sin = (f(angle).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
    along = (dx * cos + dy * sin) / long.astype(np.float32)[:, None, None]
    across = (dy * cos - dx * sin) / short.astype(np.float32)[:, None, None]
    radius = np.sqrt(along**2 + across**2)
    edge = short.astype(np.float32)[:, None, None]
    cover = np.clip((1 - radius) * edge + 0.5, 0, 1) * (1 - hollow * np.clip(1 - radius * 1.3, 0, 1))
    drawn = cover * value.astype(np.float32)[:, None, None]
    rows = np.broadcast_to(y[:, None, None] + dy.astype(int), drawn.shape)
    columns = np.broadcast_to(x[:, None, None] + dx.astype(int), drawn.shape)
    keep = (drawn > 0) & (rows >= 0) & (rows < canvas.shape[0]) & (columns >= 0) & (columns < canvas.shape[1])
    np.maximum.at(canvas, (rows[keep], columns[keep]), drawn[keep])


def develop(rng: np.random.Generator, haematoxylin: np.ndarray, eosin: np.ndarray, stain: Stain) -> np.ndarray:
    """Turn the amounts of both dyes (H, W) into a photograph: Beer-Lambert law, lamp, focus, coding and noise.

    Returns:
        uint8 image (H, W, 3).
    """
    height, width = eosin.shape
    focus = rng.uniform(0.45, 1.2)
    density = [ndimage.gaussian_filter(dye, focus) for dye in (haematoxylin, eosin)]
    light = np.exp(-(density[0][..., None] * stain.haematoxylin + density[1][..., None] * stain.eosin))
    y, x = np.linspace(-1, 1, height, dtype=np.float32), np.linspace(-1, 1, width, dtype=np.float32)
    slope = rng.normal(0, 0.02, 2).astype(np.float32)
    lamp = rng.uniform(236, 250) * (1 + slope[0] * y[:, None] + slope[1] * x[None, :])
    photo = light * lamp[..., None] * (1 + rng.normal(0, 0.008, 3)).astype(np.float32)
    brightness = photo.mean(axis=2, keepdims=True)
    colour = photo - brightness
    for axis in (0, 1):  # JPEG stores colour at half the resolution
        colour = ndimage.uniform_filter1d(colour, 2, axis=axis)
    grain = rng.normal(0, rng.uniform(1.5, 3.5), (height, width, 1)).astype(np.float32)
    return np.clip(np.rint(brightness + colour + grain), 0, 255).astype(np.uint8)
