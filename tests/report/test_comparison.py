"""The picture of truth and prediction."""

import numpy as np
import pytest

from flexdan.report.comparison import CELL, PREDICTION, TRUTH, compare, draw_page


def square(side: int, low: int, high: int) -> np.ndarray:
    labels = np.zeros((side, side), np.uint8)
    labels[low:high, low:high] = 1
    return labels


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_both_outlines_are_drawn_inside_their_own_objects(channels):
    pixels = np.full((CELL, CELL, channels), 120, np.uint8)
    one = compare("a", pixels, square(CELL, 100, 200), square(CELL, 150, 300))
    assert one.picture.shape == (CELL, CELL, 3)
    green = (one.picture == TRUTH).all(2)
    yellow = (one.picture == PREDICTION).all(2)
    assert green[100:102, 120:190].all()
    assert yellow[150:152, 160:290].all()
    assert not green[:100].any()
    assert not yellow[:150].any()
    assert (one.picture[(~green) & (~yellow)] == 120).all()


def test_pixels_that_do_not_count_are_no_object():
    truth = np.full((CELL, CELL), 255, np.uint8)
    one = compare("a", np.zeros((CELL, CELL, 3), np.uint8), truth, np.zeros_like(truth))
    assert not one.picture.any()


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (9, 3), (10, 4)])
def test_a_page_holds_every_picture(count, columns):
    pixels = np.full((40, 80, 3), 7, np.uint8)
    nothing = np.zeros((40, 80), np.uint8)
    page = draw_page([compare(f"n{number}", pixels, nothing, nothing) for number in range(count)])
    assert page.shape[1] == columns * (CELL + 14) + 14
    assert ((page == 7).all(2)).sum() == count * CELL * CELL // 2
