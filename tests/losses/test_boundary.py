"""The boundary loss against a naive version, and what it sees of a shape."""

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from flexdan.losses import boundary_loss, signed_distances


def naive_distances(target: np.ndarray, classes: int) -> np.ndarray:
    """Go through all pairs of pixels."""
    result = np.zeros((len(target), classes - 1, *target.shape[1:]))
    places = [(row, column) for row in range(target.shape[1]) for column in range(target.shape[2])]
    for n, image in enumerate(target):
        for label in range(1, classes):
            own = [place for place in places if image[place] == label]
            others = [place for place in places if image[place] not in (label, 255)]
            for here, there, sign, shift in ((own, others, -1, 1), (others, own, 1, 0)):
                for place in here:
                    distances = [np.hypot(place[0] - other[0], place[1] - other[1]) for other in there]
                    result[(n, label - 1, *place)] = sign * (min(distances) - shift) if distances else 0
    return result


def example(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(3, (3, 3, 4), generator=generator)
    target = coarse.repeat_interleave(3, 1).repeat_interleave(2, 2)  # (3, 9, 8)
    target[0, 2:5, 1:4] = 255
    target[1] = 2  # one class everywhere
    return torch.randn(3, 3, 9, 8, generator=generator), target


def test_distances_and_loss_equal_the_naive_versions():
    logits, target = example()
    expected = naive_distances(target.numpy(), 3)
    np.testing.assert_allclose(signed_distances(target.to(torch.uint8), 3).numpy(), expected, atol=1e-5)
    assert (expected[1] == 0).all()
    shares, counted = logits.double().softmax(1).numpy()[:, 1:], (target != 255).sum().item()
    assert boundary_loss(logits, target).item() == pytest.approx((shares * expected).sum() / (2 * counted), rel=1e-5)


def test_gradients_are_right_and_ignored_pixels_have_none():
    logits, target = example(1)
    logits = logits.double().requires_grad_()
    boundary_loss(logits, target).backward()
    assert (logits.grad[0, :, 2:5, 1:4] == 0).all()
    assert torch.autograd.gradcheck(lambda logits: boundary_loss(logits, target), logits)


def test_an_error_far_from_the_boundary_costs_more_than_one_beside_it():
    target = torch.zeros(1, 20, 20, dtype=torch.long)
    target[:, 2:8, 2:8] = 1

    def loss(row: int) -> float:
        found = target.clone()
        found[:, row, 2:8] = 1
        return boundary_loss(60 * torch.nn.functional.one_hot(found, 2).movedim(-1, 1).float(), target).item()

    right = loss(3)
    assert right < 0
    assert [loss(row) - right for row in (8, 9, 15)] == pytest.approx([6 * d / 400 for d in (1, 2, 8)], abs=1e-6)


def test_fake_tensors_have_the_shape_of_real_ones():
    real = signed_distances(torch.zeros(2, 5, 6, dtype=torch.uint8), 4)
    with FakeTensorMode():
        fake = signed_distances(torch.zeros(2, 5, 6, dtype=torch.uint8), 4)
    assert (fake.shape, fake.dtype) == (real.shape, real.dtype) == ((2, 3, 5, 6), torch.float32)
