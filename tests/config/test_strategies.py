"""What the names of strategies say."""

import re
from dataclasses import fields
from typing import get_args

import pytest

from flexdan.config import STRONG_VIEWS, Strategy, UnannotatedConfig, averaging, has_en, term_of, unused_settings
from flexdan.strategies import STRATEGIES


def test_every_strategy_has_a_step_and_every_view_a_user():
    assert set(STRATEGIES) == set(get_args(Strategy))
    assert set(STRONG_VIEWS) < {term_of(name) for name in STRATEGIES}


@pytest.mark.parametrize(
    ("name", "en", "term"),
    [
        ("supervised", False, ""),
        ("batch_norm_only", False, ""),
        ("dan", True, ""),
        ("fixmatch", False, "fixmatch"),
        ("dan+fixmatch", True, "fixmatch"),
    ],
)
def test_parts_of_a_name(name, en, term):
    assert (has_en(name), term_of(name)) == (en, term)


def test_settings_that_a_strategy_does_not_use():
    of_en = ["en.head", "adversarial.sigma", "init_en"]
    names = [*of_en, "adversarial.sn_update", "unannotated.weight", "training.unannotated_batch_size", "sn.x"]
    used = {
        strategy: [name for name in names if not name.startswith(unused_settings(strategy))] for strategy in STRATEGIES
    }
    assert used["supervised"] == ["sn.x"]
    assert used["batch_norm_only"] == ["training.unannotated_batch_size", "sn.x"]
    assert used["mean_teacher"] == ["unannotated.weight", "training.unannotated_batch_size", "sn.x"]
    assert used["dan"] == [*of_en, "adversarial.sn_update", "training.unannotated_batch_size", "sn.x"]
    assert used["dan+fixmatch"] == [name for name in names if name != "adversarial.sn_update"]


@pytest.mark.parametrize(
    ("strategy", "own"),
    [
        ("entropy_minimisation", []),
        ("cross_pseudo_supervision", ["cutmix"]),
        ("self_training", ["cutmix", "generations", "strong_"]),
        ("dan+self_training", ["en_share", "cutmix", "generations", "strong_"]),
        ("mean_teacher", ["cutmix", "uncertainty_passes", "uncertainty_noise", "strong_"]),
        ("dan+fixmatch", ["labels_from", "confidence", "cutmix", "strong_"]),
        ("unimatch", ["labels_from", "confidence", "cutmix", "feature_dropout", "strong_"]),
        ("dan+en_confidence", ["labels_from", "en_confidence", "cutmix", "strong_"]),
    ],
)
def test_settings_that_a_strategy_shares_with_few(strategy, own):
    names = list(dict.fromkeys(re.sub("^strong_.*", "strong_", field.name) for field in fields(UnannotatedConfig)))
    unused = unused_settings(strategy)
    assert [name for name in names if not f"unannotated.{name}".startswith(unused)] == ["weight", "ramp_up", *own]


@pytest.mark.parametrize(
    ("strategy", "labels_from", "kept"),
    [
        ("supervised", "average", "none"),
        ("dan", "average", "none"),
        ("cross_pseudo_supervision", "average", "none"),
        ("mean_teacher", "average", "ema"),
        ("dan+unimatch", "average", "ema"),
        ("fixmatch", "student", "none"),
    ],
)
def test_an_average_is_kept_where_it_labels_images(strategy, labels_from, kept):
    assert averaging(strategy, labels_from, "auto") == kept
    assert averaging(strategy, labels_from, "swa") == "swa"
