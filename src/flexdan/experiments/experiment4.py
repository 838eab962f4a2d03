"""Experiment 4 of the log: optimisers and learning rates."""

from flexdan.config import with_settings
from flexdan.experiments.common import FAULTS, LOG
from flexdan.experiments.experiment import Experiment, grid
from flexdan.experiments.sweep import Sweep, grid_sweep

CONFIG = with_settings(
    LOG,
    {
        "sn.num_fcn_blocks": 5,
        "scheduler.min_lr": 0.00001,
        "training.num_epochs": 40,
        "training.batch_size": 4,
        "training.num_workers": 0,
        "training.pin_memory": False,
        "optimizer.momentum": 0.0,
    },
)
VALUES = {
    "optimizer.lr": (0.1, 0.01, 0.001, 0.0001, 0.00001),
    "optimizer.optimizer_type": ("adam", "sgd"),
    "sn.block_depth": (1, 2),
    "sn.first_layer_out_channels": (8, 16, 32),
    "sn.block_pattern": ("single_run", "double_run"),
}


def sweep4() -> Sweep:
    """Return experiment 4 as a sweep."""
    return grid_sweep(CONFIG, VALUES)


def experiment4() -> Experiment:
    """Return experiment 4: 120 combinations of learning rate, optimiser and small SN."""
    return Experiment(
        title="ConcatenationFCN over learning rate, optimiser, depth, channels and pattern",
        cells=grid(CONFIG, VALUES),
        recorded=(
            "50 of 120 ran out of memory. adam is better than sgd, 0.001 better than other rates; networks of one "
            "width do very well with little memory; (5, 2, 8 or 16, double_run) at 0.001 with adam is the best."
        ),
        fault=f"{FAULTS} The log says nothing of a momentum of sgd, so it has none here.",
    )
