"""The losses that settings name, and their sums."""

import pytest
import torch

from flexdan.config import LossConfig, UserError, config_from_mapping
from flexdan.losses import CRITERIA, boundary_loss, build_criterion, cross_entropy, dice_loss, tversky_loss

WEIGHTS = (0.5, 2.0, 3.0)


@pytest.fixture
def example():
    generator = torch.Generator().manual_seed(5)
    return torch.randn(2, 3, 6, 7, generator=generator), torch.randint(3, (2, 6, 7), generator=generator)


@pytest.mark.parametrize("name", CRITERIA)
def test_a_name_is_the_sum_of_its_terms(name, example):
    settings = LossConfig(
        criterion=name, class_weights=WEIGHTS, tversky_alpha=0.2, tversky_beta=0.9, boundary_weight=0.5
    )
    terms = {
        "cross_entropy": cross_entropy(*example, WEIGHTS),
        "dice": dice_loss(*example),
        "tversky": tversky_loss(*example, 0.2, 0.9),
        "boundary": 0.5 * boundary_loss(*example),
    }
    expected = sum(terms[term] for term in CRITERIA[name])
    torch.testing.assert_close(build_criterion(settings)(*example), expected)
    assert "_".join(CRITERIA[name]) == name


def test_the_default_is_the_plain_cross_entropy(example):
    assert torch.equal(build_criterion(LossConfig())(*example), cross_entropy(*example))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss.tversky_alpha": -1}, "loss.tversky_alpha is -1.0: it must be 0 or more"),
        ({"loss.boundary_weight": -0.1}, "loss.boundary_weight is -0.1"),
        ({"loss.class_weights": [1, 0]}, r"loss.class_weights is \[1.0, 0.0\]: each weight must be above 0"),
        ({"loss.class_weights": [1, 2], "sn.output_channels": 3}, "has 2 weights, but there are 3 classes"),
        (
            {"loss.class_weights": [1, 2], "sn.output_channels": 2, "sn.contour_width": 2},
            "has 2 weights, but there are 3 classes, background and contours included",
        ),
        ({"loss.criterion": "focal"}, "cross_entropy_dice_boundary"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        config_from_mapping(settings)
