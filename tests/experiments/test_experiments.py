"""Every experiment parses, builds and trains one step; the grids are those of the log."""

from dataclasses import replace

import pytest
import torch
import yaml

from flexdan.config import (
    RunConfig,
    UserError,
    config_from_mapping,
    setting_values,
    to_dict,
    to_yaml,
    with_settings,
)
from flexdan.engine.epoch import _updates
from flexdan.engine.progress import TrainingProgress
from flexdan.engine.setup import build_parts, gather_data, resolve_config
from flexdan.experiments import EXPERIMENTS, find_experiment, smoke
from flexdan.experiments.common import AS_IN_THE_PAPER
from flexdan.experiments.experiment import grid
from flexdan.strategies import build_step, en_takes_part


@pytest.mark.parametrize(
    ("name", "cells"),
    [("1", 4), ("2", 1), ("3", 32), ("4", 120), ("5", 163), ("6a", 2), ("6b", 2), ("7", 1), ("8", 1), ("9", 16)],
)
def test_the_grids_of_the_log_are_whole(name, cells):
    experiment = find_experiment(name)
    names = [cell.name for cell in experiment.cells]
    assert len(names) == len(set(names)) == cells
    assert experiment.recorded
    assert experiment.fault


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_configuration_reads_back_from_its_yaml(name):
    experiment = find_experiment(name)
    for cell in experiment.cells[::6]:
        assert config_from_mapping(setting_values(cell.config))[0] == cell.config
    for config in (experiment.cells[-1].config, smoke(experiment.cells[-1].config)):
        assert config_from_mapping(yaml.safe_load(to_yaml(config)))[0] == config
    starts = [cell.start for cell in experiment.cells if cell.start]
    before = [cell.name for cell in experiment.cells[: len(experiment.cells) - len(starts)]]
    assert set(starts) <= set(before)


STEPS = [*((name, "recorded") for name in EXPERIMENTS), ("2", "paper"), ("8", "paper")]


@pytest.mark.parametrize(("name", "method"), STEPS)
def test_every_experiment_builds_and_does_one_step(name, method, discs):
    """At smoke scale, since the networks of the log are large; the first and the last of its trainings."""
    cells = find_experiment(name).cells
    for cell in {cell.name: cell for cell in (cells[0], cells[-1])}.values():
        small = {"data.manifest": str(discs), "data.annotated": ""}
        config = with_settings(smoke(cell.config), small | (AS_IN_THE_PAPER if method == "paper" else {}))
        data = gather_data(config)
        parts = build_parts(resolve_config(config, data), data)
        with TrainingProgress(shown=False) as progress:
            batches = next(_updates(parts, config, 1, en_takes_part(config, 1), progress))
        before = [weight.clone() for weight in parts.players.sn.bare.parameters()]
        numbers = build_step(config, 1, 0)(parts.players, batches, parts.means)
        assert 0 < numbers["train_loss"] < 10
        assert any(not torch.equal(a, b) for a, b in zip(before, parts.players.sn.bare.parameters(), strict=True))
        assert (parts.players.en is not None) == (config.strategy == "dan")


def changes(name: str) -> dict[str, object]:
    """What the adversarial training of an experiment has that experiment 5 has not."""
    first, other = (find_experiment(one).cells[-1].config for one in ("5", name))
    plain = [to_dict(with_settings(config, {"training.num_epochs": 1}))["adversarial"] for config in (first, other)]
    return {key: value for key, value in plain[1].items() if value != plain[0][key] and "sigma" not in key.split("_")}


def test_what_the_gan_optimizations_change():
    assert changes("6a") == {"en_lr": 0.0001}
    slow_en = {"en_lr": 0.0001}
    assert changes("7") == changes("6b") == slow_en
    assert changes("8") == changes("9") == slow_en | {"en_input": "mask"}
    in_loss = {name: find_experiment(name).cells[-1].config.adversarial.sigma_in_en_loss for name in EXPERIMENTS}
    assert {name for name, value in in_loss.items() if value} == {"2", "5", "6a"}
    assert [bool(find_experiment(name).cells[-1].start) for name in ("5", "6a", "6b", "7")] == [True, True, True, False]


def test_recorded_settings_of_the_log():
    third = find_experiment("3").cells[0].config
    assert (third.optimizer.lr, third.training.num_epochs, third.training.batch_size) == (0.002, 20, 2)
    fourth = find_experiment("4").cells[0].config
    assert (fourth.training.num_epochs, fourth.training.batch_size, fourth.sn.num_fcn_blocks) == (40, 4, 5)
    fifth = find_experiment("5").cells[-1].config
    assert (fifth.sn.block_depth, fifth.sn.first_layer_out_channels, fifth.training.batch_size) == (2, 8, 4)
    assert (fifth.scheduler.factor, fifth.scheduler.patience) == (0.8, 10)
    assert fifth.adversarial.en_annotated == "ground_truth"
    assert fifth.adversarial.unannotated_source == "half_batch"


def test_sigma_goes_on_where_the_log_was_when_the_trained_sn_was_loaded():
    for name in ("5", "6a", "6b"):
        cell = find_experiment(name).cells[1]
        sigma, weight = cell.config.adversarial.sigma, cell.config.adversarial.sigma_weight
        assert sigma + 1 / weight == pytest.approx(0.1 + 41 / weight)


def test_scarce_trains_the_sn_equally_often():
    cells = {cell.name: cell for cell in find_experiment("scarce").cells}
    updates = {
        name: cell.config.training.num_epochs * cell.config.training.updates_per_epoch for name, cell in cells.items()
    }
    total = {name: updates[name] + (updates[cells[name].start] if cells[name].start else 0) for name in updates}
    assert {total[name] for name in total if name != "trained_sn"} == {400}
    assert all(cell.config.adversarial.sn_update == "joint" for cell in cells.values() if cell.config.strategy == "dan")
    assert {replace(cell.config.data, manifest="") for cell in cells.values()} == {cells["dan"].config.data}


def test_a_grid_names_its_cells():
    cells = grid(RunConfig(), {"sn.block_depth": (1, 2), "optimizer.lr": (0.1,)})
    assert [cell.name for cell in cells] == ["block_depth=1,lr=0.1", "block_depth=2,lr=0.1"]
    assert [cell.config.sn.block_depth for cell in cells] == [1, 2]


@pytest.mark.parametrize(
    ("name", "hint"), [("10", "they are 1, 2"), ("6", "did you mean 6[ab] or 6[ab]"), ("scarse", "did you mean scarce")]
)
def test_an_unknown_experiment_is_refused(name, hint):
    with pytest.raises(UserError, match=hint):
        find_experiment(name)
