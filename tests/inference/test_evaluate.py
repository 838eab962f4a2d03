import numpy as np
import pytest
import torch
from torch import nn

from flexdan.data import IGNORE
from flexdan.inference import evaluate_batches


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
