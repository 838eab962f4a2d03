"""Augmentation: images and masks move together, draws are repeatable, colours follow the formula."""

import math

import numpy as np
import pytest
import torch
from skimage.color import separate_stains
from skimage.color.colorconv import hed_from_rgb

from flexdan.data.augmentation import Augmentation, jitter_stains, rotate_and_scale


def batch(count: int = 6, height: int = 12, width: int = 16):
    """Images whose channels all equal the mask, so that whatever moves one must move the other."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 2, (count, height, width), generator=generator).to(torch.uint8)
    return (targets * 255)[:, None].expand(-1, 3, -1, -1), targets


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", [(12, 12), (12, 16)])
def test_flips_and_turns_move_images_and_masks_alike(size):
    images, targets = batch(8, *size)
    augment = Augmentation(horizontal_flip=True, vertical_flip=True, quarter_turns=True)
    shapes, changed = set(), 0
    for seed in range(8):
        moved, labels = augment(images, targets, generator(seed))
        assert moved.dtype == torch.float32
        assert labels.dtype == torch.int64
        for channel in range(3):
            assert torch.equal(moved[:, channel], labels.float())
        assert torch.equal(labels.sum((1, 2)), targets.long().sum((1, 2)))
        shapes.add(tuple(labels.shape[1:]))
        changed += labels.shape != targets.shape or not torch.equal(labels, targets.long())
    assert changed >= 7
    assert shapes == {size, size[::-1]}


def test_all_eight_positions_of_a_square_are_drawn():
    images, targets = batch(64, 5, 5)
    images, targets = images[:1].expand(64, -1, -1, -1), targets[:1].expand(64, -1, -1)
    augment = Augmentation(horizontal_flip=True, vertical_flip=True, quarter_turns=True)
    _, labels = augment(images, targets, generator())
    assert len({tuple(label.flatten().tolist()) for label in labels}) == 8


def test_nothing_changes_when_everything_is_off():
    images, targets = batch()
    source = generator()
    before = source.get_state()
    moved, labels = Augmentation()(images, targets, source)
    assert torch.equal(moved, images.float() / 255)
    assert torch.equal(labels, targets.long())
    assert torch.equal(source.get_state(), before)


def test_what_is_added_draws_after_what_was_there():
    """So runs without it keep their numbers."""
    images, targets = batch()
    geometry = {"rotation": 20.0, "scale": (0.8, 1.2)}
    plain, with_color = Augmentation(**geometry), Augmentation(**geometry, brightness=0.3)
    first, second = plain(images, targets, generator()), with_color(images, targets, generator())
    assert torch.equal(first[1], second[1])
    ratio = second[0].flatten(1).sum(1) / first[0].flatten(1).sum(1)
    assert ratio.std() > 0.01


def test_the_generator_alone_decides():
    images, targets = batch()
    augment = Augmentation(
        horizontal_flip=True, vertical_flip=True, quarter_turns=True, scale=(0.5, 2), rotation=30, stain_jitter=0.2,
        shift=0.2, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1, blur=1.0,
    )  # fmt: skip
    torch.manual_seed(1)
    first = augment(images, targets, generator(3))
    torch.manual_seed(2)
    second = augment(images, targets, generator(3))
    other = augment(images, targets, generator(4))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert other[0].shape != first[0].shape or not torch.equal(first[0], other[0])


@pytest.mark.parametrize(("quarter", "turns"), [(90, 1), (180, 2), (270, 3), (0, 0)])
def test_rotation_by_quarters_is_exact_on_squares(quarter, turns):
    images = torch.rand(1, 2, 9, 9, generator=generator())
    targets = torch.randint(0, 5, (1, 9, 9), generator=generator())
    angles, factors = torch.tensor([math.radians(quarter)]), torch.ones(1)
    moved, labels = rotate_and_scale(images, targets, angles, factors)
    torch.testing.assert_close(moved, images.rot90(turns, (-2, -1)), rtol=1e-4, atol=1e-4)
    assert torch.equal(labels, targets.rot90(turns, (-2, -1)))


def test_rotation_keeps_proportions_of_images_that_are_not_square():
    """A disc stays a disc of the same area wherever it turns to, and enlarging by 1.5 makes 2.25 of it."""
    rows, columns = np.mgrid[:100, :160]
    disc = torch.from_numpy((rows - 49.5) ** 2 + (columns - 86) ** 2 < 7.5**2)[None].long()
    area = disc.sum().item()
    for angle in (20, 75):
        _, turned = rotate_and_scale(disc[:, None].float(), disc, torch.tensor([math.radians(angle)]), torch.ones(1))
        assert turned.sum().item() == pytest.approx(area, rel=0.05)
        found = turned[0].nonzero().float()
        assert found.std(0)[0].item() == pytest.approx(found.std(0)[1].item(), rel=0.1)
    _, larger = rotate_and_scale(disc[:, None].float(), disc, torch.zeros(1), torch.tensor([1.5]))
    assert larger.sum().item() == pytest.approx(2.25 * area, rel=0.05)


@pytest.mark.parametrize(("down", "right"), [(0.25, 0.0), (0.0, -0.5), (-0.25, 0.125)])
def test_shifts_move_by_shares_of_the_sides_and_mirror_at_the_border(down, right):
    images, targets = torch.rand(2, 3, 12, 16, generator=generator()), torch.arange(2 * 12 * 16).reshape(2, 12, 16)
    shifts = torch.tensor([[down, right], [0.0, 0.0]])
    moved, labels = rotate_and_scale(images, targets, torch.zeros(2), torch.ones(2), shifts)
    rows = np.pad(np.arange(12), 12, mode="symmetric")[12 - round(12 * down) :][:12]
    columns = np.pad(np.arange(16), 16, mode="symmetric")[16 - round(16 * right) :][:16]
    assert torch.equal(labels[0], targets[0][rows][:, columns])
    torch.testing.assert_close(moved[0], images[0][:, rows][:, :, columns], atol=1e-4, rtol=0)
    assert torch.equal(labels[1], targets[1])


def test_the_shift_comes_after_the_turn():
    images, targets = torch.rand(1, 2, 8, 8, generator=generator()), torch.arange(64).reshape(1, 8, 8)
    _, labels = rotate_and_scale(
        images, targets, torch.tensor([math.pi / 2]), torch.ones(1), torch.tensor([[0.25, 0.0]])
    )
    assert torch.equal(labels[0, 2:], targets.rot90(1, (-2, -1))[0, :6])


def test_bends_move_what_is_between_points_with_them():
    """All points alike shift the image, whatever its sides; one alone leaves the corners and moves most itself."""
    images, targets = torch.rand(1, 3, 16, 24, generator=generator()), torch.arange(16 * 24).reshape(1, 16, 24)
    still = torch.zeros(1), torch.ones(1), None
    alike = torch.tensor([0.25, 0.125])[None, :, None, None].expand(
        1, 2, 3, 3
    )  # of 16 pixels: 4 from below, 2 from right
    moved, labels = rotate_and_scale(images, targets, *still, alike)
    assert torch.equal(labels[0, :12, :22], targets[0, 4:, 2:])
    torch.testing.assert_close(moved[0, :, :12, :22], images[0, :, 4:, 2:], atol=1e-4, rtol=0)
    one = torch.zeros(1, 2, 3, 3)
    one[0, 1, 1, 1] = 0.25
    _, labels = rotate_and_scale(images, targets, *still, one)
    distance = (labels[0] % 24 - torch.arange(24)).abs()
    assert distance[[0, 0, -1, -1], [0, -1, 0, -1]].tolist() == [0, 0, 0, 0]
    assert distance.max() == distance[7:9, 11:13].min() == 4
    assert torch.equal(labels[0] // 24, targets[0] // 24)


def test_elastic_bends_by_the_strength_that_is_asked_for():
    images, targets = (
        torch.zeros(400, 3, 40, 40, dtype=torch.uint8),
        torch.arange(1600).reshape(1, 40, 40).repeat(400, 1, 1),
    )
    _, labels = Augmentation(elastic=0.1)(images, targets, generator())
    centre = (labels[:, 20, 20] // 40 - 20).float()  # rows, to half a pixel
    assert centre.std().item() == pytest.approx(4, rel=0.12)
    assert abs(centre.mean().item()) < 0.7


def test_a_shift_alone_leaves_angle_and_scale():
    images, targets = batch(40, 12, 16)
    _, labels = Augmentation(shift=0.4)(images, targets, generator())
    found = []
    for label, target in zip(labels, targets.long(), strict=True):
        places = [
            (down, right)
            for down in range(-5, 6)
            for right in range(-7, 8)
            if torch.equal(label[max(down, 0) : 12 + min(down, 0), max(right, 0) : 16 + min(right, 0)],
                           target[max(-down, 0) : 12 - max(down, 0), max(-right, 0) : 16 - max(right, 0)])
        ]  # fmt: skip
        assert len(places) == 1
        found += places
    assert len(set(found)) > 20
    assert max(abs(down) for down, _ in found) == 5
    assert max(abs(right) for _, right in found) >= 5


def test_masks_keep_their_values_under_rotation_and_scale():
    targets = torch.tensor([0, 7, 255], dtype=torch.uint8)[torch.randint(3, (4, 20, 30), generator=generator())]
    images = torch.zeros(4, 3, 20, 30, dtype=torch.uint8)
    _, labels = Augmentation(rotation=45, scale=(0.7, 1.4))(images, targets, generator())
    assert set(labels.unique().tolist()) == {0, 7, 255}


def test_stain_jitter_follows_the_formula_of_each_stain():
    images = torch.rand(2, 3, 4, 5, generator=generator()) * 0.8 + 0.15
    factors, shifts = torch.tensor([[1.2, 0.9, 1.0], [1, 1, 1]]), torch.tensor([[0.05, -0.02, 0.01], [0, 0, 0]])
    jittered = jitter_stains(images, factors, shifts)
    torch.testing.assert_close(jittered[1], images[1], rtol=1e-4, atol=1e-4)

    def stains(image):  # of scikit-image, in its own unit of density, without its clipping at 0
        density = np.log(np.maximum(image.permute(1, 2, 0).numpy(), 1e-6)) / np.log(1e-6)
        return density @ hed_from_rgb * 6  # log to the base of 1e-6 is a sixth of the decadic density

    kept = (jittered[0] > 1 / 255).all(0) & (jittered[0] < 1).all(0)
    expected = stains(images[0]) * factors[0].numpy() + shifts[0].numpy()
    np.testing.assert_allclose(stains(jittered[0])[kept.numpy()], expected[kept.numpy()], atol=1e-4)
    assert kept.sum() > 10
    clipped = separate_stains(images[0].permute(1, 2, 0).numpy(), hed_from_rgb) * 6
    np.testing.assert_allclose(clipped, np.maximum(stains(images[0]), 0), atol=1e-4)


def test_stain_jitter_leaves_the_mask_and_stays_in_range():
    images, targets = batch()
    moved, labels = Augmentation(stain_jitter=0.9)(images, targets, generator())
    assert torch.equal(labels, targets.long())
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert not torch.equal(moved, images.float() / 255)
