"""Windows of one size, cut from images of any size: at random places, or side by side over all of an image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from flexdan.config import IGNORE

Size = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """A place in an image.

    Args:
        index: of the image in its dataset.
        top: first row.
        left: first column.
        seen: how many of its first rows and columns do not count, since another window has them.
    """

    index: int
    top: int
    left: int
    seen: Size = (0, 0)


def cut(image: Tensor, target: Tensor, window: Window, size: Size) -> tuple[Tensor, Tensor]:
    """Return a window of an image and its target; what lies outside of the image is its reflection, and not counted.

    Args:
        image: uint8 (H, W, C).
        target: uint8 (H, W).
        window: its place.
        size: height and width of the window.

    Returns:
        uint8 (h, w, C) and (h, w); the target is `IGNORE` where nothing counts.
    """
    rows, columns = slice(window.top, window.top + size[0]), slice(window.left, window.left + size[1])
    pixels = extend(image.numpy(), size)[rows, columns]
    classes = np.full(size, IGNORE, dtype=np.uint8)
    inside = target.numpy()[rows, columns]
    classes[: inside.shape[0], : inside.shape[1]] = inside
    classes[: window.seen[0]] = IGNORE
    classes[:, : window.seen[1]] = IGNORE
    return torch.from_numpy(np.ascontiguousarray(pixels)), torch.from_numpy(classes)


def extend(pixels: np.ndarray, size: Size) -> np.ndarray:
    """Extend an image (H, W, C) at its bottom and right by reflection until it is at least of this size."""
    missing = [max(wanted - have, 0) for wanted, have in zip(size, pixels.shape[:2], strict=True)]
    return np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="reflect") if any(missing) else pixels


def random_window(index: int, image: Size, size: Size, generator: torch.Generator) -> Window:
    """Return a window at a random place of an image of some height and width, each place alike."""
    places = [max(have - wanted, 0) + 1 for have, wanted in zip(image, size, strict=True)]
    top, left = (int(torch.randint(count, (), generator=generator)) for count in places)
    return Window(index, top, left)


def covering_windows(images: Sequence[Size], size: Size) -> list[Window]:
    """Return windows that cover each image, by its height and width, in which each of its pixels counts once."""
    return [
        Window(index, top, left, (rows, columns))
        for index, image in enumerate(images)
        for top, rows in _starts(image[0], size[0])
        for left, columns in _starts(image[1], size[1])
    ]


def _starts(length: int, window: int) -> Iterator[tuple[int, int]]:
    """Yield where windows start that cover a side, and how much of each was covered before: the last is moved back."""
    for first in range(0, length, window):
        start = min(first, max(length - window, 0))
        yield start, first - start
