"""`flexdan train` as `wandb agent` starts it, in every style of its arguments."""

import json
from pathlib import Path

import pytest
import yaml

from flexdan.cli.main import main
from flexdan.config import RunConfig, config_from_mapping, setting_values
from flexdan.engine import read_record

PARAMETERS = {
    "optimizer.lr": 1e-05,
    "batch_size": 3,
    "use_gan": True,
    "pin_memory": False,
    "en_lr": None,
    "data.image_size": [32, 48],
    "scheduler_type": "none",
    "adversarial": {"sigma": 0.2, "sigma_in_en_loss": True, "en_lr": None},
}

# What `create_sweep_command_args` of wandb 0.31.0 makes of these parameters, by the name of the macro.
NESTED = "{'sigma': 0.2, 'sigma_in_en_loss': True, 'en_lr': None}"
WRITTEN = [
    *("optimizer.lr=1e-05", "batch_size=3", "use_gan=True", "pin_memory=False", "en_lr=None"),
    *("data.image_size=[32, 48]", "scheduler_type=none", f"adversarial={NESTED}"),
]
STYLES = {
    "args": [f"--{text}" for text in WRITTEN],
    "args_no_equals": [
        *("--optimizer.lr", "1e-05", "--batch_size", "3", "--use_gan", "True", "--pin_memory", "False"),
        *("--en_lr", "None", "--data.image_size", "[32, 48]", "--scheduler_type", "none", "--adversarial", NESTED),
    ],
    "args_no_hyphens": WRITTEN,
    "args_no_boolean_flags": [
        *("--optimizer.lr=1e-05", "--batch_size=3", "--use_gan", "--en_lr=None", "--data.image_size=[32, 48]"),
        *("--scheduler_type=none", f"--adversarial={NESTED}"),
    ],
    "args_json": [
        '{"optimizer.lr": 1e-05, "batch_size": 3, "use_gan": true, "pin_memory": false, "en_lr": null, '
        '"data.image_size": [32, 48], "scheduler_type": "none", "adversarial": {"sigma": 0.2, '
        '"sigma_in_en_loss": true, "en_lr": null}}'
    ],
    "args_json_file": [str(Path("wandb") / "sweep-abc" / "config-xyz.json")],
    "args_append_hydra": [f"+{text}" for text in WRITTEN],
    "args_override_hydra": [f"++{text}" for text in WRITTEN],
}


