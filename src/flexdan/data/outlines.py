"""Drawing the outlines of objects on an image."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from skimage.segmentation import find_boundaries

GREEN = (0, 220, 60)


def draw_outlines(
    image: np.ndarray,
    labels: np.ndarray,
    colour: Sequence[int] | Sequence[Sequence[int]] = GREEN,
    width: int = 1,
) -> np.ndarray:
    """Draw the outline of each label inside its own pixels, so that touching objects stay apart.

    Args:
        image: uint8 (H, W, 1) or (H, W, 3).
        labels: integers (H, W); 0 is background.
        colour: red, green and blue for all, or one such triple for label 1, 2, … (starting over after the last).
        width: of the line, in pixels.

    Returns:
        uint8 (H, W, 3), a new array.

    Raises:
        ValueError: if shapes or types do not fit.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        raise ValueError(f"image is {image.dtype} {image.shape}, but must be uint8 (H, W, 1) or (H, W, 3)")
    if labels.shape != image.shape[:2]:
        raise ValueError(f"labels are {labels.shape}, but the image has {image.shape[:2]} pixels: they must be equal")
    if width < 1:
        raise ValueError(f"width is {width}, but must be at least 1 pixel")
    drawn = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image.copy()
    edge = find_boundaries(labels, connectivity=2, mode="inner", background=0)
    if width > 1:
        edge = np.asarray(ndimage.binary_dilation(edge, np.ones((3, 3), bool), iterations=width - 1)) & (labels != 0)
    colours = np.atleast_2d(np.asarray(colour, dtype=np.uint8))  # (number of colours, 3)
    drawn[edge] = colours[(labels[edge].astype(np.int64) - 1) % len(colours)]
    return drawn
