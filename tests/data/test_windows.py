"""Windows: what they show, which places they take, and that each pixel counts once."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from flexdan.config import IGNORE
from flexdan.data import read_image, read_manifest
from flexdan.data.dataset import EpochSampler, SegmentationDataset, WindowSampler, load_mask, make_loader
from flexdan.data.tensors import resize_image, resize_mask
from flexdan.data.windows import Window, covering_windows, cut, random_window


def numbered(height: int, width: int):
    """An image whose bytes tell each pixel, and a target of classes 0 to 9."""
    numbers = torch.arange(height * width).reshape(height, width)
    return torch.stack([numbers % 256, numbers // 256], dim=2).to(torch.uint8), (numbers % 10).to(torch.uint8)


def test_a_window_shows_its_place():
    image, target = numbered(20, 30)
    pixels, classes = cut(image, target, Window(0, 5, 7, seen=(2, 3)), (10, 12))
    assert torch.equal(pixels, image[5:15, 7:19])
    assert torch.equal(classes[2:, 3:], target[7:15, 10:19])
    assert (classes[:2] == IGNORE).all()
    assert (classes[:, :3] == IGNORE).all()
    assert (target != IGNORE).all(), "what is kept in memory stays as it is"


@pytest.mark.parametrize("size", [(7, 30), (20, 9), (3, 2), (1, 1)])
def test_a_smaller_image_is_mirrored_and_counts_only_itself(size):
    image, target = numbered(*size)
    pixels, classes = cut(image, target, Window(0, 0, 0), (10, 12))
    height, width = min(size[0], 10), min(size[1], 12)
    mirrored = np.pad(image.numpy(), ((0, 20), (0, 20), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(pixels.numpy(), mirrored[:10, :12])
    assert torch.equal(classes[:height, :width], target[:height, :width])
    assert (classes == IGNORE).sum() == 120 - height * width


@pytest.mark.parametrize("size", [(10, 12), (11, 25), (29, 12), (4, 40), (31, 7), (20, 24), (1, 1)])
def test_covering_windows_count_each_pixel_once(size):
    image, target = numbered(*size)
    target[0, 0] = IGNORE
    counts = torch.zeros(size, dtype=torch.long)
    windows = covering_windows([(5, 5), size], (10, 12))
    assert [window.index for window in windows] == [0] + [1] * (-(-size[0] // 10) * -(-size[1] // 12))
    for window in windows[1:]:
        pixels, classes = cut(image, target, window, (10, 12))
        for row, column in (classes != IGNORE).nonzero().tolist():
            here = window.top + row, window.left + column
            counts[here] += 1
            assert classes[row, column] == target[here]
            assert torch.equal(pixels[row, column], image[here])
    expected = torch.ones(size, dtype=torch.long)
    expected[0, 0] = 0
    assert torch.equal(counts, expected)


def test_every_place_of_an_image_is_drawn():
    generator = torch.Generator().manual_seed(0)
    places = [random_window(3, (12, 14), (10, 12), generator) for _ in range(200)]
    assert {(window.top, window.left) for window in places} == {(a, b) for a in range(3) for b in range(3)}
    assert {(window.index, window.seen) for window in places} == {(3, (0, 0))}
    assert random_window(0, (4, 12), (10, 12), generator) == Window(0, 0, 0)


def test_windows_depend_on_seed_and_epoch_alone_and_keep_the_order_of_the_images():
    drawn = []
    for seed, epoch in ((0, 1), (0, 1), (0, 2), (1, 1)):
        sampler = WindowSampler(EpochSampler(9, seed, total=20), [(40, 50)] * 9, (16, 16))
        sampler.set_epoch(epoch)
        torch.rand(3)  # the global generator has no part in it
        order = EpochSampler(9, seed, total=20)
        order.set_epoch(epoch)
        drawn.append(tuple(sampler))
        assert [window.index for window in drawn[-1]] == list(order)
        assert len(sampler) == 20
    assert drawn[0] == drawn[1]
    assert len({tuple((window.top, window.left) for window in windows) for windows in drawn}) == 3


@pytest.mark.parametrize("reduce", [1.0, 2.0, 0.5])
def test_images_keep_their_size_but_for_the_factor(discs, reduce):
    records = read_manifest(discs)[:2]
    dataset = SegmentationDataset(records, image_size=(16, 12), channels=3, reduce=reduce)
    size = round(32 / reduce), round(40 / reduce)
    assert dataset.sizes == [size, size]
    image, target = dataset[1]
    np.testing.assert_array_equal(image.numpy(), resize_image(read_image(records[1].image), size))
    np.testing.assert_array_equal(target.numpy(), resize_mask(load_mask(records[1]), size))
    pixels, classes = dataset[Window(1, 0, 2)]
    assert torch.equal(pixels, image[:16, 2:14])
    assert torch.equal(classes, target[:16, 2:14])


@pytest.mark.parametrize("workers", [0, 1])
def test_images_of_different_sizes_are_kept_as_far_as_they_fit(discs, workers):
    first, second, third = read_manifest(discs)[:3]
    records = [first, replace(second, height=64, width=80), third]  # twice the size, as the manifest says
    settings = {"image_size": (16, 12), "channels": 3, "reduce": 1.0}
    plain = SegmentationDataset(records, **settings)
    need = [32 * 40 * 4, 64 * 80 * 4, 32 * 40 * 4]
    windows = covering_windows(plain.sizes, (16, 12))
    expected = [plain[window] for window in windows]
    for budget, kept in ((need[0] - 1, 0), (need[0], 1), (need[0] + need[1] - 1, 1), (sum(need), 3)):
        dataset = SegmentationDataset(records, **settings, cache_bytes=budget)
        assert (dataset.num_cached, dataset.cached_bytes) == (kept, sum(need[:kept]))
    dataset = SegmentationDataset(records, **settings, cache_bytes=need[0])
    loader = make_loader(dataset, batch_size=1, sampler=windows, num_workers=workers)
    for (pixels, classes), (image, target) in zip(loader, expected, strict=True):
        assert torch.equal(pixels[0], image)
        assert torch.equal(classes[0], target)
