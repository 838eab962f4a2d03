import json

import pytest

from flexdan.cli.main import main
from flexdan.config import config_from_mapping, read_settings_file
from flexdan.memory import ask_planner

SMALL = ["--sn.num_fcn_blocks", "3", "--sn.first_layer_out_channels", "4", "--data.image_size", "[32, 48]"]


def plan(capsys, *argv: str) -> str:
    assert main(["plan", *argv]) == 0
    return capsys.readouterr().out


def test_settings_of_options(capsys):
    out = plan(capsys, *SMALL, "--memory", "14.76GiB")
    assert "note: no data.manifest: assuming sn.input_channels 3, sn.output_channels 2" in out
    assert "memory: 14.76 GiB, device class: gpu" in out
    assert " fits " in out
    assert "The tensors of a step take 0.0" in out


def test_a_file_with_options_over_it_as_json(capsys, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("sn_num_fcn_blocks: 6\nsn_block_pattern: single_run\nbatch_size: 2\ndata.image_size: [224, 332]\n")
    found = json.loads(plan(capsys, str(file), "--device", "t4", "--json", "--training.precision", "fp32"))
    (row,) = found["rows"]
    assert found["device"] == "t4"
    assert found["memory"] == round(14.76 * 2**30)
    assert (row["name"], row["verdict"], row["largest_batch"]) == ("run", "does not fit", 0)
    assert row["change_peak"] <= found["memory"] < row["peak"]
    options = [f"--{name}={json.dumps(value)}" for name, value in row["change"]["settings"].items()]
    again = json.loads(plan(capsys, str(file), "--device", "t4", "--json", "--training.precision", "fp32", *options))
    assert again["rows"][0]["verdict"] in ("fits", "tight")
    assert again["rows"][0]["peak"] == row["change_peak"]


def test_a_sweep_with_options_over_it(capsys, tmp_path):
    file = tmp_path / "grid.yaml"
    file.write_text(
        "method: grid\nparameters:\n  sn_num_fcn_blocks: {values: [3, 4]}\n  lr: {values: [0.1, 0.2]}\n"
        "  sn_first_layer_out_channels: {value: 4}\n  batch_size: {value: 64}\n"
    )
    out = plan(capsys, str(file), "--memory", "8GiB", "--data.image_size", "[32, 48]")
    assert "sn_num_fcn_blocks=4,lr=0.2" in out
    assert "4 of 4 fit" in out
    argv = [str(file), "--memory", "8GiB", "--json", "--data.image_size", "[32, 48]"]
    large, small = (json.loads(plan(capsys, *argv, *more))["rows"][0]["peak"] for more in ([], ["--batch_size", "2"]))
    assert small < large  # an option counts also where it is the default


def test_a_run_folder_and_an_experiment(capsys, tmp_path, discs):
    settings = [*SMALL, "--data.manifest", str(discs), "--training.num_epochs", "1", "--training.precision", "fp32"]
    assert main(["train", *settings, "--training.device", "cpu", "-o", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    found = json.loads(plan(capsys, str(tmp_path / "run"), "--device", "cpu", "--json"))["rows"][0]
    assert found["name"] == "run"
    config = config_from_mapping(read_settings_file(tmp_path / "run" / "config.yaml"))[0]
    assert found["peak"] == ask_planner(config).peak
    assert "4 of 4 fit" in plan(capsys, "--experiment", "1", "--device", "t4", *SMALL[4:])


def test_training_asks_the_planner_where_a_memory_is_named(capsys, tmp_path, discs):
    argv = ["train", *SMALL, "--data.manifest", str(discs), "-o", str(tmp_path / "run"), "--memory", "64MiB"]
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert "does not fit: it needs " in err
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--memory", "lots"], "--memory is 'lots'"),
        (["--device", "h900"], "--device is 'h900': say t4, gpu, cpu"),
        (["nowhere.yaml"], "cannot read the settings file nowhere.yaml"),
        (["--experiment", "77"], "there is no experiment '77'"),
        (["run.yaml", "--experiment", "3"], "are both there"),
        (["--calibrate"], "CUDA"),
    ],
)
def test_mistakes(capsys, argv, message):
    assert main(["plan", *argv]) == 2
    assert message in capsys.readouterr().err
