import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from flexdan.data.tensors import resize_image, to_tensor
from flexdan.inference import ViewMean, predict_image

MEAN, STD = 0.5, 0.25


def per_pixel_network(channels=3, classes=2):
    """A network whose logits at a pixel depend on that pixel alone."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(channels, 8, 1), nn.Tanh(), nn.Conv2d(8, classes, 1)).eval()


def context_network(channels=3, classes=2):
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(channels, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, classes, 1)).eval()


def smooth_image(height, width, channels=3, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, channels), dtype=np.uint8)
    return resize_image(coarse, (height, width))


def predict(network, pixels, **settings):
    settings = {"image_size": (32, 40), "native_size": (64, 80), "mean": MEAN, "std": STD} | settings
    return predict_image(network, pixels, **settings)


def direct(network, pixels, size):
    """Resize as a whole, apply the network once, resize the probabilities back."""
    with torch.no_grad():
        found = network(to_tensor(resize_image(pixels, size), MEAN, STD)).softmax(1)
        return interpolate(found, pixels.shape[:2], mode="bilinear", align_corners=False)[0].numpy()


@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 3), (5, 2)])
@pytest.mark.parametrize("size", [(64, 80), (80, 100), (33, 47), (1, 1), (7, 100)])
def test_images_up_to_a_quarter_larger_are_resized_as_a_whole(size, channels, classes):
    network, pixels = context_network(channels, classes), smooth_image(*size, channels)
    found = predict(network, pixels)
    assert found.shape == (classes, *size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, direct(network, pixels, (32, 40)), atol=1e-6)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


@pytest.mark.parametrize("size", [(81, 80), (64, 101), (151, 203), (300, 41), (20, 400), (5, 333)])
def test_windows_over_a_larger_image_equal_a_per_pixel_network_applied_to_all_of_it(size):
    network, pixels = per_pixel_network(), smooth_image(*size)
    reduced = (max(round(size[0] / 2), 1), max(round(size[1] / 2), 1))
    for overlap in (0.0, 0.25, 0.6):
        found = predict(network, pixels, overlap=overlap)
        assert found.shape == (2, *size)
        np.testing.assert_allclose(found, direct(network, pixels, reduced), atol=1e-5)


def test_every_window_has_the_size_of_training():
    network, seen = context_network(), set()
    network.register_forward_pre_hook(lambda _, inputs: seen.add(tuple(inputs[0].shape)))
    for size in ((64, 80), (10, 10), (90, 20), (200, 301)):
        predict(network, smooth_image(*size))
    assert seen == {(1, 3, 32, 40)}


def test_a_larger_image_is_reduced_by_the_factor_of_training():
    """The mean size of what the network sees: stripes of 8 pixels become stripes of 4, whatever the image's size."""
    columns = (np.arange(400) // 8 % 2 * 255).astype(np.uint8)
    pixels = np.repeat(np.tile(columns, (200, 1))[:, :, None], 3, axis=2)
    seen = []
    network = per_pixel_network()
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0, 0, 16].clone()))
    predict(network, pixels)
    for row in seen:
        assert int(((row[1:] > 0) != (row[:-1] > 0)).sum()) in (9, 10)  # 40 pixels in stripes of 4


def test_scale_given_by_the_user_holds_for_any_size():
    network = per_pixel_network()
    for size in ((30, 40), (64, 80), (151, 203)):
        pixels = smooth_image(*size)
        np.testing.assert_allclose(predict(network, pixels, scale=1.0), direct(network, pixels, size), atol=1e-5)
    pixels = smooth_image(64, 80)
    np.testing.assert_allclose(predict(network, pixels, scale=0.5), direct(network, pixels, (32, 40)), atol=1e-6)


@pytest.mark.parametrize("size", [(64, 80), (63, 77)])
def test_flips_do_not_change_an_equivariant_network(size):
    network, pixels = per_pixel_network(), smooth_image(*size)
    np.testing.assert_allclose(predict(network, pixels, tta=True), predict(network, pixels), atol=1e-6)


