import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from flexdan.data.tensors import resize_image, resize_mask, to_tensor

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_image_resize_is_close_to_the_antialiased_bilinear_one_of_torch(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (61, 83, channels), dtype=np.uint8)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(pixels).permute(2, 0, 1)[None].float(), (24, 31), mode="bilinear", antialias=True
    )[0].permute(1, 2, 0)
    resized = resize_image(pixels, (24, 31))
    assert resized.shape == (24, 31, channels)
    assert resized.dtype == np.uint8
    assert np.abs(resized - expected.numpy()).max() <= 1.0  # rounding to bytes, after rows and after columns


def test_colour_image_resizes_as_pillow_resizes_it():
    pixels = np.random.default_rng(1).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize((33, 21), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(resize_image(pixels, (21, 33)), expected)


def test_image_of_the_right_size_stays_as_it_is():
    pixels = np.random.default_rng(2).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resize_image(pixels, (9, 7)), pixels)


@settings(deadline=None)
@given(old=SIZES, new=SIZES, seed=st.integers(0, 1000))
def test_mask_resize_takes_the_pixel_under_each_centre(old, new, seed):
    classes = np.random.default_rng(seed).choice(np.array([0, 1, 2, 255], dtype=np.uint8), old)
    rows = [math.floor(Fraction(2 * row + 1, 2) * old[0] / new[0]) for row in range(new[0])]
    columns = [math.floor(Fraction(2 * column + 1, 2) * old[1] / new[1]) for column in range(new[1])]
    resized = resize_mask(classes, new)
    assert set(np.unique(resized)) <= set(np.unique(classes))
    np.testing.assert_array_equal(resized, classes[rows][:, columns])


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_tensor_is_normalised_with_channels_first(channels):
    pixels = np.random.default_rng(3).integers(0, 256, (2, 6, 4, channels), dtype=np.uint8)
    tensor = to_tensor(pixels, 0.5, 0.25)
    expected = (pixels.astype(np.float64) / 255 - 0.5) / 0.25
    assert tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor.numpy(), expected.transpose(0, 3, 1, 2), atol=1e-6)
    assert torch.equal(to_tensor(pixels[0], 0.5, 0.25), tensor[:1])
    assert torch.equal(to_tensor(torch.from_numpy(pixels), 0.5, 0.25), tensor)


def test_tensor_leaves_its_input_alone():
    pixels = torch.full((4, 4, 3), 7, dtype=torch.uint8)
    to_tensor(pixels, 0.5, 0.25)
    assert (pixels == 7).all()
