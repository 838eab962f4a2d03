"""Small configurations that are traced in moments."""

import pytest

from flexdan.config import RunConfig, with_settings

SMALL = {
    "sn.input_channels": 3,
    "sn.output_channels": 2,
    "sn.num_fcn_blocks": 3,
    "sn.first_layer_out_channels": 8,
    "data.image_size": (32, 48),
    "en.num_fcn_blocks": 2,
    "en.depth_fcn_block": 1,
    "en.first_layer_out_channels": 8,
    "en.first_linear_layer_out_features": 64,
    "training.batch_size": 4,
    "training.precision": "fp32",
    "optimizer.implementation": "for_loop",
}


@pytest.fixture
def small():
    """Return a function that makes a configuration with some settings changed."""
    return lambda **changes: with_settings(
        RunConfig(), SMALL | {name.replace("__", "."): value for name, value in changes.items()}
    )
