"""Datasets: bytes at the network's size, cached or streamed alike; masks of unannotated images stay closed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from flexdan.config import UserError
from flexdan.data import IGNORE, read_image, read_manifest, write_image
from flexdan.data.dataset import EpochSampler, SegmentationDataset, epoch_seed, load_mask, load_pair, make_loader
from flexdan.data.tensors import resize_image


def test_items_are_the_resized_image_and_mask(discs):
    records = read_manifest(discs)
    dataset = SegmentationDataset(records, image_size=(16, 20), channels=3)
    image, target = dataset[0]
    assert (image.shape, image.dtype) == ((16, 20, 3), torch.uint8)
    np.testing.assert_array_equal(image.numpy(), resize_image(read_image(records[0].image), (16, 20)))
    assert set(target.unique().tolist()) == {0, 1}
    native = load_mask(records[0])
    assert target.float().mean().item() == pytest.approx(native.mean(), abs=0.02)


def test_the_mask_of_an_unannotated_image_is_never_opened(discs):
    unannotated = [record for record in read_manifest(discs) if not record.annotated]
    assert unannotated[0].mask.read_bytes() == b"never to be opened"
    dataset = SegmentationDataset(unannotated, image_size=(16, 20), channels=3, cache_bytes=10**9)
    assert all((target == IGNORE).all() for _, target in (dataset[index] for index in range(len(dataset))))
    with pytest.raises(AssertionError, match="must not be opened"):
        load_mask(unannotated[0])


@pytest.mark.parametrize("kept", [0, 2, 100])
def test_cached_and_streamed_items_are_equal(discs, kept):
    records = read_manifest(discs)[:4]
    limit = kept * 16 * 20 * 4
    seen = []
    dataset = SegmentationDataset(
        records, image_size=(16, 20), channels=3, cache_bytes=limit, track=lambda items: seen.append(items) or items
    )
    assert dataset.num_cached == min(kept, 4)
    assert len(seen[0]) == min(kept, 4)
    plain = SegmentationDataset(records, image_size=(16, 20), channels=3)
    for index in range(4):
        assert all(torch.equal(a, b) for a, b in zip(dataset[index], plain[index], strict=True))


def test_a_batch_is_bytes(discs):
    dataset = SegmentationDataset(read_manifest(discs), image_size=(16, 20), channels=1, cache_bytes=10**6)
    images, targets = next(iter(make_loader(dataset, batch_size=4, num_workers=3)))
    assert (images.shape, images.dtype) == ((4, 16, 20, 1), torch.uint8)
    assert (targets.shape, targets.dtype) == ((4, 16, 20), torch.uint8)
    assert make_loader(dataset, batch_size=4, num_workers=3).num_workers == 0  # everything is in memory


def test_the_order_depends_on_seed_and_epoch_alone():
    orders = []
    for seed, epoch in ((0, 1), (0, 1), (0, 2), (1, 1)):
        sampler = EpochSampler(50, seed)
        sampler.set_epoch(epoch)
        torch.rand(3)  # the global generator has no part in it
        orders.append(list(sampler))
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == list(range(50)) for order in orders)


def test_epoch_seeds_do_not_collide():
    seeds = {epoch_seed(*numbers) for numbers in np.ndindex(8, 8, 8)}
    assert len(seeds) == 512
    assert epoch_seed(1, 2) != epoch_seed(2, 1)


def test_a_mask_of_another_size_is_refused_with_both_sizes(discs, tmp_path):
    record = read_manifest(discs)[0]
    write_image(tmp_path / "mask.png", np.zeros((40, 32), np.uint8))
    wrong = replace(record, mask=tmp_path / "mask.png")
    message = r"mask.png has 32 x 40 pixels, but its image .*image0.png 40 x 32 pixels: mend the mask"
    with pytest.raises(UserError, match=message):
        SegmentationDataset([wrong], image_size=(16, 20), channels=3)[0]
    with pytest.raises(UserError, match=message):
        load_pair(wrong, channels=3, intensity="range")
    pixels, classes = load_pair(record, channels=1, intensity="range")
    np.testing.assert_array_equal(pixels, read_image(record.image, 1))
    np.testing.assert_array_equal(classes, load_mask(record))


def test_masks_of_classes(discs, tmp_path):
    record = replace(read_manifest(discs)[0], mask_values="0=1 255=0")
    flipped = load_mask(record)
    np.testing.assert_array_equal(flipped, 1 - load_mask(replace(record, mask_values="binary")))


def test_a_sampler_that_needs_more_than_there_are_starts_over_in_another_order():
    sampler = EpochSampler(5, seed=0, total=13)
    sampler.set_epoch(3)
    order = list(sampler)
    assert len(order) == len(sampler) == 13
    assert sorted(order[:5]) == sorted(order[5:10]) == list(range(5))
    assert order[:5] != order[5:10]
    assert len(set(order[10:])) == 3
    plain = EpochSampler(5, seed=0)
    plain.set_epoch(3)
    assert list(plain) == order[:5]


def test_a_sampler_that_needs_fewer_takes_other_images_in_the_next_epoch():
    sampler = EpochSampler(100, seed=0, total=4)
    drawn = []
    for epoch in (1, 2):
        sampler.set_epoch(epoch)
        drawn.append(list(sampler))
    assert [len(set(order)) for order in drawn] == [4, 4]
    assert drawn[0] != drawn[1]
