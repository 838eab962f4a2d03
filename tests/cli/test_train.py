"""`flexdan train` and `flexdan config show` as a user runs them."""

import re
from dataclasses import replace

import pytest
import yaml

from flexdan.cli.main import main
from flexdan.cli.train import differing_settings
from flexdan.config import RunConfig, to_dict
from flexdan.engine import load_run, read_record

SMALL = ["--sn.first_layer_out_channels=4", "--sn_num_fcn_blocks=3", "--batch_size=3", "--training.tensorboard=false"]


def train(discs, folder, *more) -> int:
    return main(["train", "--data.manifest", str(discs), "-o", str(folder), "--num_epochs=2", *SMALL, *more])


def test_config_show_prints_every_setting(capsys):
    assert main(["config", "show"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == to_dict(RunConfig())


def test_config_show_reads_back_its_own_output(capsys, tmp_path):
    assert main(["config", "show", "--lr", "5e-3", "--sn_block_depth=2", "--scheduler_verbose", "True"]) == 0
    text = capsys.readouterr().out
    assert "# note: --scheduler_verbose is accepted but has no effect" in text
    (tmp_path / "run.yaml").write_text(text)
    assert main(["config", "show", "--config", str(tmp_path / "run.yaml")]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == yaml.safe_load(text)


def test_train_and_do_not_overwrite(discs, tmp_path, capsys):
    assert train(discs, tmp_path / "run") == 0
    out = capsys.readouterr().out
    assert "6 annotated and 4 validation images at 32x40" in out
    assert "3 unannotated training images" in out
    assert "epoch 2/2" in out
    assert train(discs, tmp_path / "run") == 2
    assert "--force" in capsys.readouterr().err
    first = read_record(tmp_path / "run" / "record.jsonl")
    assert train(discs, tmp_path / "run", "--force", "--seed=5") == 0
    again = read_record(tmp_path / "run" / "record.jsonl")
    assert (first[0]["seed"], again[0]["seed"], len(again)) == (0, 5, 4)


def test_a_terminal_sees_a_bar_with_the_time_left_and_live_metrics(discs, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    monkeypatch.setenv("COLUMNS", "160")
    assert train(discs, tmp_path / "run") == 0
    seen = capsys.readouterr().out
    assert "decoding images" in seen
    assert "epoch 2/2" in seen
    assert re.search(r"left.*train_loss \d\.\d{4}", seen)


def test_resume_keeps_the_settings_of_the_run(discs, tmp_path, capsys):
    plateau = "--scheduler.scheduler_type=ReduceLROnPlateau"
    assert train(discs, tmp_path / "run", plateau) == 0
    resume = ["train", "--resume", str(tmp_path / "run")]
    capsys.readouterr()
    assert main([*resume, "--lr", "0.5"]) == 2
    assert "optimizer.lr is 0.5, but the run" in capsys.readouterr().err
    assert main([*resume, "--num_epochs", "3"]) == 0
    assert "going on after epoch 2" in capsys.readouterr().out
    assert load_run(tmp_path / "run", "last").epoch == 3
    for number, options in enumerate(
        [
            ["--scheduler.scheduler_type=OneCycle"],
            ["--scheduler.scheduler_type=Cosine"],
            [plateau, "--training.weight_averaging=swa"],
            [plateau, "--strategy=self_training"],
        ]
    ):
        assert train(discs, tmp_path / str(number), *options) == 0
        assert main(["train", "--resume", str(tmp_path / str(number)), "--num_epochs", "4"]) == 2
        assert "training.num_epochs is 4, but the run" in capsys.readouterr().err


def test_a_command_can_be_repeated_with_resume(discs, tmp_path, monkeypatch, capsys):
    assert train(discs, tmp_path / "run") == 0
    capsys.readouterr()
    assert main(["config", "show", "--data.manifest", str(discs), "--num_epochs=2", *SMALL]) == 0
    (tmp_path / "run.yaml").write_text(capsys.readouterr().out)
    monkeypatch.chdir(discs.parent)
    again = ["--data.manifest", discs.name, "--num_epochs=2", *SMALL]
    assert main(["train", "--resume", str(tmp_path / "run"), *again]) == 0
    assert main(["train", "--resume", str(tmp_path / "run"), "--config", str(tmp_path / "run.yaml")]) == 0


def test_force_leaves_other_folders_alone(discs, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.yaml").write_text("of something else")
    assert train(discs, tmp_path / "mine", "--force") == 2
    assert "holds other things than a run" in capsys.readouterr().err
    assert (tmp_path / "mine" / "config.yaml").read_text() == "of something else"


def test_a_place_that_cannot_be_written_is_named(discs, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert train(discs, tmp_path / "file" / "run") == 1
    assert f"{tmp_path / 'file' / 'run'}" in capsys.readouterr().err
    assert train(discs, tmp_path / "file", "--force") == 2


def test_several_processes_need_a_name_for_their_run(discs, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["train", "--data.manifest", str(discs)]) == 2
    assert "say -o RUN" in capsys.readouterr().err


def test_init_sn_with_a_hyphen(discs, tmp_path):
    assert train(discs, tmp_path / "first") == 0
    assert train(discs, tmp_path / "second", "--init-sn", str(tmp_path / "first")) == 0
    saved = yaml.safe_load((tmp_path / "second" / "config.yaml").read_text())
    assert saved["init_sn"] == str(tmp_path / "first")


def test_a_network_of_the_users_own_trains_evaluates_and_predicts(discs, tmp_path):
    own = [
        "--sn.model_type=monai.networks.nets.BasicUNet",
        "--sn.model_args={spatial_dims: 2, in_channels: 3, out_channels: 2, features: [4, 4, 4, 4, 4, 4]}",
    ]
    command = ["train", "--data.manifest", str(discs), "-o", str(tmp_path / "run"), "--num_epochs=1", *own]
    assert main(command) == 0
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    assert main(["predict", str(tmp_path / "run"), str(discs), "--split", "val", "-o", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out" / "mask").iterdir())) == 4


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--resume", "nowhere"], "is no run folder"),
        (["--config", "nowhere.yaml"], "cannot read the settings file nowhere.yaml"),
        (["--use_gan", "True", "--data.annotated", "0"], "data.annotated is 0"),
        (["--adversarial.en_input", "multiply"], "multiply"),
    ],
)
def test_mistakes(discs, tmp_path, capsys, argv, message):
    output = [] if "--resume" in argv else ["-o", str(tmp_path / "run")]
    assert main(["train", *argv, *output, f"--data.manifest={discs}"]) == 2
    assert message in capsys.readouterr().err


def test_where_nothing_but_data_is_said_the_recommended_settings_are_taken(discs, tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr("flexdan.memory.train_planned", lambda config, folder, **options: asked.append(config))

    def config(*more):
        assert main(["train", "--data.manifest", str(discs), "-o", str(tmp_path / "run"), *more]) == 0
        out = capsys.readouterr().out
        told = "taking the settings that our studies found best" in out
        assert ("--recommended yes takes" in out) == (not told and "--recommended" not in more)
        return asked[-1], told

    found, told = config("--seed", "3", "--data.annotated", "2", "--training.device", "cpu")
    assert told
    assert (found.sn.model_type, found.sn.contour_width, found.seed) == ("EncoderUNet", 1, 3)
    assert (found.strategy, found.training.num_epochs) == ("unimatch", 30)  # most of the discs, small, lack masks
    assert (found.data.max_pixels, found.data.annotated, found.augmentation.hue) == (384 * 576, 2, 0.04)
    for default in ("--sn.model_type=ConcatenationFCN", "--num_epochs=30"):  # said, though it is the default
        assert not config(default)[1]
    found, told = config("--lr", "0.1")
    assert not told
    assert found.sn.model_type == "ConcatenationFCN"
    found, told = config("--lr", "0.1", "--recommended", "yes")
    assert told
    assert (found.sn.model_type, found.optimizer.lr) == ("EncoderUNet", 0.1)
    found, told = config("--recommended", "yes", "--strategy", "supervised", "--data.annotated", "2")
    assert (found.strategy, found.training.num_epochs) == ("supervised", 30)
    little = ("--data.annotated", "2", "--memory", "700MiB")
    found, told = config(*little)
    assert (found.strategy, found.training.num_epochs) == ("self_training", 60)
    assert config("--recommended", "yes", "--strategy", "unimatch", *little)[0].strategy == "unimatch"
    found, told = config("--recommended", "no")
    assert not told
    assert found == replace(RunConfig(), data=found.data)


def test_settings_without_effect_are_named(discs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("flexdan.memory.train_planned", lambda config, folder, **options: None)
    argv = ["train", "--data.manifest", str(discs), "-o", str(tmp_path / "run"), "--sigma", "0.2"]
    assert main([*argv, "--strategy", "dan"]) == 0
    assert "does not use" not in capsys.readouterr().out
    assert main([*argv, "--strategy", "fixmatch", "--unannotated.cutmix", "0"]) == 0
    assert "note: the fixmatch strategy does not use adversarial.sigma\n" in capsys.readouterr().out


def test_settings_of_a_run_and_those_that_are_wanted_agree_whatever_holds_their_values():
    saved = {"augmentation.scale": [0.7, 1.5], "data.image_size": [32, 40], "seed": 1}
    assert differing_settings(saved, {"augmentation.scale": (0.7, 1.5), "data.image_size": "auto"}, ()) == []
    assert differing_settings(saved, {"augmentation.scale": (0.8, 1.5), "seed": 2}, {"seed"}) == ["augmentation.scale"]