@pytest.mark.parametrize("size", [(9, 7), (8, 8)])
def test_flips_give_the_mean_of_the_four_probabilities(size):
    network = context_network(classes=3)
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        expected = torch.stack(
            [
                network(images).softmax(1),
                network(images.flip(3)).softmax(1).flip(3),
                network(images.flip(2)).softmax(1).flip(2),
                network(images.flip(2).flip(3)).softmax(1).flip(2).flip(3),
            ]
        ).mean(0)
        found = ViewMean(network)(images).softmax(1)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("size", [(9, 7), (8, 8)])
def test_turns_give_the_mean_of_all_eight_symmetries_of_a_square(size):
    network, images = context_network(classes=3), torch.randn(2, 3, *size)
    with torch.no_grad():
        expected = torch.stack(
            [
                network(view.rot90(turn, (2, 3))).softmax(1).rot90(-turn, (2, 3)).flip(mirror)
                for mirror in ((), (3,))
                for view in (images.flip(mirror),)
                for turn in range(4)
            ]
        ).mean(0)
        found = ViewMean(network, turns=True)(images).softmax(1)
    torch.testing.assert_close(found, expected)


def test_result_with_turns_turns_with_the_image():
    network, pixels, square = context_network(), smooth_image(48, 48), {"image_size": (48, 48), "native_size": (48, 48)}
    turned = predict(network, np.ascontiguousarray(np.rot90(pixels)), tta="turns", **square)
    straight = predict(network, pixels, tta="turns", **square)
    np.testing.assert_allclose(np.rot90(turned, -1, (1, 2)), straight, atol=1e-5)
    assert np.abs(straight - predict(network, pixels, tta=True, **square)).max() > 1e-3


def test_result_with_flips_turns_with_the_image():
    network, pixels = context_network(), smooth_image(64, 80)
    turned = predict(network, np.ascontiguousarray(pixels[:, ::-1]), tta=True)
    np.testing.assert_allclose(turned[:, :, ::-1], predict(network, pixels, tta=True), atol=1e-5)


def test_flips_survive_a_class_that_is_impossible():
    class Certain(nn.Module):
        def forward(self, images):
            return torch.tensor([300.0, -300.0])[None, :, None, None].expand(1, 2, *images.shape[2:])

    found = predict(Certain(), smooth_image(20, 20), tta=True)
    np.testing.assert_allclose(found, np.array([1.0, 0.0])[:, None, None] * np.ones((2, 20, 20)), atol=1e-30)


def test_network_keeps_its_mode():
    network = context_network().train()
    predict(network, smooth_image(20, 20), tta=True)
    assert network.training
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize("size", [(64, 80), (120, 150)])
def test_autocast_gives_float32_probabilities(size):
    pixels = smooth_image(*size)
    found = predict(context_network(), pixels, autocast=lambda: torch.autocast("cpu", torch.bfloat16))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, predict(context_network(), pixels), atol=0.02)


@pytest.mark.parametrize("size", [(64, 80), (48, 90), (150, 201)])
@pytest.mark.parametrize("tta", [False, True])
def test_objects_stay_where_they_are(size, tta):
    """A network that sees bright pixels finds a bright disk: its centre, after reducing and enlarging, is the same."""

    class Bright(nn.Module):
        def forward(self, images):
            return torch.cat([-images[:, :1], images[:, :1]], dim=1)

    rows, columns = np.mgrid[: size[0], : size[1]]
    disk = (rows - size[0] * 0.3) ** 2 + (columns - size[1] * 0.7) ** 2 < 12**2
    pixels = np.repeat((disk * np.uint8(255))[:, :, None], 3, axis=2)
    found = predict(Bright(), pixels, tta=tta).argmax(0) == 1
    assert (found & disk).sum() / (found | disk).sum() > 0.9
    for axis in (rows, columns):
        assert axis[found].mean() == pytest.approx(axis[disk].mean(), abs=0.3)
