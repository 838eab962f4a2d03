"""Settings of the data, and the class of pixels that do not count."""

from inspect import signature

import pytest
import yaml
from jsonargparse import ArgumentParser

from flexdan import config, data, losses, metrics
from flexdan.config import RunConfig, UserError, add_settings, config_from_mapping, parse_command, to_yaml


def test_one_value_marks_the_pixels_that_do_not_count():
    assert data.IGNORE == config.IGNORE
    assert losses.segmentation.IGNORE == config.IGNORE
    assert signature(metrics.confusion_counts).parameters["ignore"].default == config.IGNORE


def parse(*argv: str) -> RunConfig:
    parser = ArgumentParser(exit_on_error=False)
    add_settings(parser)
    return parse_command(parser, argv)[1]


@pytest.mark.parametrize(("text", "amount"), [("3", "3"), ("10%", "10%"), ("12.5%", "12.5%"), ("'3'", "3")])
def test_annotated_is_a_count_or_a_share_in_yaml_and_on_the_command_line(text, amount):
    from_yaml = config_from_mapping(yaml.safe_load(f"data: {{annotated: {text}}}"))[0]
    assert str(from_yaml.data.annotated) == amount
    assert parse("--data.annotated", amount) == parse(f"--data.annotated={amount}") == from_yaml
    assert config_from_mapping(yaml.safe_load(to_yaml(from_yaml)))[0] == from_yaml


def test_annotated_is_empty_unless_given():
    assert parse().data.annotated == ""
    assert config_from_mapping({"data": {"annotated": ""}})[0] == RunConfig()


@pytest.mark.parametrize("amount", [0, -1, True])
def test_a_number_of_annotated_images_that_cannot_be_is_refused(amount):
    with pytest.raises(UserError, match="annotated"):
        config_from_mapping({"data": {"annotated": amount}})
