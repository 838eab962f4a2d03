"""Which step is taken when, and sigma over time."""

import pytest

from flexdan.config import AdversarialConfig, config_from_mapping
from flexdan.strategies import build_step, en_takes_part, sigma_at, supervised_step


def test_the_en_takes_part_from_its_first_epoch_on():
    config = config_from_mapping({"use_gan": True, "gan_start_epoch": 3, "sigma": 0.2, "sigma_weight": 10})[0]
    assert [en_takes_part(config, epoch) for epoch in (1, 2, 3, 4)] == [False, False, True, True]
    assert build_step(config, 2, 0) is supervised_step
    assert build_step(config, 3, 0).keywords["options"].sigma == pytest.approx(0.5)
    supervised = config_from_mapping({"use_gan": False})[0]
    assert build_step(supervised, 9, 0) is supervised_step
    assert not en_takes_part(supervised, 9)


def test_every_variant_reaches_the_step():
    settings = {
        "sn_update": "joint",
        "en_input": "mask",
        "en_annotated": "ground_truth",
        "sigma_in_en_loss": True,
        "en_steps": 2,
        "label_smoothing": 0.1,
        "freeze": "sn",
    }
    config = config_from_mapping({"use_gan": True} | {f"adversarial.{name}": value for name, value in settings.items()})
    options = build_step(config[0], 1, 0).keywords["options"]
    assert {name: getattr(options, name) for name in settings} == settings


def test_sigma_grows_by_epoch_as_in_the_log():
    settings = AdversarialConfig(sigma=0.1, sigma_weight=300)
    assert sigma_at(settings, 100, 12345) == pytest.approx(0.1 + 100 / 300)


@pytest.mark.parametrize(("iteration", "sigma"), [(0, 0.1), (15000, 0.55), (30000, 1.0), (99999, 1.0)])
def test_sigma_grows_by_iteration_as_in_the_paper(iteration, sigma):
    assert sigma_at(AdversarialConfig(sigma_schedule="paper"), 77, iteration) == pytest.approx(sigma)
