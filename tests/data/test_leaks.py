"""The checks of a manifest, on images whose faults are known."""

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter
from scipy import ndimage

from flexdan.data import ImageRecord, file_sha256, image_size, read_image, read_manifest, write_image
from flexdan.data.importing import untracked
from flexdan.data.layouts import list_images
from flexdan.data.leaks import (
    NEAR_IDENTICAL,
    THUMBNAIL,
    check_manifest,
    find_crossing_groups,
    find_identical,
    find_near_identical,
    thumbnail,
)


def make_pixels(seed: int, height: int = 96, width: int = 128, channels: int = 3) -> np.ndarray:
    """Return smooth blobs."""
    noise = np.random.default_rng(seed).normal(size=(height, width, channels))
    smooth = ndimage.gaussian_filter(noise, (5, 5, 0))
    return np.clip(128 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def make_record(folder: Path, name: str, pixels: np.ndarray, split: str = "train", **changes) -> ImageRecord:
    """Write an image and return its record."""
    path = folder / f"{name}.png"
    write_image(path, pixels)
    height, width, channels = image_size(path)
    record = ImageRecord(
        image=path, split=split, height=height, width=width, channels=channels, sha256=file_sha256(path)
    )
    return replace(record, **changes)


def kinds(records) -> list[str]:
    """Return the kinds of what the check finds."""
    return [finding.kind for finding in check_manifest(records, untracked)]


def test_a_sound_manifest_has_no_findings(tmp_path):
    records = [
        make_record(tmp_path, str(seed), make_pixels(seed), "train" if seed % 2 else "val") for seed in range(12)
    ]
    records += [
        make_record(tmp_path, "flat", np.zeros((8, 8), np.uint8)),
        make_record(tmp_path, "one", np.ones((8, 8), np.uint8), "val"),
    ]
    assert check_manifest(records, untracked) == []


def test_the_same_file_in_two_splits(tmp_path):
    records = [
        make_record(tmp_path, "a", make_pixels(0)),
        make_record(tmp_path, "b", make_pixels(0), "val"),
        make_record(tmp_path, "c", make_pixels(0), "val"),
        make_record(tmp_path, "d", make_pixels(1)),
        make_record(tmp_path, "e", make_pixels(1)),  # twice in one split is no leak
        make_record(tmp_path, "f", make_pixels(1), ""),  # nor is an image in no split
    ]
    (finding,) = check_manifest(records, untracked)
    assert finding.kind == "identical"
    assert finding.images == ("a", "b", "c")
    assert finding.text == "the same file in two splits: a.png (train) and b.png (val) and c.png (val)"
    assert find_identical([replace(record, sha256="") for record in records]) == []


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_mirrored_and_turned_copies_are_found(tmp_path, turns, mirrored):
    pixels = np.rot90(make_pixels(0)[:, ::-1] if mirrored else make_pixels(0), turns)
    pixels = np.clip(pixels.astype(int) * 0.8 + 30, 0, 255).astype(np.uint8)  # no longer the same bytes
    records = [make_record(tmp_path, "a", make_pixels(0)), make_record(tmp_path, "other", make_pixels(2), "val")]
    records.append(make_record(tmp_path, "b", pixels, "val"))
    (finding,) = check_manifest(records, untracked)
    assert finding.kind == "near-identical"
    assert finding.images == ("a", "b")
    assert "a.png (train) and b.png (val) (correlation 0.99" in finding.text or "1.000" in finding.text


def test_copies_in_one_split_are_no_leak(tmp_path):
    thumbnails = np.stack([thumbnail(make_pixels(0)), thumbnail(make_pixels(0))])
    records = [ImageRecord(image=Path("a.png"), split="train"), ImageRecord(image=Path("b.png"), split="train")]
    assert find_near_identical(records, thumbnails) == []
    records[1] = replace(records[1], split="val")
    assert len(find_near_identical(records, thumbnails)) == 1
    records[1] = replace(records[1], split="")
    assert find_near_identical(records, thumbnails) == []


def test_thumbnails_are_normalised_and_turn_with_the_image():
    pixels = make_pixels(0)
    small = thumbnail(pixels)
    assert small.shape == (THUMBNAIL, THUMBNAIL)
    assert small.mean() == pytest.approx(0, abs=1e-6)
    assert np.linalg.norm(small) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(thumbnail(np.rot90(pixels)), np.rot90(small), atol=2e-3)
    assert thumbnail(np.full((9, 9, 5), 7, np.uint8)).max() == 0


def test_many_images_are_compared_in_blocks():
    rng = np.random.default_rng(0)
    thumbnails = rng.normal(size=(1500, THUMBNAIL, THUMBNAIL)).astype(np.float32)
    thumbnails /= np.linalg.norm(thumbnails.reshape(1500, -1), axis=1)[:, None, None]
    thumbnails[1400] = np.rot90(thumbnails[3])
    records = [ImageRecord(image=Path(f"{at}.png"), split="val" if at > 1000 else "train") for at in range(1500)]
    assert [finding.images for finding in find_near_identical(records, thumbnails)] == [("3", "1400")]


def test_groups_in_two_splits():
    records = [
        ImageRecord(image=Path(f"{at}.png"), group=group, split=split)
        for at, (group, split) in enumerate([("p1", "train"), ("p1", "val"), ("p2", "val"), ("", "train"), ("", "val")])
    ]
    (finding,) = find_crossing_groups([*records, ImageRecord(image=Path("x.png"), group="p2")])
    assert finding.text == "group p1 stands in 2 splits (train, val; 2 images)"
    assert finding.images == ("0", "1")


def test_missing_changed_and_broken_files(tmp_path):
    changed = make_record(tmp_path, "changed", make_pixels(0), sha256="0" * 64)
    missing = replace(changed, image=tmp_path / "missing.png")
    broken = make_record(tmp_path, "broken", make_pixels(1))
    broken.image.write_bytes(broken.image.read_bytes()[:500])
    broken = replace(broken, sha256=file_sha256(broken.image))
    texts = [finding.text for finding in check_manifest([changed, missing, broken], untracked)]
    assert texts[0].endswith("changed.png is not the file that was imported (its SHA-256 has changed)")
    assert texts[1].endswith("missing.png is not there")
    assert "broken.png cannot be read as an image" in texts[2]


def test_masks_of_annotated_images_must_fit(tmp_path):
    mask = tmp_path / "mask.png"
    write_image(mask, np.zeros((96, 127), np.uint8))
    record = make_record(tmp_path, "a", make_pixels(0), mask=mask, annotated=True, mask_values="binary")
    (finding,) = check_manifest([record], untracked)
    assert finding.text == f"the mask {mask} has 127 x 96 pixels, but its image 128 x 96"
    assert kinds([replace(record, mask=tmp_path / "gone.png")]) == ["mask"]
    mask.write_text("no image")
    assert kinds([record]) == ["mask"]
    assert kinds([replace(record, annotated=False)]) == []  # never opened


@pytest.mark.parametrize(("variable", "pairs"), [("GLAS_DIR", 10440), ("NUCLEI_DIR", 19900)])
def test_the_threshold_parts_copies_from_other_images(variable, pairs):
    if not os.environ.get(variable):
        pytest.skip(f"{variable} is not set: it names a folder of real images")
    paths = list_images(Path(os.environ[variable]) / "images")
    images = [read_image(path) for path in paths[::6]]
    assert len(paths) * (len(paths) - 1) // 2 == pairs
    thumbnails = np.stack([thumbnail(pixels) for pixels in images])
    records = [
        ImageRecord(image=path, split=str(at)) for at, path in enumerate(paths[::6])
    ]  # every image its own split
    assert find_near_identical(records, thumbnails, NEAR_IDENTICAL) == []
    for pixels, small in zip(images[::4], thumbnails[::4], strict=True):
        picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=30)
        copies = [
            Image.open(file),
            ImageEnhance.Brightness(picture).enhance(1.3),
            ImageEnhance.Contrast(picture).enhance(0.6),
            picture.filter(ImageFilter.GaussianBlur(3)),
            picture.resize((picture.width // 2, picture.height // 2)),
        ]
        for copy in copies:
            array = np.asarray(copy)
            assert (thumbnail(array.reshape(*array.shape[:2], -1)) * small).sum() >= NEAR_IDENTICAL


def test_a_manifest_read_back_is_checked_alike(tmp_path):
    (tmp_path / "m.csv").write_text("image,split\na.png,train\nb.png,val\n")
    for name in ("a", "b"):
        make_record(tmp_path, name, make_pixels(0))
    assert kinds(read_manifest(tmp_path / "m.csv")) == ["near-identical"]  # no hashes in this manifest
