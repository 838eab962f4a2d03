from functools import partial

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

from flexdan.config import UserError
from flexdan.data import IGNORE, ImageRecord, read_image, read_mask, write_image
from flexdan.data.tensors import resize_image, resize_mask, to_tensor
from flexdan.inference import (
    count_objects,
    count_probabilities,
    evaluate_batches,
    evaluate_network_size,
    predict_image,
    segment_records,
)


def small_network(channels=3, classes=2):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(4, classes, 1)
    )


def random_batches(sizes, classes=2, channels=3, height=9, width=7):
    random = np.random.default_rng(0)
    for size in sizes:
        targets = random.integers(0, classes, (size, height, width))
        targets[random.random(targets.shape) < 0.2] = IGNORE
        images = random.standard_normal((size, channels, height, width), dtype=np.float32)
        yield torch.from_numpy(images), torch.from_numpy(targets)


@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 3), (5, 2)])
def test_counts_and_loss_equal_those_of_each_image_alone(channels, classes):
    network = small_network(channels, classes).eval()
    batches = list(random_batches([3, 2], classes, channels))
    loss = nn.CrossEntropyLoss(ignore_index=IGNORE)
    result = evaluate_batches(network, batches, num_classes=classes, loss=loss)
    assert result.counts.shape == (5, classes, classes)
    images = torch.cat([batch[0] for batch in batches])
    targets = torch.cat([batch[1] for batch in batches])
    with torch.no_grad():
        logits = network(images)
    for image in range(5):
        for true in range(classes):
            for guess in range(classes):
                pixels = (targets[image] == true) & (logits[image].argmax(0) == guess)
                assert result.counts[image, true, guess] == pixels.sum()
    assert result.loss == pytest.approx(float(loss(logits, targets)), rel=1e-5)


def test_result_does_not_depend_on_the_batching():
    images, targets = next(random_batches([6]))
    network, loss = small_network(), nn.CrossEntropyLoss(ignore_index=IGNORE)
    one = evaluate_batches(network, [(images, targets)], num_classes=2, loss=loss)
    parts = list(zip(images.split([1, 2, 3]), targets.split([1, 2, 3]), strict=True))
    three = evaluate_batches(network, parts, num_classes=2, loss=loss)
    assert torch.equal(one.counts, three.counts)
    assert one.loss == pytest.approx(three.loss, rel=1e-5)
    assert one.metrics() == three.metrics()


def test_network_is_evaluated_without_gradients_and_its_modes_come_back():
    network = small_network().train()
    network[1].eval()  # a frozen batch norm stays frozen
    before = {name: value.clone() for name, value in network.state_dict().items()}
    seen = []
    network.register_forward_hook(lambda *_: seen.append((network.training, torch.is_inference_mode_enabled())))
    evaluate_batches(network, random_batches([2]), num_classes=2)
    assert seen == [(False, True)]
    assert [module.training for module in network] == [True, False, True, True, True]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_modes_come_back_after_an_error():
    network = small_network().train()
    with pytest.raises(ValueError, match="target holds the class 7"):
        evaluate_batches(network, [(torch.zeros(1, 3, 4, 4), torch.full((1, 4, 4), 7))], num_classes=2)
    assert network.training


def test_batch_without_a_counted_pixel_leaves_the_loss_finite():
    batches = [*random_batches([2]), (torch.zeros(1, 3, 9, 7), torch.full((1, 9, 7), IGNORE))]
    loss = nn.CrossEntropyLoss(ignore_index=IGNORE)
    assert np.isfinite(evaluate_batches(small_network(), batches, num_classes=2, loss=loss).loss)


def test_autocast_is_entered_for_every_forward_pass():
    loss_types = []

    def loss(logits, targets):
        loss_types.append(logits.dtype)
        return logits.sum()

    evaluate_batches(
        small_network(),
        random_batches([1, 1]),
        num_classes=2,
        loss=loss,
        autocast=lambda: torch.autocast("cpu", torch.bfloat16),
    )
    assert loss_types == [torch.float32, torch.float32]


def test_no_batches_give_no_counts():
    result = evaluate_batches(small_network(), [], num_classes=3)
    assert result.counts.shape == (0, 3, 3)
    assert result.loss == 0.0


