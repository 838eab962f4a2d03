"""Experiment 9 of the log: the grid over sigma and sigma_weight."""

from flexdan.experiments.common import FAULTS, GAN_FAULTS
from flexdan.experiments.experiment import Experiment, grid
from flexdan.experiments.experiment6 import NOT_RECORDED
from flexdan.experiments.experiment8 import MASKED
from flexdan.experiments.sweep import Sweep, grid_sweep

VALUES = {"adversarial.sigma": (0.1, 0.05, 0.01, 0.001), "adversarial.sigma_weight": (300.0, 30.0, 10.0, 3.0)}


def sweep9() -> Sweep:
    """Return experiment 9 as a sweep."""
    return grid_sweep(MASKED, VALUES)


def experiment9() -> Experiment:
    """Return experiment 9, GAN optimization 5."""
    return Experiment(
        title="GAN optimization 5: as 8, over sigma and sigma_weight, with even smaller values of both",
        cells=grid(MASKED, VALUES),
        recorded=f"{NOT_RECORDED} It names no values either: these are the ones of experiment 5 and smaller ones.",
        fault=f"{FAULTS} {GAN_FAULTS}",
    )
