"""Outlines, pixel by pixel."""

import numpy as np
import pytest

from flexdan.data.outlines import draw_outlines

RED, BLUE = (255, 0, 0), (0, 0, 255)


def drawn(labels: np.ndarray, **options) -> np.ndarray:
    """Return where lines were drawn on a black image."""
    image = np.zeros((*labels.shape, 3), np.uint8)
    return draw_outlines(image, labels, **options).any(axis=2)


def test_a_square_gets_its_inner_rim():
    labels = np.zeros((9, 9), int)
    labels[2:7, 2:7] = 1
    rim = labels.astype(bool)
    rim[3:6, 3:6] = False
    np.testing.assert_array_equal(drawn(labels), rim)
    thick = labels.astype(bool)
    thick[4, 4] = False
    np.testing.assert_array_equal(drawn(labels, width=2), thick)
    np.testing.assert_array_equal(drawn(labels, width=5), labels.astype(bool))  # never outside of the object


def test_touching_objects_stay_apart_and_have_their_own_colours():
    labels = np.zeros((8, 12), int)
    labels[1:7, 1:6] = 7
    labels[1:7, 6:11] = 8
    result = draw_outlines(np.zeros((8, 12, 1), np.uint8), labels, [RED, BLUE])
    assert result.shape == (8, 12, 3)
    np.testing.assert_array_equal(result[3], [[0] * 3, RED, *[[0] * 3] * 3, RED, BLUE, *[[0] * 3] * 3, BLUE, [0] * 3])
    assert result[labels == 7].max(axis=0).tolist() == list(RED)
    assert result[labels == 8].max(axis=0).tolist() == list(BLUE)


def test_the_image_is_kept_where_no_line_is_and_is_not_changed():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    before = image.copy()
    labels = np.zeros((20, 30), np.uint16)
    labels[5:15, 5:25] = 65535
    result = draw_outlines(image, labels, RED)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(result[labels == 0], image[labels == 0])
    assert (result == RED).all(axis=2).sum() == 2 * (20 + 10) - 4
    np.testing.assert_array_equal(draw_outlines(image, np.zeros((20, 30), int)), image)


@pytest.mark.parametrize(
    ("image", "labels", "width", "message"),
    [
        (np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4), int), 1, r"must be uint8 \(H, W, 1\)"),
        (np.zeros((4, 4, 3)), np.zeros((4, 4), int), 1, "image is float64"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), int), 1, r"labels are \(4, 5\)"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), int), 0, "width is 0"),
    ],
)
def test_what_does_not_fit_is_refused(image, labels, width, message):
    with pytest.raises(ValueError, match=message):
        draw_outlines(image, labels, width=width)
