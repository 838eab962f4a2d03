"""W&B: what is logged and when, with a module in its place that writes down how it is called."""

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from flexdan.config import UserError, config_from_mapping
from flexdan.engine import read_record, train

SMALL = {
    "sn.first_layer_out_channels": 4,
    "sn.num_fcn_blocks": 3,
    "training.num_epochs": 2,
    "training.tensorboard": False,
    "training.wandb": True,
    "scheduler.scheduler_type": "none",
}


class Run:
    def __init__(self, **settings):
        self.settings = settings
        self.id = settings.get("id", "fresh")
        self.logged = []
        self.exit_code = None

    def log(self, row, step):
        assert self.exit_code is None
        self.logged.append((step, row))

    def finish(self, exit_code):
        self.exit_code = exit_code


@pytest.fixture
def runs(monkeypatch) -> list[Run]:
    """The runs that were begun."""
    begun = []
    module = ModuleType("wandb")
    module.Error = type("Error", (Exception,), {})  # type: ignore[attr-defined]
    module.init = lambda **settings: begun.append(Run(**settings)) or begun[-1]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delenv("WANDB_SWEEP_ID", raising=False)
    return begun


def settings(manifest: Path, **more):
    changes = {name.replace("__", "."): value for name, value in more.items()}
    return config_from_mapping({"data.manifest": str(manifest), **SMALL, **changes})[0]


def test_settings_and_every_epoch_are_logged(discs, tmp_path, runs):
    history = train(settings(discs), tmp_path / "first")
    (run,) = runs
    assert run.settings == {
        "dir": str(tmp_path / "first"),
        "name": "first",
        "config": yaml.safe_load((tmp_path / "first" / "config.yaml").read_text()),
        "reinit": "create_new",
    }
    assert run.logged == [(1, history[0]), (2, history[1])]
    assert run.exit_code == 0
    events = [event["event"] for event in read_record(tmp_path / "first" / "record.jsonl")]
    assert events == ["start", "wandb", "epoch", "epoch", "end"]


def test_a_resumed_run_goes_on_in_the_same_run_of_wandb(discs, tmp_path, runs):
    train(settings(discs), tmp_path)
    longer = settings(discs, training__num_epochs=3)
    train(longer, tmp_path, resume=True)
    assert runs[1].settings["id"] == "fresh"
    assert runs[1].settings["resume"] == "allow"
    assert [step for step, _ in runs[1].logged] == [3]
    train(replace(longer, seed=1), tmp_path)
    assert "id" not in runs[2].settings  # a new run in the folder of an old one


def test_an_agent_names_the_run_itself(discs, tmp_path, runs, monkeypatch):
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    train(settings(discs), tmp_path)
    train(settings(discs, training__num_epochs=3), tmp_path, resume=True)
    assert not {"id", "project", "entity", "resume"} & set(runs[1].settings)  # wandb would warn that it ignores them


def test_a_training_that_fails_ends_its_run_as_failed(discs, tmp_path, runs):
    config = settings(discs, optimizer__lr=1e30, optimizer__optimizer_type="sgd", training__precision="fp32")
    with pytest.raises(UserError, match="training loss is"):
        train(config, tmp_path)
    assert runs[0].exit_code == 1


def test_nothing_is_begun_unless_asked_for(discs, tmp_path, runs):
    train(settings(discs, training__wandb=False), tmp_path)
    assert not runs


@pytest.mark.parametrize("place", [None, ModuleType("wandb")])
def test_without_wandb_nothing_is_written(discs, tmp_path, monkeypatch, place):
    monkeypatch.setitem(sys.modules, "wandb", place)  # None: cannot be imported; empty: a folder of this name
    with pytest.raises(UserError, match=r"wandb is not installed: pip install 'flexdan\[wandb\]'"):
        train(settings(discs), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_wandb_that_is_broken_is_not_called_missing(discs, tmp_path, monkeypatch):
    (tmp_path / "wandb.py").write_text("import no_such_module\n")
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="wandb cannot be imported: No module named 'no_such_module'"):
        train(settings(discs), tmp_path / "run")


def test_a_start_that_fails_is_explained(discs, tmp_path, runs, monkeypatch):
    def refuse(**settings):
        raise sys.modules["wandb"].Error("No API key configured.")

    monkeypatch.setattr(sys.modules["wandb"], "init", refuse)
    with pytest.raises(UserError, match="W&B does not start: No API key configured; run `wandb login`"):
        train(settings(discs), tmp_path)
