"""Every format, type and colour mode that a user may bring, value by value."""

import random

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from flexdan.config import UserError
from flexdan.data import image_size, images, read_image, read_mask, write_image

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
WIDE = RNG.integers(0, 65536, (5, 7), dtype=np.uint16)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".TIFF"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR, GREY[:, :, None]], ids=["grey", "rgb", "one channel"])
def test_bytes_survive_a_round_trip_in_lossless_formats(tmp_path, suffix, pixels):
    path = tmp_path / f"image{suffix}"
    write_image(path, pixels)
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    expected = pixels if pixels.ndim == 3 else pixels[:, :, None]
    assert image_size(path) == (5, 7, channels)
    read = read_image(path)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "rgb"])
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_images_can_be_written_into_as_torch_wants_it(tmp_path, suffix, pixels, channels):
    write_image(tmp_path / f"image{suffix}", pixels)
    read = read_image(tmp_path / f"image{suffix}", channels)
    assert read.flags.writeable
    torch.from_numpy(read)  # else a warning, which is an error here
    assert read_mask(tmp_path / f"image{suffix}").flags.writeable


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_channels_of_a_tiff_are_not_taken_for_alpha(tmp_path, channels):
    pixels = RNG.integers(0, 256, (5, 7, channels), dtype=np.uint8)
    write_image(tmp_path / "contiguous.tif", pixels)
    tifffile.imwrite(
        tmp_path / "planar.tif", pixels.transpose(2, 0, 1), photometric="minisblack", planarconfig="separate"
    )
    tifffile.imwrite(tmp_path / "imagej.tif", pixels.transpose(2, 0, 1), imagej=True, metadata={"axes": "CYX"})
    for name in ("contiguous.tif", "planar.tif", "imagej.tif"):
        assert image_size(tmp_path / name) == (5, 7, channels)
        np.testing.assert_array_equal(read_image(tmp_path / name), pixels)
        np.testing.assert_array_equal(read_image(tmp_path / name, channels), pixels)


def test_alpha_is_dropped(tmp_path):
    alpha = RNG.integers(0, 2, (5, 7, 1), dtype=np.uint8) * 255
    Image.fromarray(np.concatenate([COLOUR, alpha], axis=2)).save(tmp_path / "rgba.png")
    Image.fromarray(np.concatenate([GREY[:, :, None], alpha], axis=2), mode=None).save(tmp_path / "la.png")
    tifffile.imwrite(tmp_path / "rgba.tif", np.concatenate([COLOUR, alpha], axis=2), photometric="rgb")
    for name, expected in (("rgba.png", COLOUR), ("rgba.tif", COLOUR), ("la.png", GREY[:, :, None])):
        assert image_size(tmp_path / name) == expected.shape
        np.testing.assert_array_equal(read_image(tmp_path / name), expected)


def test_palettes_become_colours_in_images_and_stay_indices_in_masks(tmp_path):
    indices = np.array([[0, 1, 2], [2, 1, 0]], dtype=np.uint8)
    colours = [10, 20, 30, 255, 0, 0, 0, 128, 255]
    image = Image.fromarray(indices).convert("P")
    image.putpalette(colours)
    for name in ("palette.png", "palette.bmp", "palette.tif"):
        if name.endswith("tif"):
            table = np.zeros((3, 256), dtype=np.uint16)
            table[:, :3] = np.array(colours).reshape(3, 3).T * 257
            tifffile.imwrite(tmp_path / name, indices, photometric="palette", colormap=table)
        else:
            image.save(tmp_path / name)
        assert image_size(tmp_path / name) == (2, 3, 3)
        np.testing.assert_array_equal(read_image(tmp_path / name), np.array(colours, np.uint8).reshape(3, 3)[indices])
        np.testing.assert_array_equal(read_mask(tmp_path / name), indices)


def test_jpeg_is_read_in_colour_and_in_grey(tmp_path):
    smooth = np.tile(np.linspace(40, 200, 64).astype(np.uint8), (48, 1))
    Image.fromarray(smooth).save(tmp_path / "grey.jpg", quality=95)
    Image.fromarray(np.stack([smooth] * 3, axis=2)).save(tmp_path / "colour.jpeg", quality=95)
    Image.fromarray(np.stack([255 - smooth] * 3, axis=2)).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    assert image_size(tmp_path / "grey.jpg") == (48, 64, 1)
    assert image_size(tmp_path / "colour.jpeg") == image_size(tmp_path / "cmyk.jpg") == (48, 64, 3)
    for name in ("grey.jpg", "colour.jpeg"):
        assert np.abs(read_image(tmp_path / name).astype(int) - smooth[:, :, None]).max() <= 3


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_become_bytes_by_range_or_by_percentile(tmp_path, suffix):
    path = tmp_path / f"wide{suffix}"
    write_image(path, WIDE)
    assert image_size(path) == (5, 7, 1)
    np.testing.assert_array_equal(read_image(path, intensity="range")[:, :, 0], np.rint(WIDE / 257.0).astype(np.uint8))
    low, high = np.percentile(WIDE, (0.1, 99.9))
    expected = np.clip(np.rint((WIDE - low) / (high - low) * 255), 0, 255)
    assert np.abs(read_image(path, intensity="percentile")[:, :, 0] - expected).max() <= 1


def test_other_types_become_bytes(tmp_path):
    tifffile.imwrite(tmp_path / "float.tif", np.array([[0.0, 0.5], [1.0, 2.0]], np.float32))
    np.testing.assert_array_equal(
        read_image(tmp_path / "float.tif", intensity="range")[:, :, 0], [[0, 128], [255, 255]]
    )
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png")[:, :, 0], [[255, 0]])
    np.testing.assert_array_equal(read_mask(tmp_path / "bits.png"), [[1, 0]])
    write_image(tmp_path / "flat.tif", np.full((4, 4), 700, np.uint16))
    np.testing.assert_array_equal(read_image(tmp_path / "flat.tif"), np.zeros((4, 4, 1)))


