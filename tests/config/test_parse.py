"""Settings: names of the log, nearest names, precedence, round trips."""

import re
import subprocess
import sys

import pytest
import yaml
from jsonargparse import ArgumentParser

from flexdan.config import (
    RunConfig,
    UserError,
    add_settings,
    config_from_mapping,
    parse_command,
    read_settings_file,
    setting_values,
    to_dict,
    to_yaml,
)
from flexdan.config.names import IGNORED, LOG_NAMES, LOG_VALUES, setting_names

# Every `name=value` and `name: [values]` of the experiments log, as written there.
LOG_SETTINGS = """
lr=0.001 lr=0.1 lr=0.00001 scheduler_factor=0.75 num_workers=8 pin_memory=True batch_size=2
criterion_type=CrossEntropyLoss num_epochs=30 weight_decay=0.000005 optimizer_type=adam optimizer_type=sgd
scheduler_type=ReduceLROnPlateau scheduler_patience=5 scheduler_mode=min scheduler_verbose=True
scheduler_plateau_metric=val_loss sigma=0.1 sigma_weight=300 sn_criterion_type=CrossEntropyLoss en_criterion=BCELoss
sn_num_fcn_blocks=6 sn_block_depth=2 sn_first_layer_out_channels=8 sn_block_pattern=single_run
sn_block_pattern=double_run scheduler_min_lr=0.00001 sn_upsampling_pattern=last_three sn_model_type=ConcatenationFCN
sn_model_type=ZhengSN sn_input_channels=3 sn_output_channels=2 en_model_type=FlexVGG en_model_type=ZhengEN
sn_criterion=CrossEntropyLoss use_gan=False use_gan=True en_num_fcn_blocks=4 en_depth_linear_block=1
en_first_linear_layer_out_features=1024 en_depth_fcn_block=2 en_first_layer_out_channels=64
en_fcn_block_pattern=double_run en_linear_block_pattern=single_run gan_start_epoch=40 sn_lr=0.001 en_lr=0.0001
en_input_channels=4 en_out_features=1 sn_input_block_depth=1 en_input_block_depth=1
""".split()


def parse(*argv: str, base=None):
    parser = ArgumentParser(exit_on_error=False)
    add_settings(parser)
    return parse_command(parser, argv, base)


@pytest.mark.parametrize("setting", LOG_SETTINGS)
def test_names_and_values_of_the_log_work_on_the_command_line_and_in_yaml(setting):
    name, _, value = setting.partition("=")
    _, spaced, notes = parse(f"--{name}", value)
    _, joined, _ = parse(f"--{setting}")
    from_yaml, yaml_notes = config_from_mapping(yaml.safe_load(f"{name}: {value}"))
    assert spaced == joined == from_yaml
    assert notes[:1] == [f"--{note}" for note in yaml_notes[:1]]
    if name in IGNORED:
        assert len(notes) == 1
        assert spaced == RunConfig()
        return
    ours = LOG_NAMES[name]
    expected = LOG_VALUES.get(ours, {}).get(value.lower(), yaml.safe_load(value))
    assert setting_values(spaced)[ours] == expected


