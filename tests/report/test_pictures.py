import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flexdan.config import UserError
from flexdan.data import read_manifest
from flexdan.report import build_page, read_run
from flexdan.report.comparison import PREDICTION, TRUTH
from flexdan.report.pictures import MAX_BYTES, draw_pictures, jpeg_uri, read_examples


def decode(source: str) -> np.ndarray:
    head, _, data = source.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)


def near(pixels: np.ndarray, colour) -> int:
    return int((np.abs(pixels - np.asarray(colour)).max(2) < 60).sum())


@pytest.fixture
def predicted(folder, discs, evaluation, tmp_path) -> Path:
    """Predictions of two of the images of an evaluation: a square each."""
    records = [record for record in read_manifest(discs) if record.split == "val"]
    evaluation(folder, "val", [(record.image, 0.9 - 0.1 * at) for at, record in enumerate(records)], manifest=discs)
    for kind in ("mask", "outlines"):
        (tmp_path / "predictions" / kind).mkdir(parents=True)
    square = np.zeros((32, 40), np.uint8)
    square[4:12, 4:12] = 255
    for record in records[:2]:
        Image.fromarray(square).save(tmp_path / "predictions" / "mask" / f"{record.image.stem}.png")
        Image.fromarray(square).save(tmp_path / "predictions" / "outlines" / f"{record.image.stem}.png")
    return tmp_path / "predictions"


def test_images_of_an_evaluation_get_both_outlines(folder, predicted):
    pictures = draw_pictures(read_run(folder), predicted, 8)["val"]
    assert [picture.note for picture in pictures] == ["Dice 0.9000", "Dice 0.8000"]
    pixels = decode(pictures[0].source)
    assert pixels.shape[:2] == (pictures[0].height, pictures[0].width)
    assert near(pixels, TRUTH) > 50
    assert near(pixels, PREDICTION) > 50


def test_the_key_of_the_page_has_the_colours_of_the_outlines(folder, predicted):
    run = read_run(folder)
    page = build_page(run, pictures=draw_pictures(run, predicted, 8))
    for colour in (TRUTH, PREDICTION):
        assert "background: #{:02x}{:02x}{:02x}".format(*colour) in page


def test_without_the_image_what_predict_drew_is_shown(folder, predicted):
    run = read_run(folder)
    for name in predicted.glob("mask/*"):
        name.unlink()
    assert len(draw_pictures(run, predicted, 8)["val"]) == 2


def test_a_prediction_of_another_size_belongs_to_another_image(folder, predicted):
    for name in predicted.glob("*/*.png"):
        Image.new("L", (9, 9)).save(name)
    pictures = draw_pictures(read_run(folder), predicted, 1)
    assert "val" not in pictures
    assert len(pictures[""]) == 1


def test_names_that_predict_made_longer_are_found(folder, predicted):
    for kind in ("mask", "outlines"):
        for path in (predicted / kind).iterdir():
            path.rename(path.with_stem(path.stem + "_png"))
    assert len(draw_pictures(read_run(folder), predicted, 8)["val"]) == 2


def test_a_folder_without_predictions_is_refused(folder, tmp_path):
    with pytest.raises(UserError, match=r"neither outlines/\*\.png nor mask"):
        draw_pictures(read_run(folder), tmp_path, 8)


def test_pictures_are_small_whatever_is_in_them():
    noise = np.random.default_rng(0).integers(0, 256, (480, 480, 3), dtype=np.uint8)
    source = jpeg_uri(noise, MAX_BYTES)
    assert len(base64.b64decode(source.partition(",")[2])) <= MAX_BYTES
    decode(source)


def test_examples_of_evaluate_are_read(folder, evaluation):
    evaluation(folder)
    assert read_examples(read_run(folder)) == {}
    Image.new("RGB", (30, 20), (200, 0, 0)).save(folder / "evaluation" / "test" / "examples.png")
    assert (decode(read_examples(read_run(folder))["test"].source)[10, 10] == [200, 0, 0]).sum() >= 2
