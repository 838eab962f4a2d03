"""Experiment 3 of the log: the grid over ConcatenationFCN."""

from flexdan.config import with_settings
from flexdan.experiments.common import FAULTS, LOG
from flexdan.experiments.experiment import Experiment, grid
from flexdan.experiments.sweep import Sweep, grid_sweep

CONFIG = with_settings(
    LOG, {"optimizer.lr": 0.002, "scheduler.min_lr": 0.00001, "training.num_epochs": 20, "training.batch_size": 2}
)
VALUES = {
    "sn.num_fcn_blocks": (3, 4, 5, 6),
    "sn.block_depth": (1, 2),
    "sn.first_layer_out_channels": (64, 32),
    "sn.block_pattern": ("single_run", "double_run"),
}


def sweep3() -> Sweep:
    """Return experiment 3 as a sweep."""
    return grid_sweep(CONFIG, VALUES)


def experiment3() -> Experiment:
    """Return experiment 3: 32 architectures of the SN."""
    return Experiment(
        title="ConcatenationFCN over blocks, depth, channels and pattern",
        cells=grid(CONFIG, VALUES),
        recorded=(
            "13 of 32 ran out of memory on a card of 14.76 GiB. Best: (5, 1, 32, single_run) and (5, 2, 32, "
            "double_run), then (3, 2, 64, double_run), (5, 1, 64, double_run), (6, 1, 64, double_run). Few channels "
            "and many blocks are better; double_run is no better, but takes less memory. After 100 epochs "
            "(5, 1, 64, double_run) had IoU 0.770, accuracy 0.872; the best IoU of all was 0.784."
        ),
        fault=FAULTS,
    )
