import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from naive_objects import hausdorff as naive_hausdorff

from flexdan.metrics import shapes
from flexdan.metrics.shapes import Shape, hausdorff


def shape_of(mask, spacing):
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    return Shape(box, mask[box], np.array(spacing))


def check(one, other, spacing=(1.0, 1.0)):
    expected = naive_hausdorff(one, other, np.array(spacing))
    assert hausdorff(shape_of(one, spacing), shape_of(other, spacing)) == pytest.approx(expected, abs=1e-12)
    return expected


@pytest.fixture
def disc():
    rows, columns = np.mgrid[:41, :61]
    return lambda row, column, radius: (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def test_the_farthest_pixel_may_lie_inside(disc):
    filled, ring = disc(20, 30, 18), disc(20, 30, 18) & ~disc(20, 30, 15)
    assert check(filled, ring) == pytest.approx(np.hypot(15, 1))  # from the middle of the disc


def test_objects_far_apart_and_one_inside_of_the_other(disc):
    assert check(disc(8, 8, 5), disc(30, 50, 7)) > 40
    check(disc(20, 30, 18), disc(25, 20, 3))
    check(disc(20, 30, 18), disc(20, 30, 18))


@pytest.fixture(params=["in tiles", "whole"], autouse=True)
def edges(request, monkeypatch):
    """Put every edge into small tiles, or only those that are large."""
    if request.param == "in tiles":
        monkeypatch.setattr(shapes, "MANY", 2)
        monkeypatch.setattr(shapes, "TILE", 3)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 100_000), spacing=st.sampled_from([(1.0, 1.0), (3.0, 0.5), (0.1, 1.0)]))
def test_is_what_all_distances_say(seed, spacing):
    random = np.random.default_rng(seed)
    masks = []
    for _ in range(2):
        mask = np.zeros((16, 18), bool)
        row, column, height, width = random.integers(0, [12, 14, 16, 18])
        mask[row : row + height + 1, column : column + width + 1] = random.random((16, 18))[
            row : row + height + 1, column : column + width + 1
        ] < random.choice([0.03, 0.3, 1.0])
        mask[row, column] = True
        masks.append(mask)
    check(*masks, spacing)
