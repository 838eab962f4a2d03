"""Changing settings by name."""

import pytest

from flexdan.config import RunConfig, UserError, with_settings


def test_settings_change_by_dotted_name_and_the_rest_stays():
    config = with_settings(RunConfig(), {"sn.num_fcn_blocks": 4, "sn.block_depth": 2, "seed": 3})
    assert (config.sn.num_fcn_blocks, config.sn.block_depth, config.seed) == (4, 2, 3)
    assert with_settings(config, {"sn.num_fcn_blocks": 5, "sn.block_depth": 1, "seed": 0}) == RunConfig()
    assert with_settings(RunConfig(), {"sn.model_args": {"a": 1}}).sn.model_args == {"a": 1}


def test_values_are_checked():
    with pytest.raises(UserError, match=r"sn.num_fcn_blocks is 1"):
        with_settings(RunConfig(), {"sn.num_fcn_blocks": 1})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adversarial.label_smoothing": 0.5}, "below 0.5"),
        ({"adversarial.en_steps": 0}, "adversarial.en_steps is 0"),
        ({"adversarial.sigma": -1}, "adversarial.sigma is -1"),
        ({"adversarial.sigma_iterations": 0}, "adversarial.sigma_iterations is 0"),
        ({"optimizer.max_grad_norm": -1}, "optimizer.max_grad_norm is -1"),
        ({"training.updates_per_epoch": 0}, "training.updates_per_epoch is 0"),
        ({"training.unannotated_batch_size": 0}, "training.unannotated_batch_size is 0"),
    ],
)
def test_adversarial_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        with_settings(RunConfig(), changes)
