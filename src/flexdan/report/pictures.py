"""Small pictures for a report: images of an evaluation with the outlines of annotation and prediction."""

import base64
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from flexdan.config import IGNORE, UserError
from flexdan.data import ImageRecord, read_image, read_manifest, read_mask
from flexdan.data.masks import MaskValues
from flexdan.report.comparison import compare
from flexdan.report.page import Picture
from flexdan.report.run import Evaluation, ImageScore, Run, best_and_worst, pick
from flexdan.report.tables import number

SIDE = 480  # pixels of the longer side
MAX_BYTES, MAX_SHEET_BYTES = 60_000, 400_000  # of one picture, and of the examples of an evaluation


def draw_pictures(run: Run, predictions: Path, limit: int) -> dict[str, list[Picture]]:
    """Draw what `flexdan predict` has written: the best and worst images of each evaluation, or any if none is there.

    Args:
        run: the run.
        predictions: the output of predict: a folder with `mask` or `outlines` in it.
        limit: at most so many pictures of each evaluation.

    Returns:
        For the name of an evaluation its pictures; for "" the pictures of outlines, where no evaluation has any.

    Raises:
        UserError: if the folder holds no predictions.
    """
    outlines = sorted(predictions.glob("outlines/**/*.png"))
    if not outlines and not any(predictions.glob("mask/**/*.png")):
        raise UserError(
            f"{predictions} has neither outlines/*.png nor mask/*.png: name the folder of `flexdan predict`"
        )
    drawn = {one.name: _evaluation_pictures(one, run, predictions, limit) for one in run.evaluations}
    if any(drawn.values()) or not limit:
        return drawn
    chosen = np.unique(np.linspace(0, len(outlines) - 1, min(limit, len(outlines))).round().astype(int))
    return {"": [_picture(_shrink(read_image(outlines[at], 3)), outlines[at].stem, "") for at in chosen]}


def read_examples(run: Run) -> dict[str, Picture]:
    """Return the picture of examples that evaluate has drawn, for the name of each evaluation that has one."""
    return {
        one.name: _picture(read_image(path, 3), path.name, "", MAX_SHEET_BYTES)
        for one in run.evaluations
        if (path := run.folder / "evaluation" / one.name / "examples.png").is_file()
    }


def jpeg_uri(pixels: np.ndarray, max_bytes: int) -> str:
    """Return a picture, uint8 (H, W, 3), as the data URI of a JPEG of at most so many bytes."""
    image = Image.fromarray(pixels)
    while True:
        for quality in (90, 82, 74, 64, 52):
            file = io.BytesIO()
            image.save(file, "JPEG", quality=quality, subsampling=0)  # thin lines keep their colour
            if file.tell() <= max_bytes:
                return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
        image = image.resize((max(1, image.width * 3 // 4), max(1, image.height * 3 // 4)), Image.Resampling.LANCZOS)


def _evaluation_pictures(evaluation: Evaluation, run: Run, predictions: Path, limit: int) -> list[Picture]:
    """Draw the images of an evaluation whose predictions are there; those that cannot be read are left out."""
    stems = Counter(score.image.stem for score in evaluation.images)
    records = _annotations(Path(evaluation.figures["manifest"]))
    several = (pick(run.start, "config", "sn", "output_channels") or 2) != 2
    pictures = []
    for score in best_and_worst(evaluation.images, limit):
        names = _names(score.image, alone=stems[score.image.stem] == 1)
        try:
            pixels = _draw(score, predictions, names, records.get(score.image), several)
        except (UserError, OSError):
            continue
        if pixels is not None:
            pictures.append(_picture(pixels, score.image.name, f"Dice {number(score.dice)}"))
    return pictures


def _names(image: Path, alone: bool) -> list[str]:
    """Return the names that predict may have given to the result of an image, the surest first."""
    longer = f"{image.stem}_{image.suffix.lstrip('.').lower()}"
    return [f"{image.resolve().parent.name}_{longer}", longer] + [image.stem] * alone


def _draw(
    score: ImageScore, predictions: Path, names: Sequence[str], record: ImageRecord | None, several: bool
) -> np.ndarray | None:
    """Return the small image with both outlines, uint8 (h, w, 3); where files lack, what predict drew, or None."""
    mask, outlines = (_find(predictions / kind, names) for kind in ("mask", "outlines"))
    if mask is not None and score.image.is_file():
        pixels, predicted = read_image(score.image), read_mask(mask)
        if predicted.shape != pixels.shape[:2]:
            return None  # another image of the same name
        truth = np.zeros(predicted.shape, np.int64)
        if record is not None and record.mask is not None:
            truth = MaskValues.parse(record.mask_values).to_classes(read_mask(record.mask), str(record.mask))
            truth = np.where(truth == IGNORE, 0, truth)
        return compare("", pixels, truth, predicted if several else predicted > 0).picture
    if outlines is not None:
        pixels = read_image(outlines, 3)
        return _shrink(pixels) if pixels.shape[:2] == (score.height, score.width) else None
    return None


def _find(folder: Path, names: Sequence[str]) -> Path | None:
    return next((path for name in names if (path := folder / f"{name}.png").is_file()), None)


def _annotations(manifest: Path) -> dict[Path, ImageRecord]:
    """Return the annotated images of a manifest; none if it cannot be read here."""
    try:
        return {record.image: record for record in read_manifest(manifest) if record.annotated}
    except UserError:
        return {}


def _shrink(pixels: np.ndarray) -> np.ndarray:
    """Return the picture with its longer side at most `SIDE` pixels: uint8 (H, W, 3) -> (h, w, 3)."""
    height, width = pixels.shape[:2]
    factor = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def _picture(pixels: np.ndarray, name: str, note: str, max_bytes: int = MAX_BYTES) -> Picture:
    height, width = pixels.shape[:2]
    return Picture(source=jpeg_uri(pixels, max_bytes), width=width, height=height, name=name, note=note)
