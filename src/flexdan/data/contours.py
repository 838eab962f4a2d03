"""A class for the contours of objects, so that touching ones are told apart: targets of the segmentation network.

Chen, Qi, Yu, Heng: "DCAN: Deep contour-aware networks for accurate gland segmentation", CVPR 2016, with one softmax
over background, inside and contour for its two branches.
"""

import numpy as np
from scipy import ndimage
from torch import Tensor

from flexdan.config import IGNORE

CONTOUR = 128  # added to the class of a pixel that belongs to the contour of its object


def mark_contours(classes: np.ndarray, objects: np.ndarray, width: int) -> np.ndarray:
    """Add `CONTOUR` to the classes at the contours of objects.

    The contour of an object are its pixels that have a pixel of something else within `width`: it lies in the object,
    and so does that of a neighbour. The edge of the image is none, nor are pixels that do not count.

    Args:
        classes: uint8 (H, W), below `CONTOUR`, or `IGNORE`.
        objects: integers (H, W), 0 is background.
        width: in pixels.

    Raises:
        ValueError: if there are too many classes.
    """
    counted = classes != IGNORE
    if classes[counted].max(initial=0) >= CONTOUR - 1:
        raise ValueError(f"the class {classes[counted].max()} has no contours: at most {CONTOUR - 2} is possible")
    reach = np.arange(-width, width + 1)
    disc = reach[:, None] ** 2 + reach**2 <= width**2
    _, numbers = np.unique(objects, return_inverse=True)  # small, whatever the labels are
    numbers = numbers.reshape(objects.shape).astype(np.int32)
    lowest = ndimage.minimum_filter(np.where(counted, numbers, np.iinfo(np.int32).max), footprint=disc, mode="nearest")
    highest = ndimage.maximum_filter(np.where(counted, numbers, -1), footprint=disc, mode="nearest")
    contour = (lowest != highest) & (objects != 0) & counted
    return (classes + np.uint8(CONTOUR) * contour).astype(np.uint8)


def contour_targets(marked: Tensor, num_classes: int) -> Tensor:
    """Return what a network with a class for contours is to say: one more class, the last, at the contours.

    Args:
        marked: integers (N, H, W), see `mark_contours`.
        num_classes: K, background included, contours not.
    """
    return marked.masked_fill(_on_contour(marked), num_classes)


def without_contours(marked: Tensor) -> Tensor:
    """Return the classes (N, H, W) of marked ones."""
    return marked - CONTOUR * _on_contour(marked)


def _on_contour(marked: Tensor) -> Tensor:
    return (marked >= CONTOUR) & (marked != IGNORE)
