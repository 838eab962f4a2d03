"""The contact sheet: many images of a manifest on one page, annotated ones with their outlines."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from flexdan.config import IGNORE, UserError
from flexdan.data.images import read_image, read_mask
from flexdan.data.manifest import ImageRecord
from flexdan.data.masks import MaskValues
from flexdan.data.outlines import GREEN, draw_outlines
from flexdan.data.splits import largest_remainder, ordered_splits
from flexdan.data.summary import count_objects

Track = Callable[[Sequence[Any], str], Iterable[Any]]

CELL = 300  # pixels a side, without the caption
CAPTION, MARGIN = 44, 14
PAPER, INK, FAINT, ORANGE = (255, 255, 255), (30, 30, 35), (105, 105, 115), (200, 95, 0)
BLANK = (235, 235, 238)
CROWD = 20  # objects; more than this are outlined thinly
CLASS_COLOURS = (GREEN, (255, 170, 0), (0, 190, 255), (235, 60, 200), (255, 235, 0), (255, 70, 60))


def draw_contact_sheet(records: Sequence[ImageRecord], limit: int, track: Track) -> np.ndarray:
    """Draw images on one page: name, split, annotated or not, and the outlines of the objects of annotated ones.

    Masks of unannotated images are not opened. One image is in memory at a time.

    Args:
        records: rows of a manifest.
        limit: at most so many images, chosen evenly from each split, annotated and unannotated.
        track: a progress bar.

    Returns:
        uint8 (H, W, 3).
    """
    chosen = choose_evenly(records, limit)
    columns = min(len(chosen), max(2, round((len(chosen) * 1.6) ** 0.5)))
    rows = -(-len(chosen) // columns)
    step_x, step_y = CELL + MARGIN, CELL + CAPTION + MARGIN
    cells = [(record, index) for index, record in enumerate(chosen)]
    tallest = max(_thumbnail_size(record)[0] for record in chosen)
    step_y -= CELL - tallest  # no white bands below wide images
    page = Image.new("RGB", (columns * step_x + MARGIN, rows * step_y + MARGIN), PAPER)
    for record, index in track(cells, "drawing the contact sheet"):
        left, top = MARGIN + index % columns * step_x, MARGIN + index // columns * step_y
        _draw_cell(page, record, left, top, tallest)
    return np.asarray(page)


def choose_evenly(records: Sequence[ImageRecord], limit: int) -> list[ImageRecord]:
    """Choose at most `limit` images, evenly spaced in each split, annotated and unannotated apart."""
    kinds = [
        [record for record in records if (record.split, record.annotated) == (split, annotated)]
        for split in ordered_splits(records)
        for annotated in (True, False)
    ]
    kinds = [kind for kind in kinds if kind][: max(1, limit)]
    total = sum(map(len, kinds))
    if total <= limit:
        return [record for kind in kinds for record in kind]
    extra = largest_remainder(
        limit - len(kinds), {str(at): (len(kind) - 1) / (total - len(kinds)) for at, kind in enumerate(kinds)}
    )
    chosen = []
    for at, kind in enumerate(kinds):
        count = min(len(kind), 1 + extra[str(at)])
        chosen += [kind[index] for index in np.linspace(0, len(kind) - 1, count).round().astype(int)]
    return chosen


def _draw_cell(page: Image.Image, record: ImageRecord, left: int, top: int, tallest: int) -> None:
    draw = ImageDraw.Draw(page)
    try:
        pixels, note = _render(record)
        colour = FAINT if record.annotated else ORANGE
        height, width = pixels.shape[:2]
        page.paste(Image.fromarray(pixels), (left + (CELL - width) // 2, top + (tallest - height) // 2))
    except (UserError, OSError):
        note, colour = "cannot be read", ORANGE
        draw.rectangle((left, top, left + CELL - 1, top + tallest - 1), fill=BLANK)
    bottom = top + tallest
    draw.text((left, bottom + 4), _shorten(record.name, _font(16)), fill=INK, font=_font(16))
    draw.text((left, bottom + 24), f"{record.split or 'no split'} · {note}", fill=colour, font=_font(13))


def _render(record: ImageRecord) -> tuple[np.ndarray, str]:
    """Return the small image with outlines, uint8 (h, w, 3), and what to say about it."""
    height, width = _thumbnail_size(record)
    pixels = _resize(_to_colours(read_image(record.image)), height, width)
    if not record.annotated:
        return pixels, "unannotated"
    labels, objects = _read_labels(record)
    labels = np.asarray(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))
    by_class = MaskValues.parse(record.mask_values).kind == "classes"
    drawn = draw_outlines(pixels, labels, CLASS_COLOURS if by_class else GREEN, width=1 if objects > CROWD else 2)
    return drawn, f"annotated · {objects} object{'' if objects == 1 else 's'}"


def _read_labels(record: ImageRecord) -> tuple[np.ndarray, int]:
    """Return what to outline, int32 (H, W), and the number of objects."""
    assert record.annotated
    assert record.mask is not None
    meaning = MaskValues.parse(record.mask_values)
    values = read_mask(record.mask)
    classes = meaning.to_classes(values, str(record.mask))
    objects = count_objects(values, meaning, classes)
    if meaning.kind == "instances":
        return np.unique(values, return_inverse=True)[1].reshape(values.shape).astype(np.int32), objects
    return np.where(classes == IGNORE, 0, classes).astype(np.int32), objects


def _thumbnail_size(record: ImageRecord) -> tuple[int, int]:
    factor = CELL / max(record.height, record.width)
    return max(1, round(record.height * factor)), max(1, round(record.width * factor))


def _to_colours(pixels: np.ndarray) -> np.ndarray:
    """Make three of any number of channels, for the eye: the first three, or the first one, dark ones brightened."""
    if pixels.shape[2] >= 3:
        return pixels[:, :, :3]
    grey = pixels[:, :, :1]
    brightest = max(float(np.percentile(grey, 99.8)), 1.0)  # fluorescence is often too dark to see
    stretched = np.clip(grey * (255.0 / brightest), 0, 255).astype(np.uint8) if brightest < 200 else grey
    return np.repeat(stretched, 3, axis=2)


def _resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    channels = [Image.fromarray(np.ascontiguousarray(channel)) for channel in np.moveaxis(pixels, 2, 0)]
    return np.stack([np.asarray(one.resize((width, height), Image.Resampling.LANCZOS)) for one in channels], axis=2)


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _shorten(text: str, font: Any) -> str:
    if font.getlength(text) <= CELL:
        return text
    while text and font.getlength(text + "…") > CELL:
        text = text[:-1]
    return text + "…"
