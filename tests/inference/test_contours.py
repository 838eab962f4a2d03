from dataclasses import replace

import numpy as np
import pytest
import torch

from flexdan.config import IGNORE, PostprocessingConfig
from flexdan.data.contours import CONTOUR
from flexdan.inference import class_probabilities, evaluate_batches, fold_contours, most_probable, to_instances, tune

CONTOURS = PostprocessingConfig(split="contour")


def touching(gap: int = 1) -> np.ndarray:
    """Return probabilities (3, 12, 21) of two squares that touch, parted by a contour so many pixels wide."""
    inside, contour = np.zeros((12, 21)), np.zeros((12, 21))
    inside[2:10, 2:19] = 1
    middle = slice(10 - gap // 2, 10 - gap // 2 + gap)
    inside[2:10, middle], contour[2:10, middle] = 0.2, 0.8
    return np.stack([1 - inside - contour, inside, contour]).astype(np.float32)


def test_contours_go_to_the_classes_by_their_shares():
    pixels = torch.tensor([[0.1, 0.3, 0.1, 0.5], [0.2, 0.0, 0.0, 0.8], [1.0, 0.0, 0.0, 0.0]]).T[None, :, None]
    expected = torch.tensor([[0.1, 0.675, 0.225], [0.2, 0.4, 0.4], [1.0, 0.0, 0.0]]).T[None, :, None]
    torch.testing.assert_close(fold_contours(pixels), expected)
    torch.testing.assert_close(fold_contours(pixels).sum(1), pixels.sum(1))
    one = touching()
    np.testing.assert_allclose(class_probabilities(one, contours=True), [one[0], one[1] + one[2]])
    assert class_probabilities(one, contours=False) is one


def test_an_object_is_more_probable_than_the_background_with_its_contour():
    """Of background, two insides and contours; the contour of the second is 0.5 * 0.2 / 0.25 = 0.4."""
    pixels = [[0.4, 0.3, 0.0, 0.3], [0.4, 0.25, 0.0, 0.35], [0.25, 0.05, 0.2, 0.5], [0.6, 0.2, 0.0, 0.2]]
    classes, probability, on_contour = most_probable(torch.tensor(pixels).T[None, :, None], contours=True)
    assert classes.tolist() == [[[1, 1, 2, 0]]]
    torch.testing.assert_close(probability, torch.tensor([[[0.6, 0.6, 0.6, 0.6]]]))
    assert on_contour.tolist() == [[[False, True, True, False]]]
    classes, probability, on_contour = most_probable(torch.tensor(pixels).T[None, :, None], contours=False)
    assert classes.tolist() == [[[0, 0, 3, 0]]]
    torch.testing.assert_close(probability, torch.tensor([[[0.4, 0.4, 0.5, 0.6]]]))
    assert not on_contour.any()


def test_touching_objects_are_parted_at_their_contour():
    found = to_instances(touching(), CONTOURS, contours=True)
    assert sorted(np.unique(found)) == [0, 1, 2]
    assert len(np.unique(found[2:10, 2:10])) == len(np.unique(found[2:10, 11:19])) == 1
    assert (found[2:10, 2:19] > 0).all()  # the contour belongs to them
    assert to_instances(touching(), PostprocessingConfig(), contours=True).max() == 1
    assert (
        to_instances(touching(), PostprocessingConfig(split="contour", inside_threshold=0.1), contours=True).max() == 1
    )


def test_an_object_that_is_all_contour_stays():
    probabilities = touching()
    probabilities[1:] = probabilities[1] * 0.3, probabilities[1] * 0.7 + probabilities[2]
    assert to_instances(probabilities, CONTOURS, contours=True).max() == 1


def test_classes_keep_their_objects():
    background, first, second, contour = np.zeros((4, 6, 6), np.float32)
    first[:, :2], second[:, 4:] = 1, 1
    first[:, 2], second[:, 3] = 0.2, 0.2
    contour[:, 2:4] = 0.8
    found = to_instances(np.stack([background, first, second, contour]), CONTOURS, contours=True)
    np.testing.assert_array_equal(found, np.repeat([[1, 1, 1, 2, 2, 2]], 6, axis=0))


def test_a_network_without_contours_cannot_be_parted_by_them():
    with pytest.raises(ValueError, match="no class for them"):
        to_instances(touching()[:2], CONTOURS)
    with pytest.raises(ValueError, match="K at least 2"):
        to_instances(touching()[:2], CONTOURS, contours=True)


def test_tuning_finds_the_contours():
    truth = np.zeros((12, 21), int)
    truth[2:10, 2:10], truth[2:10, 10:19] = 1, 2
    best, tried = tune([touching()], [truth], contours=True)
    assert (best.split, best.inside_threshold) == ("contour", 0.5)
    assert max(one.value for one in tried) > tried[0].value
    assert tune([touching()], [truth])[0].split != "contour"


def test_validation_counts_classes_and_loses_on_contours():
    marked = torch.tensor([[[0, 1 + CONTOUR, 1, IGNORE]]])
    logits = torch.tensor([[2.0, 0.0, 0.0], [1.0, 0.2, 0.9], [0.0, 3.0, 0.0], [9.0, 0.0, 0.0]]).T[None, :, None]
    seen = []

    def loss(logits, target):
        seen.append(target)
        return logits.sum() * 0 + 2.5

    result = evaluate_batches(torch.nn.Identity(), [(logits, marked)], num_classes=2, loss=loss, contours=True)
    assert result.counts.tolist() == [[[1, 0], [0, 2]]]  # the contour is foreground: 0.2 and 0.9 together win
    assert seen[0].tolist() == [[[0, 2, 1, IGNORE]]]
    assert result.loss == 2.5


def test_small_middles_do_not_part():
    probabilities = touching()
    probabilities[1, 4:6, 10], probabilities[2, 4:6, 10] = 0.9, 0.1  # a speck in the contour
    settings = PostprocessingConfig(split="contour", inside_threshold=0.85)
    probabilities[1, 3, 9:12] = probabilities[1, 6, 9:12] = probabilities[1, 3:7, 9] = probabilities[1, 3:7, 11] = 0.1
    assert to_instances(probabilities, settings, contours=True).max() == 3
    assert to_instances(probabilities, replace(settings, min_middle=3), contours=True).max() == 2
    assert "insides above 0.85 of at least 3 pixels" in str(replace(settings, min_middle=3))
