import json

import pytest

from flexdan.config import RunConfig, UserError, changed_settings
from flexdan.experiments import Choice, Range, Sweep
from flexdan.sweep import Space, cell_name
from flexdan.sweep.space import encode


def test_params_stand_above_the_fixed_settings_and_those_above_the_defaults():
    space = Space(Sweep(parameters={"lr": Choice((0.5, "1e-3"))}, settings={"training.batch_size": 8}))
    config = space.config({"lr": "1e-3"})
    assert changed_settings(config) == {"training.batch_size": 8, "optimizer.lr": 0.001}
    assert RunConfig().optimizer.lr != 0.001
    assert space.config({"lr": 0.5}).optimizer.lr == 0.5


def test_values_of_the_log_and_arguments_of_other_networks_are_understood():
    sweep = Sweep(
        parameters={"use_gan": Choice((False, True)), "sn.model_args.features": Choice((8, 16))},
        settings={"sn.model_type": "mine.Net", "sn.model_args": {"depth": 3}},
    )
    config = Space(sweep).config({"use_gan": True, "sn.model_args.features": 16})
    assert config.strategy == "dan"
    assert config.sn.model_args == {"depth": 3, "features": 16}


def test_smoke_scale_makes_every_trial_small():
    config = Space(Sweep(parameters={"num_epochs": Choice((40, 100))}), small=True).config({"num_epochs": 100})
    assert config.training.num_epochs == 10
    assert config.data.image_size == (32, 48)


@pytest.mark.parametrize(
    ("parameters", "settings", "message"),
    [
        ({"lr": Choice((1, 2)), "optimizer.lr": Choice((1, 2))}, {}, "lr and optimizer.lr are the same setting"),
        ({"lr": Choice((1, 2))}, {"optimizer.lr": 3}, "optimizer.lr is fixed to 3 and is also swept as lr"),
        ({"lrr": Choice((1, 2))}, {}, "unknown setting 'lrr'"),
        ({"num_epochs": Choice(("many", 2))}, {}, "num_epochs"),
    ],
)
def test_contradictions_are_refused(parameters, settings, message):
    with pytest.raises(UserError, match=message):
        Space(Sweep(parameters=parameters, settings=settings))


def test_a_value_that_is_not_allowed_is_refused_where_it_is_used():
    space = Space(Sweep(parameters={"batch_size": Choice((2, 0))}))
    assert space.config({"batch_size": 2}).training.batch_size == 2
    with pytest.raises(UserError, match=r"training\.batch_size is 0"):
        space.config({"batch_size": 0})


@pytest.mark.parametrize("values", [(1, 2.5, "a"), (True, False), ([224, 332], [32, 48]), ("1", 1)])
def test_values_survive_optuna(values):
    held = [encode(value) for value in values]
    assert all(isinstance(value, bool | int | float | str) for value in held)
    space = Space(Sweep(parameters={"sn.model_args.x": Choice(values)}))
    back = [space.decode("sn.model_args.x", value) for value in json.loads(json.dumps(held))]
    assert back == list(values)
    assert [type(value) for value in back] == [type(value) for value in values]


@pytest.mark.parametrize("method", ["grid", "random"])
@pytest.mark.parametrize(
    "space", [Choice((4, 2)), Range(low=2, high=4, integer=True), Range(low=3, high=10**9, integer=True)]
)
def test_values_that_are_not_allowed_are_found_before_anything_runs(method, space):
    sweep = Sweep(parameters={"seed": Choice((1, 2)), "sn_num_fcn_blocks": space}, method=method, run_cap=9)
    if isinstance(space, Range) and space.high > 4:
        Space(sweep).check()
        return
    with pytest.raises(UserError, match=r"sn\.num_fcn_blocks is 2"):
        Space(sweep).check()


def test_whole_numbers_stay_whole():
    found = Space(Sweep(parameters={"batch_size": Range(low=2, high=5, integer=True)})).decode("batch_size", 3.0)
    assert found == 3
    assert isinstance(found, int)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "gird"}, "method of a sweep is 'gird'"),
        ({"parameters": {"lr": Range(low=1, high=8, step=2, log=True)}, "method": "random"}, "steps of 2"),
        ({"parameters": {"lr": Range(low=1, high=8, step=-1)}}, "steps of -1"),
        ({"parameters": {"lr": Range(low=2.5, high=3.9, integer=True)}}, "whole numbers need whole ends"),
        ({"parameters": {"lr": Range(low=1, high=float("inf"))}, "method": "random"}, "must be finite"),
        ({"parameters": {"lr": Choice(())}}, "no values to choose from"),
    ],
)
def test_sweeps_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        Sweep(**({"parameters": {"lr": Choice((1, 2))}} | changes))


def test_a_sweep_survives_json():
    sweep = Sweep(
        parameters={"lr": Range(low=0.1, high=1, log=True), "data.image_size": Choice(([1, 2], [3, 4]))},
        settings={"training.num_epochs": 3},
        method="bayes",
        metric="val_loss",
        run_cap=7,
        seed=3,
    )
    assert Sweep.from_dict(json.loads(json.dumps(sweep.to_dict()))) == sweep


def test_cell_names_tell_the_values():
    assert cell_name({"lr": 0.1, "sn_block_pattern": "double_run"}) == "lr=0.1,sn_block_pattern=double_run"


def test_a_value_may_stand_for_several_settings_above_the_fixed_ones():
    both = {"careful": {"lr": 1e-4, "batch_size": 1}, "bold": {"lr": 0.5}}
    sweep = Sweep(parameters={"style": Choice(("careful", "bold"), both)}, settings={"training.batch_size": 8})
    space = Space(sweep)
    assert space.swept == {"optimizer.lr": "style", "training.batch_size": "style"}
    found = [changed_settings(space.config(cell)) for cell in sweep.cells()]
    assert found == [
        {"optimizer.lr": 0.0001, "training.batch_size": 1},
        {"optimizer.lr": 0.5, "training.batch_size": 8},
    ]
    with pytest.raises(UserError, match="style and lr are the same setting"):
        Space(Sweep(parameters={**sweep.parameters, "lr": Choice((1, 2))}))


def test_cells_may_be_listed():
    parameters = {"lr": Choice((0.1, 0.2)), "seed": Range(low=0, high=9, integer=True)}
    cells = ({"lr": 0.1, "seed": 3}, {"lr": 0.2, "seed": 0})
    sweep = Sweep(parameters=parameters, listed=cells)
    assert sweep.size == 2
    assert tuple(sweep.cells()) == cells
    assert Sweep.from_dict(json.loads(json.dumps(sweep.to_dict()))) == sweep
    for listed, method, message in (
        (({"lr": 0.1},), "grid", "the cell .* must have a value of each of lr, seed"),
        ((cells[0], cells[0]), "grid", "a cell is listed twice"),
        (cells, "random", "cells are listed, but the method is random"),
    ):
        with pytest.raises(UserError, match=message):
            Sweep(parameters=parameters, listed=listed, method=method)