def write_records(folder, sizes, classes=2, channels=3):
    """Smooth images and masks with ignored pixels, as files."""
    random = np.random.default_rng(1)
    mapping = " ".join([f"{label}={label}" for label in range(classes)] + ["9=ignore"])
    records = []
    for number, size in enumerate(sizes):
        pixels = resize_image(random.integers(0, 256, (4, 5, channels), dtype=np.uint8), size)
        mask = resize_mask(random.integers(0, classes, (4, 5), dtype=np.uint8), size).copy()
        mask[:2] = 9
        record = ImageRecord(
            image=folder / f"{number}.tif",
            mask=folder / f"{number}_mask.png",
            mask_values=mapping,
            annotated=True,
        )
        tifffile.imwrite(record.image, pixels.transpose(2, 0, 1), photometric="minisblack", metadata={"axes": "CYX"})
        write_image(folder / f"{number}_mask.png", mask)
        records.append(record)
    return records


@pytest.mark.parametrize(("channels", "classes"), [(1, 3), (3, 2), (5, 2)])
def test_network_size_measures_the_resized_image_against_the_nearest_mask(tmp_path, channels, classes):
    records = write_records(tmp_path, [(31, 45), (20, 20), (64, 33)], classes, channels)
    network = small_network(channels, classes).eval()
    settings = {"channels": channels, "intensity": "range", "mean": 0.5, "std": 0.25, "num_classes": classes}
    result = evaluate_network_size(network, records, image_size=(16, 24), batch_size=2, **settings)
    for record, counts in zip(records, result.counts, strict=True):
        images = to_tensor(resize_image(read_image(record.image, channels), (16, 24)), 0.5, 0.25)
        values = resize_mask(read_mask(record.mask).astype(np.uint8), (16, 24))
        with torch.no_grad():
            predicted = network(images).argmax(1)[0].numpy()
        for true in range(classes):
            for guess in range(classes):
                assert counts[true, guess] == ((values == true) & (predicted == guess)).sum()


@pytest.mark.parametrize(("channels", "classes"), [(1, 3), (3, 2), (5, 2)])
def test_full_size_measures_every_pixel_of_the_file(tmp_path, channels, classes):
    records = write_records(tmp_path, [(31, 45), (90, 120)], classes, channels)
    network = small_network(channels, classes).eval()
    segment = partial(predict_image, network, image_size=(16, 24), native_size=(32, 48), mean=0.5, std=0.25)
    for one in segment_records(segment, records, channels=channels, intensity="range"):
        counts = count_probabilities(one)
        predicted = segment(read_image(one.record.image, channels)).argmax(0)
        values = read_mask(one.record.mask)
        assert sum(counts[f"calibration.pixels_{number}"] for number in range(15)) == (values != 9).sum()
        for true in range(classes):
            for guess in range(classes):
                expected = ((values == true) & (predicted == guess)).sum()
                assert counts[f"full_resolution.pixels_{true}_{guess}"] == expected


def test_both_sizes_agree_where_images_have_the_size_of_the_network(tmp_path):
    records = write_records(tmp_path, [(16, 24), (16, 24)])
    network = small_network().eval()
    segment = partial(predict_image, network, image_size=(16, 24), native_size=(16, 24), mean=0.5, std=0.25)
    full = [count_probabilities(one) for one in segment_records(segment, records, channels=3, intensity="range")]
    settings = {"image_size": (16, 24), "channels": 3, "intensity": "range", "mean": 0.5, "std": 0.25}
    small = evaluate_network_size(network, records, num_classes=2, batch_size=1, **settings)
    for counts, expected in zip(full, small.counts, strict=True):
        assert [
            counts[f"full_resolution.pixels_{a}_{b}"] for a in (0, 1) for b in (0, 1)
        ] == expected.flatten().tolist()


def test_mask_of_another_size_is_refused(tmp_path):
    record = write_records(tmp_path, [(16, 24)])[0]
    write_image(record.mask, np.zeros((16, 23), dtype=np.uint8))
    with pytest.raises(UserError, match=r"23 x 16 pixels, but its image .* 24 x 16 pixels"):
        list(segment_records(lambda _: None, [record], channels=3, intensity="range"))


def test_objects_are_those_of_the_mask_and_ignored_pixels_belong_to_none(tmp_path):
    record = write_records(tmp_path, [(16, 24)])[0]
    mask = np.zeros((16, 24), np.uint8)
    mask[4:8, 4:8], mask[10:14, 4:8], mask[8, 8], mask[:, 20:] = 1, 1, 1, 9  # the pixel touches the first at a corner
    write_image(record.mask, mask)
    one = next(segment_records(lambda _: np.zeros((2, 16, 24), np.float32), [record], channels=3, intensity="range"))
    assert one.objects.max() == 2
    assert one.objects[8, 8] == one.objects[4, 4]
    found = np.zeros((16, 24), np.int32)
    found[4:8, 4:8], found[2:6, 21:24] = 7, 9
    counts = count_objects(one.classes, one.objects, found)
    assert (counts["objects.segmented_objects"], counts["objects.true_positives"]) == (1, 1)
    assert counts["objects.intersection"] == 16