def test_channels_are_repeated_or_made_grey_when_asked_for(tmp_path):
    write_image(tmp_path / "grey.png", GREY)
    write_image(tmp_path / "colour.png", np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], dtype=np.uint8))
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png", 3), np.stack([GREY] * 3, axis=2))
    np.testing.assert_array_equal(read_image(tmp_path / "colour.png", 1)[0, :, 0], [76, 150, 29])  # ITU-R 601
    with pytest.raises(UserError, match="has 3 channels, but 5 are needed"):
        read_image(tmp_path / "colour.png", 5)


def test_masks_give_the_values_of_the_file(tmp_path):
    values = np.array([[0, 1, 255], [256, 300, 65535]], dtype=np.uint16)
    for suffix in (".png", ".tif"):
        write_image(tmp_path / f"mask{suffix}", values)
        read = read_mask(tmp_path / f"mask{suffix}")
        assert read.dtype == np.int64
        np.testing.assert_array_equal(read, values)
    tifffile.imwrite(tmp_path / "labels.tif", values.astype(np.float32))
    np.testing.assert_array_equal(read_mask(tmp_path / "labels.tif"), values)
    tifffile.imwrite(tmp_path / "huge.tif", np.array([[70000, -1]], np.int32))
    np.testing.assert_array_equal(read_mask(tmp_path / "huge.tif"), [[70000, -1]])


def test_colour_masks_give_colours_and_grey_ones_in_three_channels_their_value(tmp_path):
    write_image(tmp_path / "colour.png", np.array([[[255, 0, 0], [1, 2, 3]]], dtype=np.uint8))
    np.testing.assert_array_equal(read_mask(tmp_path / "colour.png"), [[0xFF0000, 0x010203]])
    write_image(tmp_path / "grey.png", np.stack([GREY] * 3, axis=2))
    np.testing.assert_array_equal(read_mask(tmp_path / "grey.png"), GREY)
    Image.fromarray(np.stack([GREY] * 3 + [GREY * 0 + 255], axis=2)).save(tmp_path / "rgba.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "rgba.png"), GREY)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text.png", b"not an image", "cannot be read as an image"),
        ("empty.bmp", b"", "cannot be read as an image"),
        ("text.tif", b"not an image", "cannot be read as an image"),
        ("slide.svs", b"", "no image that can be read here: the formats are .png"),
    ],
)
def test_what_is_no_image_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    for read in (read_image, read_mask, image_size):
        with pytest.raises(UserError, match=message) as caught:
            read(tmp_path / name)
        assert name in str(caught.value)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(UserError, match=r"gone.png does not exist"):
        read_image(tmp_path / "gone.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match=r"folder.png cannot be read"):
        read_image(tmp_path / "folder.png")


def test_float_masks_values_that_are_no_numbers_and_stacks_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "half.tif", np.array([[0.5, 1.0]], np.float32))
    with pytest.raises(UserError, match="whole numbers"):
        read_mask(tmp_path / "half.tif")
    tifffile.imwrite(tmp_path / "nan.tif", np.array([[np.nan, 1.0]], np.float32))
    for read in (read_image, read_mask):
        with pytest.raises(UserError, match=r"nan.tif"):
            read(tmp_path / "nan.tif")
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((3, 4, 8, 8), np.uint8), imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(UserError, match=r"is a stack \(T=3, Z=4\)"):
        read_image(tmp_path / "stack.tif")
    write_image(tmp_path / "five.tif", np.zeros((4, 4, 5), np.uint8))
    with pytest.raises(UserError, match="has 5 channels: masks must be grey"):
        read_mask(tmp_path / "five.tif")


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_files_with_too_many_pixels_are_refused_before_decoding(tmp_path, monkeypatch, suffix):
    write_image(tmp_path / f"large{suffix}", GREY)
    monkeypatch.setattr(images, "MAX_PIXELS", 34)
    with pytest.raises(UserError, match="has 7 x 5 pixels: at most 34 are read"):
        read_image(tmp_path / f"large{suffix}")
    assert Image.MAX_IMAGE_PIXELS is not None  # Pillow's own limit is back in place


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".jpg", ".tif"])
def test_damaged_files_never_end_in_anything_but_a_user_error(tmp_path, suffix):
    path = tmp_path / f"whole{suffix}"
    write_image(path, np.tile(COLOUR, (4, 4, 1)))
    whole = path.read_bytes()
    rng = random.Random(0)
    refused = 0
    for trial in range(60):
        damaged = bytearray(whole)
        if trial % 2:
            damaged = damaged[: rng.randrange(len(whole))]
        else:
            for _ in range(8):
                damaged[rng.randrange(len(whole) if trial % 4 else 60)] = rng.randrange(256)
        path.write_bytes(damaged)
        for read in (read_image, read_mask, image_size):
            try:
                assert len(read(path)) > 0
            except UserError:
                refused += 1
    assert refused > 0


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    kind=st.sampled_from(["uint8", "uint16"]),
    suffix=st.sampled_from([".png", ".tif"]),
    seed=st.integers(0, 999),
)
def test_masks_of_any_size_survive_a_round_trip(tmp_path_factory, height, width, kind, suffix, seed):
    values = np.random.default_rng(seed).integers(0, np.iinfo(kind).max, (height, width), dtype=kind, endpoint=True)
    path = tmp_path_factory.mktemp("masks") / f"mask{suffix}"
    write_image(path, values)
    assert image_size(path) == (height, width, 1)
    np.testing.assert_array_equal(read_mask(path), values)
