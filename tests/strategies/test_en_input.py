"""What the evaluation network sees."""

import pytest
import torch

from flexdan.config import IGNORE
from flexdan.strategies.en_input import en_input_channels, en_inputs, predicted_maps, true_maps


def test_maps_are_probabilities_of_the_foreground_classes():
    logits = torch.zeros(1, 3, 1, 2)
    logits[0, 2, 0, 1] = torch.log(torch.tensor(2.0))
    expected = torch.tensor([[[[1 / 3, 1 / 4]], [[1 / 3, 1 / 2]]]])
    torch.testing.assert_close(predicted_maps(logits.bfloat16()), expected, rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(predicted_maps(logits), expected)


def test_masks_become_maps_and_ignored_pixels_background():
    targets = torch.tensor([[[0, 1], [2, IGNORE]]])
    assert true_maps(targets, 3).tolist() == [[[[0, 1], [0, 0]], [[0, 0], [1, 0]]]]


def test_concatenated_and_masked_inputs():
    images = torch.tensor([[[[1.0, -2.0]], [[3.0, 4.0]]]])  # (1, 2, 1, 2)
    maps = torch.tensor([[[[0.5, 1.0]], [[0.0, 0.25]]]])
    joined, masked = en_inputs(images, maps, "concatenate"), en_inputs(images, maps, "mask")
    assert joined.tolist() == [[[[1, -2]], [[3, 4]], [[0.5, 1]], [[0, 0.25]]]]
    assert torch.equal(en_inputs(images, maps, "map"), maps)
    assert masked.tolist() == [[[[0.5, -2]], [[1.5, 4]], [[0, -0.5]], [[0, 1]]]]  # the image under the first map first


@pytest.mark.parametrize("en_input", ["concatenate", "mask", "map"])
@pytest.mark.parametrize(("channels", "classes"), [(3, 2), (1, 2), (5, 4)])
def test_the_number_of_channels_is_known_beforehand(en_input, channels, classes):
    inputs = en_inputs(torch.zeros(2, channels, 4, 4), torch.zeros(2, classes - 1, 4, 4), en_input)
    assert inputs.shape[1] == en_input_channels(channels, classes, en_input)
