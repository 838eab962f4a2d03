"""The experiments of the log, and our own: functions that return full configurations, with what was recorded."""

from flexdan.experiments.experiment import Cell, Experiment
from flexdan.experiments.registry import EXPERIMENTS, find_experiment
from flexdan.experiments.smoke import smoke

__all__ = ["EXPERIMENTS", "Cell", "Experiment", "find_experiment", "smoke"]
