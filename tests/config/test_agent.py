"""Settings as others write them on a command line."""

import json

import pytest
from jsonargparse import ArgumentParser

from flexdan.config import add_settings, parse_command, setting_values
from flexdan.config.agent import plain_value
from flexdan.config.names import IGNORED, is_flag, setting_names


def parse(*argv: str):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("-o", "--output", default="")
    add_settings(parser)
    return parse_command(parser, argv)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("None", "null"),
        ("none", "none"),
        ("[224, 332]", "[224, 332]"),
        ("(0.8, 1.2)", "[0.8, 1.2]"),
        ("{'act': None, 'bias': True}", '{"act": null, "bias": true}'),
        ("{act: null}", "{act: null}"),
        ("[1, 2", "[1, 2"),
        ("True", "True"),
        ("1e-05", "1e-05"),
        ("[b'a']", "[b'a']"),
    ],
)
def test_values_of_python_become_yaml(written, read):
    assert plain_value(written) == read


def test_booleans_alone_are_true_whatever_follows():
    flags = [name for name in setting_names() if is_flag(name)]
    assert {"training.pin_memory", "adversarial.sigma_in_en_loss", "sn.pool_first_block"} <= set(flags)
    assert is_flag("use_gan")
    assert is_flag("pin_memory")
    assert not is_flag("strategy")
    assert not is_flag("lr")
    for argv in (["--pin_memory"], ["--pin_memory", "--lr", "0.5"], ["--pin_memory", "-o", "runs/one"]):
        assert parse(*argv)[1].training.pin_memory
    assert not parse("--pin_memory", "false")[1].training.pin_memory
    values = setting_values(parse(*(f"--{name}" for name in flags))[1])
    assert all(values[name] is True for name in flags)


@pytest.mark.parametrize("name", IGNORED)
def test_a_name_without_an_effect_leaves_the_next_option_alone(name):
    arguments, _, notes = parse(f"--{name}", "-o", "runs/one")
    assert arguments.output == "runs/one"
    assert len(notes) == 1
    assert parse(json.dumps({name: True}))[2] == [notes[0].removeprefix("--")]


def test_arguments_of_a_network_of_the_users_own_keep_their_types():
    wanted = {"eps": 1e-05, "kernel": [3, 3], "norm": None, "name": "abc", "bias": True}
    given = {"sn.model_type": "a.B", "sn": {"model_args": wanted}}
    assert parse(json.dumps(given))[1].sn.model_args == wanted
    assert parse("--sn.model_type=a.B", f"--sn.model_args={wanted}")[1].sn.model_args == wanted
    leaves = {
        "sn.model_type": "a.B",
        **{f"sn.model_args.{name}": value for name, value in wanted.items() if name != "norm"},
    }
    assert {"norm": None, **parse(json.dumps(leaves))[1].sn.model_args} == wanted


def test_the_last_of_several_values_counts():
    config = parse("--lr=0.1", "--optimizer={'lr': 0.2, 'weight_decay': 0.3}", "weight_decay=0.4")[1]
    assert (config.optimizer.lr, config.optimizer.weight_decay) == (0.2, 0.4)


def test_a_mapping_for_a_section_may_be_yaml_too():
    assert parse("--optimizer", "{lr: 0.2, max_grad_norm: 1}")[1].optimizer.max_grad_norm == 1
