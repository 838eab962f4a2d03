"""The experiments of the log, and our own: functions that return full configurations, with what was recorded."""

from flexdan.experiments.experiment import Cell, Experiment
from flexdan.experiments.registry import EXPERIMENTS, SWEEPS, find_experiment, find_sweep
from flexdan.experiments.smoke import smoke
from flexdan.experiments.sweep import Choice, Pruner, Range, Sweep, grid_sweep

__all__ = [
    "EXPERIMENTS",
    "SWEEPS",
    "Cell",
    "Choice",
    "Experiment",
    "Pruner",
    "Range",
    "Sweep",
    "find_experiment",
    "find_sweep",
    "grid_sweep",
    "smoke",
]