def test_log_names_point_to_settings_that_exist():
    assert set(LOG_NAMES.values()) <= set(setting_names())
    assert set(LOG_VALUES) <= set(setting_names())


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("sn_num_fcn_block", "sn_num_fcn_blocks"),
        ("num_fcn_blocks", "sn.num_fcn_blocks"),
        ("sn.blok_depth", "sn.block_depth"),
        ("schedular_factor", "scheduler_factor"),
        ("leraning", "`flexdan config show` lists every setting"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(wrong, near):
    with pytest.raises(UserError, match=re.escape(near)):
        parse(f"--{wrong}", "3")
    with pytest.raises(UserError, match=re.escape(near)):
        config_from_mapping({wrong: 3})


def test_file_overrides_defaults_and_options_override_the_file(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("lr: 5e-3\nsn:\n  num_fcn_blocks: 4\n  block_depth: 2\ntraining.num_epochs: 7\ndata:\n")
    _, config, _ = parse("--config", str(file), "--sn.num_fcn_blocks=6", base={"training.batch_size": 9})
    assert (config.sn.num_fcn_blocks, config.sn.block_depth) == (6, 2)
    assert (config.optimizer.lr, config.training.num_epochs, config.training.batch_size) == (0.005, 7, 9)


def test_yaml_round_trip_keeps_every_setting():
    _, config, _ = parse("--data.image_size", "[65, 31]", "--sn.model_args", "{a: 1, b: [2, 3]}", "--en_lr", "0.5")
    assert config.data.image_size == (65, 31)
    assert config_from_mapping(yaml.safe_load(to_yaml(config)))[0] == config
    assert config_from_mapping(to_dict(config))[0] == config


def test_model_args_take_nested_options():
    _, config, _ = parse("--sn.model_args.spatial_dims", "2", "--sn.model_args.features=[4, 8]")
    assert config.sn.model_args == {"spatial_dims": 2, "features": [4, 8]}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("--lr=-1", "optimizer.lr is -1.0: it must be above 0"),
        ("--lr=fast", "Got value: fast"),
        ("--batch_size=0", "training.batch_size is 0: it must be at least 1"),
        ("--sn.num_fcn_blocks=2", "sn.num_fcn_blocks is 2: it must be at least 3"),
        ("--sn_block_pattern=triple", "Got value: triple"),
        ("--scheduler_mode=max", "val_loss is better when lower: say min or auto"),
        ("--augmentation.scale=[2, 1]", "0 < low <= high"),
        ("--augmentation.stain_jitter=1", "below 1"),
        ("--augmentation.shift=1", "augmentation.shift is 1.0: it must be at least 0 and below 1"),
        ("--augmentation.hue=0.6", "augmentation.hue is 0.6: it must be 0 to 0.5"),
        ("--augmentation.blur=-1", "augmentation.blur is -1.0: it must be 0 or more"),
        ("--data.image_size=[4, 100]", "at least 8 pixels"),
        ("--data.val_split=train", "a split of its own"),
        ("--scheduler_factor=1", "above 0 and below 1"),
        ("--scheduler.warmup=1", "scheduler.warmup is 1.0: it must be at least 0 and below 1"),
        ("--sigma_weight=0", "adversarial.sigma_weight is 0.0"),
    ],
)
def test_a_wrong_value_is_refused_by_name(setting, message):
    with pytest.raises(UserError, match=re.escape(message)):
        parse(setting)


def test_two_names_of_one_setting_must_agree():
    assert config_from_mapping({"lr": 0.5, "sn_lr": 0.5})[0].optimizer.lr == 0.5
    with pytest.raises(UserError, match="lr and sn_lr are the same setting"):
        config_from_mapping({"lr": 0.5, "sn_lr": 0.1})


@pytest.mark.parametrize(
    ("text", "message"), [("- 1\n- 2\n", "holds a list"), ("a: [", "is not YAML"), (None, "cannot read")]
)
def test_a_broken_settings_file_is_refused(tmp_path, text, message):
    file = tmp_path / "run.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=message):
        read_settings_file(file)


def test_a_section_with_a_value_is_refused():
    with pytest.raises(UserError, match="sn is 3: it is a section"):
        config_from_mapping({"sn": 3})


def test_settings_do_not_import_torch():
    code = "import flexdan.config, flexdan.cli.main, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["lr", "batch_size", "seed", "data.image_size", "scheduler_type", "sn.model_args"])
def test_a_name_without_a_value_is_refused(name):
    with pytest.raises(UserError, match=f"{name} has no value"):
        config_from_mapping({name: None})
    with pytest.raises(UserError, match=f"--{name} has no value"):
        parse(f"--{name}", "null")


def test_null_is_a_value_where_it_means_something():
    assert config_from_mapping({"en_lr": None})[0].adversarial.en_lr is None
    assert parse("--en_lr", "null")[1].adversarial.en_lr is None


def test_two_settings_files_are_refused(tmp_path):
    (tmp_path / "a.yaml").touch()
    with pytest.raises(UserError, match="--config is there 2 times"):
        parse("--config", str(tmp_path / "a.yaml"), f"--config={tmp_path / 'a.yaml'}")


def test_a_negative_seed_is_refused():
    with pytest.raises(UserError, match="seed is -1"):
        parse("--seed=-1")
