"""Colour jitter against Pillow-like formulas, the colour space of scikit-image, and scipy's filter."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.color import hsv2rgb, rgb2hsv

from flexdan.data.color import ColorJitter, blur, scale_brightness, scale_contrast, scale_saturation, turn_hue

ALL = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "blur": 1.5}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(channels: int = 3, count: int = 3) -> torch.Tensor:
    return torch.rand(count, channels, 9, 14, generator=generator(7))


FACTORS = torch.tensor([0.3, 1.0, 1.6])


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_brightness_and_contrast_follow_their_formulas(channels):
    given = images(channels)
    brighter, sharper = scale_brightness(given, FACTORS), scale_contrast(given, FACTORS)
    for number, factor in enumerate(FACTORS.tolist()):
        image = given[number].double().numpy()
        np.testing.assert_allclose(brighter[number].numpy(), (image * factor).clip(0, 1), atol=1e-6)
        weights = np.array([0.299, 0.587, 0.114] if channels == 3 else [1 / channels] * channels)
        mean = np.tensordot(weights, image, 1).mean()
        np.testing.assert_allclose(sharper[number].numpy(), (mean + factor * (image - mean)).clip(0, 1), atol=1e-6)
    assert torch.equal(brighter[1], given[1])
    assert torch.equal(sharper[1], given[1])


def test_saturation_follows_its_formula():
    given = images()
    found = scale_saturation(given, FACTORS)
    for number, factor in enumerate(FACTORS.tolist()):
        image = given[number].double().numpy()
        grey = np.tensordot([0.299, 0.587, 0.114], image, 1)
        np.testing.assert_allclose(found[number].numpy(), (grey + factor * (image - grey)).clip(0, 1), atol=1e-6)
    colourless = scale_saturation(given, torch.zeros(3))
    assert torch.equal(colourless[:, 0], colourless[:, 2])


def test_hue_is_that_of_scikit_image():
    given = images(count=4)
    given[3] = given[3, :1]  # grey has no hue
    shares = torch.tensor([0.0, 0.21, -0.5, 0.3])
    found = turn_hue(given, shares)
    for number, share in enumerate(shares.tolist()):
        hsv = rgb2hsv(given[number].double().numpy(), channel_axis=0)
        hsv[0] = (hsv[0] + share) % 1
        np.testing.assert_allclose(found[number].numpy(), hsv2rgb(hsv, channel_axis=0), atol=2e-6)
    red = torch.tensor([1.0, 0.0, 0.0])[None, :, None, None]
    torch.testing.assert_close(turn_hue(red, torch.tensor([1 / 3])), red[:, [1, 0, 2]], atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [(9, 14), (3, 40), (1, 5)])
def test_blur_is_that_of_scipy(size):
    given = torch.rand(3, 2, *size, generator=generator())
    sigmas = torch.tensor([0.0, 0.8, 1.9])
    found = blur(given, sigmas)
    assert torch.equal(found[0], given[0])
    for number, sigma in ((1, 0.8), (2, 1.9)):
        expected = gaussian_filter(given[number].double().numpy(), (0, sigma, sigma), mode="mirror", radius=6)
        np.testing.assert_allclose(found[number].numpy(), expected, atol=1e-5)


def test_nothing_is_drawn_or_changed_by_what_is_off():
    source, given = generator(), images()
    state = source.get_state()
    assert ColorJitter()(given, source) is given
    assert torch.equal(source.get_state(), state)


@pytest.mark.parametrize("name", ALL)
def test_each_alone_changes_each_image_differently_and_stays_in_range(name):
    given = torch.rand(1, 3, 9, 14, generator=generator(7)).expand(6, -1, -1, -1)
    found = ColorJitter(**{name: ALL[name]})(given, generator())
    assert found.min() >= 0
    assert found.max() <= 1
    assert len({tuple(image.flatten().tolist()) for image in found}) == 6


def test_the_generator_alone_decides_and_the_order_varies():
    given, jitter = images(), ColorJitter(**ALL)
    torch.manual_seed(1)
    first = jitter(given, generator(3))
    torch.manual_seed(2)
    assert torch.equal(first, jitter(given, generator(3)))
    assert not torch.equal(first, jitter(given, generator(4)))


def test_factors_are_spread_over_the_whole_range():
    ones = torch.full((4000, 1, 1, 1), 0.5)
    found = ColorJitter(brightness=0.4)(ones, generator()) * 2
    assert found.min().item() == pytest.approx(0.6, abs=0.002)
    assert found.max().item() == pytest.approx(1.4, abs=0.002)
    assert found.mean().item() == pytest.approx(1.0, abs=0.01)
