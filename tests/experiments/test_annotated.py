import json
from collections import Counter

import pytest

from flexdan.config import RunConfig, UserError, with_settings
from flexdan.experiments import (
    CONTROL,
    Sweep,
    annotated_sweep,
    curve_base,
    curve_cells,
    lacks_unannotated,
    one_pass,
    sn_updates,
)
from flexdan.sweep import Space


def test_cells_are_whole_curves_of_one_seed_after_the_other():
    cells = curve_cells([9, 5, 9], ["supervised", "dan"], 2)
    assert [tuple(cell.values()) for cell in cells] == [
        *(("supervised", 5, 0), ("dan", 5, 0), ("supervised", 9, 0), ("dan", 9, 0)),
        *(("supervised", 5, 1), ("dan", 5, 1), ("supervised", 9, 1), ("dan", 9, 1)),
    ]


def test_the_sweep_has_the_settings_of_each_curve_and_comes_back_from_json():
    config = with_settings(curve_base(), {"training.updates_per_epoch": 7, "adversarial.sigma": 0.3, "seed": 5})
    cells = curve_cells([5, 9], ["supervised", "dan", CONTROL], 2)
    sweep = annotated_sweep(config, cells, 20)
    assert Sweep.from_dict(json.loads(json.dumps(sweep.to_dict()))) == sweep
    space = Space(sweep)
    configs = [space.config(cell) for cell in sweep.cells()]
    assert len(configs) == sweep.size == 12
    assert Counter(one.strategy for one in configs) == {"supervised": 4, "dan": 8}
    assert {(one.data.annotated, one.seed) for one in configs} == {(5, 0), (9, 0), (5, 1), (9, 1)}
    assert {one.adversarial.sn_update for one in configs} == {"joint"}
    assert [one.adversarial.sigma for one in configs[:3]] == [0.3, 0.3, 0.0]
    assert [one.adversarial.sigma_end for one in configs[:3]] == [1.0, 1.0, 0.0]
    assert {sn_updates(one) for one in configs} == {7 * config.training.num_epochs}


def test_updates_are_those_that_a_pass_takes():
    config = with_settings(RunConfig(), {"training.batch_size": 4, "training.gradient_accumulation_steps": 2})
    assert [one_pass(count, config) for count in (1, 8, 9, 17)] == [1, 1, 2, 3]


@pytest.mark.parametrize(
    ("changes", "updates"),
    [
        ({"strategy": "supervised"}, 20),
        ({"adversarial.sn_update": "joint"}, 20),
        ({}, 40),
        ({"adversarial.gan_start_epoch": 4}, 5 * 3 + 5 * 2),
        ({"adversarial.sigma": 0.0, "adversarial.sigma_schedule": "paper", "adversarial.sigma_end": 0.0}, 20),
        ({"adversarial.freeze": "sn"}, 0),
        ({"strategy": "cross_pseudo_supervision"}, 20),
        ({"strategy": "dan+mean_teacher"}, 20),
    ],
)
def test_updates_of_the_sn(changes, updates):
    base = {"strategy": "dan", "training.num_epochs": 4, "training.updates_per_epoch": 5}
    assert sn_updates(with_settings(RunConfig(), base | changes)) == updates


def test_dan_needs_images_that_are_not_annotated():
    config = curve_base()
    cells = curve_cells([9, 10], ["supervised", "dan"], 1)
    assert [lacks_unannotated(cell, config, 10) for cell in cells] == [False, False, False, True]
    half = with_settings(config, {"adversarial.unannotated_source": "half_batch"})
    assert not any(lacks_unannotated(cell, half, 10) for cell in cells)
    (other,) = curve_cells([10], ["mean_teacher"], 1)
    assert lacks_unannotated(other, half, 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([5], ["dam"], 1), "no strategy 'dam'.*supervised, dan, .*mean_teacher.*, dan_without_sigma"),
        (([0, 5], ["dan"], 1), "a count of annotated images is 0, but must be at least 1"),
        (([5], ["dan"], 0), "the number of seeds is 0"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(UserError, match=message):
        curve_cells(*arguments)