@pytest.fixture
def agent(tmp_path, monkeypatch):
    """The surroundings of a command that the agent starts: its variables, and the file of `${args_json_file}`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    monkeypatch.setenv("WANDB_RUN_ID", "xyz")
    file = tmp_path / STYLES["args_json_file"][0]
    file.parent.mkdir(parents=True)
    file.write_text(STYLES["args_json"][0])
    return tmp_path


@pytest.fixture
def trained(monkeypatch) -> list[tuple[RunConfig, Path]]:
    """What the command would train, and where, instead of training it."""
    calls = []
    monkeypatch.setattr(
        "flexdan.memory.train_planned", lambda config, folder, **options: calls.append((config, folder))
    )
    return calls


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("where", ["before", "after"])
def test_every_style_gives_the_same_settings_before_and_after_our_own_options(agent, trained, style, where):
    (agent / "base.yaml").write_text("seed: 4\nlr: 0.5\nuse_gan: false\n")
    own = ["--config", "base.yaml", "--memory", "8GiB", "-o", "runs/one"]
    given = [*STYLES[style], *own] if where == "before" else [*own, *STYLES[style]]
    assert main(["train", *given]) == 0
    expected, _ = config_from_mapping({"seed": 4, **PARAMETERS})
    assert trained == [(expected, Path("runs/one"))]


@pytest.mark.parametrize("style", ["args_no_boolean_flags", "args_json_file"])
def test_an_agent_trains(agent, discs, style):
    small = {"sn": {"first_layer_out_channels": 4, "num_fcn_blocks": 3}, "en.head": "global_average", "num_epochs": 1}
    small |= {"data.manifest": str(discs), "training.tensorboard": False, "en.first_layer_out_channels": 4}
    (agent / "base.yaml").write_text(yaml.safe_dump(small))
    assert main(["train", "--config", "base.yaml", *STYLES[style]]) == 0
    (folder,) = (agent / "runs").iterdir()
    assert folder.name.endswith("-xyz")  # agents that start in the same second keep apart
    saved, _ = config_from_mapping(yaml.safe_load((folder / "config.yaml").read_text()))
    for name in ("optimizer.lr", "training.batch_size", "strategy", "adversarial.sigma", "data.image_size"):
        expected = setting_values(config_from_mapping(PARAMETERS)[0])[name]
        assert setting_values(saved)[name] == expected
    assert [event["event"] for event in read_record(folder / "record.jsonl")] == ["start", "epoch", "end"]
    assert main(["train", "--resume", str(folder), *STYLES[style]]) == 0


def test_the_paper_names_every_style():
    paper = (Path(__file__).parents[2] / "docs" / "wandb.md").read_text()
    assert all(f'"${{{style}}}"' in paper for style in STYLES)


def test_a_json_file_may_also_be_the_config(agent, trained):
    assert main(["train", "--config", STYLES["args_json_file"][0]]) == 0
    assert trained[0][0] == config_from_mapping(PARAMETERS)[0]


def test_options_of_the_command_may_be_among_the_parameters(agent, trained):
    (agent / "base.yaml").write_text("seed: 4\n")
    own = {"config": "base.yaml", "output": "runs/one"}
    assert main(["train", json.dumps({**own, "lr": 0.5})]) == 0
    assert main(["train", *(f"{name}={value}" for name, value in own.items()), "lr=0.5"]) == 0
    assert trained == [(config_from_mapping({"seed": 4, "lr": 0.5})[0], Path("runs/one"))] * 2


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["run.yaml"], "'run.yaml' is no setting: what is understood is --name=value, --name value, name=value"),
        (["lr"], "'lr' is no setting"),
        (["~lr=0.1"], "'~lr=0.1' is no setting"),
        (["+++lr=0.1"], "'+++lr=0.1' is no setting"),
        (["learning_rat=0.1"], "unknown option 'learning_rat'"),
        (["lr=None"], "--lr has no value"),
        (['{"lr": null}'], "lr has no value"),
        (['{"lr": 0.1'], "the JSON object is not JSON"),
        (['{"lr": 0.1, "sn_lr": 0.2}'], "lr and sn_lr are the same setting"),
        (['{"optimizer": 3}'], "optimizer is 3: it is a section"),
        (["--optimizer={'lrr': 0.1}"], "unknown setting 'optimizer.lrr': did you mean optimizer.lr"),
        (["--optimizer={'lr: 0.1}"], '--optimizer is "{\'lr: 0.1}": it is a section and takes settings'),
        (["gone.json"], "cannot read the settings file gone.json"),
        (["list.json"], "list.json must hold settings by name, but holds a list"),
        (["--lr", "-o", "runs/one"], "--lr needs a value"),
        (["--lr"], "--lr needs a value"),
    ],
)
def test_what_is_none_of_these_is_refused(agent, trained, capsys, argv, message):
    (agent / "list.json").write_text("[1]")
    assert main(["train", *argv]) == 2
    assert message in capsys.readouterr().err
    assert not trained


def test_the_file_of_a_plan_stays_a_file(tmp_path, capsys):
    file = tmp_path / "lr=0.5.yaml"
    file.write_text(
        "sn: {num_fcn_blocks: 3, first_layer_out_channels: 4}\ndata.image_size: [32, 32]\n"
        "en: {num_fcn_blocks: 2, first_layer_out_channels: 4, first_linear_layer_out_features: 16}\n"
    )
    assert main(["plan", str(file), "--memory", "1GiB", "--use_gan", "--batch_size=3"]) == 0
    assert "lr=0.5" in capsys.readouterr().out
