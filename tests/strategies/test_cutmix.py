"""Rectangles: their area, their places, and that images and labels move together."""

import pytest
import torch

from flexdan.strategies import cutmix_masks, mix


def test_rectangles_have_half_of_the_area_and_lie_anywhere():
    masks = cutmix_masks(torch.empty(500, 3, 64, 96), 1.0, torch.Generator().manual_seed(0))
    assert masks.shape == (500, 64, 96)
    shares = masks.float().mean((1, 2))
    assert shares.min() > 0.45
    assert shares.max() < 0.55
    rows, columns = masks.any(2), masks.any(1)
    assert torch.equal(masks, rows[:, :, None] & columns[:, None, :])  # rectangles
    heights = rows.float().mean(1)
    assert heights.min() < 0.55
    assert heights.max() > 0.95
    reached = masks.float().mean(0)
    assert reached[32, 48] > 0.7  # few rectangles of half the area leave the middle out
    assert (reached > 0).float().mean() > 0.99


def test_a_probability_decides_for_each_image_and_a_seed_for_all():
    like = torch.empty(1000, 1, 8, 8)
    masks = cutmix_masks(like, 0.3, torch.Generator().manual_seed(1))
    assert masks.any((1, 2)).float().mean().item() == pytest.approx(0.3, abs=0.05)
    assert torch.equal(masks, cutmix_masks(like, 0.3, torch.Generator().manual_seed(1)))
    assert not cutmix_masks(like, 0.0, torch.Generator().manual_seed(1)).any()


def test_images_and_labels_get_the_same_pixels_of_the_image_before():
    images = torch.arange(3.0)[:, None, None, None].expand(3, 2, 2, 2)
    masks = torch.zeros(3, 2, 2, dtype=torch.bool)
    masks[0, 0], masks[2] = True, True
    assert mix(images, masks)[:, 1].flatten(1).tolist() == [[2, 2, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    assert torch.equal(mix(images[:, 0], masks), mix(images, masks)[:, 0])
