"""Experiment 5 of the log: the grid over FlexVGG, from a trained SN."""

from dataclasses import replace

from flexdan.config import RunConfig, with_settings
from flexdan.experiments.common import FAULTS, GAN, GAN_FAULTS
from flexdan.experiments.experiment import Cell, Experiment, grid
from flexdan.experiments.sweep import Sweep, grid_sweep

VALUES = {
    "en.num_fcn_blocks": (4, 5, 6),
    "en.depth_linear_block": (1, 2, 4),
    "en.first_linear_layer_out_features": (128, 512, 1024),
    "adversarial.sigma": (0.1, 0.5, 1.0),
    "adversarial.sigma_weight": (30.0, 300.0),
}
TRAINED = Cell(  # GAN_Concat_Flex_006 of the log
    name="trained_sn", config=with_settings(GAN, {"strategy": "supervised", "training.num_epochs": 40})
)
FROM_TRAINED = with_settings(GAN, {"training.num_epochs": 60})


def going_on(config: RunConfig) -> RunConfig:
    """Return a configuration whose sigma is at epoch 1 what it was at epoch 41 of the log."""
    start = config.adversarial.sigma + TRAINED.config.training.num_epochs / config.adversarial.sigma_weight
    return with_settings(config, {"adversarial.sigma": start})


SIGMA_NOTE = (
    "The log went on at epoch 40 of 100 with the trained SN; here the epochs are counted from 1 again, so sigma begins "
    "40 / sigma_weight higher than its name says, to grow as recorded."
)


def sweep5() -> Sweep:
    """Return experiment 5 as a sweep.

    Each training has its own 40 epochs of the SN alone, equal ones with one seed, since the settings of a sweep stand
    for themselves.
    """
    return grid_sweep(with_settings(GAN, {"adversarial.gan_start_epoch": TRAINED.config.training.num_epochs}), VALUES)


def experiment5() -> Experiment:
    """Return experiment 5: 162 combinations of EN and sigma, each from the same trained SN."""
    cells = grid(FROM_TRAINED, VALUES, start=TRAINED.name)
    return Experiment(
        title="FlexVGG over blocks, linear layers and features, and sigma, from an SN trained for 40 epochs",
        cells=(TRAINED, *(replace(cell, config=going_on(cell.config)) for cell in cells)),
        recorded=(
            "All with 512 or 1024 features ran out of memory. sigma 0.1 is better than 0.5 and 1, sigma_weight 300 "
            "much better than 30; one linear layer and four blocks are enough."
        ),
        fault=f"{FAULTS} {GAN_FAULTS} {SIGMA_NOTE}",
    )
