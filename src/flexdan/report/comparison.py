"""A picture of truth and prediction side by side on the images themselves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from flexdan.data.outlines import draw_outlines

TRUTH, PREDICTION = (0, 220, 60), (255, 200, 0)
CELL, MARGIN, CAPTION, LEGEND = 360, 14, 26, 34  # pixels
INK, PAPER = (30, 30, 35), (255, 255, 255)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One image of the picture.

    Args:
        caption: stands below it.
        picture: uint8 (h, w, 3), its longer side `CELL` pixels.
    """

    caption: str
    picture: np.ndarray


def compare(caption: str, pixels: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> Comparison:
    """Draw the outlines of truth and prediction on a small copy of an image; the image itself is not kept.

    Args:
        caption: stands below it.
        pixels: uint8 (H, W, C); the first three channels are shown, or the first as grey.
        truth: classes or objects, integers (H, W); 0 is background.
        predicted: classes or objects (H, W).
    """
    height, width = pixels.shape[:2]
    factor = CELL / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    shown = pixels[:, :, :3] if pixels.shape[2] >= 3 else pixels[:, :, 0]
    small = np.asarray(Image.fromarray(np.ascontiguousarray(shown)).convert("RGB").resize(size))
    for labels, colour in ((truth, TRUTH), (predicted, PREDICTION)):
        reduced = np.asarray(Image.fromarray(labels.astype(np.int32)).resize(size, Image.Resampling.NEAREST))
        small = draw_outlines(small, reduced, colour, width=2)
    return Comparison(caption=caption, picture=small)


def draw_page(comparisons: Sequence[Comparison]) -> np.ndarray:
    """Put the images on one page, three or four in a row, under a legend: uint8 (H, W, 3)."""
    columns = min(len(comparisons), 3 if len(comparisons) <= 9 else 4)
    rows = -(-len(comparisons) // columns)
    tallest = max(one.picture.shape[0] for one in comparisons)
    step = tallest + CAPTION + MARGIN
    page = Image.new("RGB", (columns * (CELL + MARGIN) + MARGIN, LEGEND + rows * step + MARGIN), PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    left = MARGIN
    for colour, name in ((TRUTH, "annotation"), (PREDICTION, "prediction (on top)")):
        draw.line((left, 20, left + 26, 20), fill=colour, width=4)
        draw.text((left + 34, 11), name, fill=INK, font=font)
        left += 60 + round(font.getlength(name))
    for position, one in enumerate(comparisons):
        row, column = divmod(position, columns)
        left, top = MARGIN + column * (CELL + MARGIN), LEGEND + row * step
        page.paste(Image.fromarray(one.picture), (left + (CELL - one.picture.shape[1]) // 2, top))
        draw.text((left, top + tallest + 4), one.caption, fill=INK, font=font)
    return np.asarray(page)
