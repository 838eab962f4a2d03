"""The experiments of the log, and our own: functions that return full configurations, with what was recorded."""

from flexdan.experiments.annotated import (
    CONTROL,
    CURVES,
    annotated_sweep,
    curve_base,
    curve_cells,
    lacks_unannotated,
    one_pass,
    sn_updates,
)
from flexdan.experiments.experiment import Cell, Experiment
from flexdan.experiments.registry import EXPERIMENTS, SWEEPS, find_experiment, find_sweep
from flexdan.experiments.smoke import smoke
from flexdan.experiments.sweep import Choice, Pruner, Range, Sweep, grid_sweep

__all__ = [
    "CONTROL",
    "CURVES",
    "EXPERIMENTS",
    "SWEEPS",
    "Cell",
    "Choice",
    "Experiment",
    "Pruner",
    "Range",
    "Sweep",
    "annotated_sweep",
    "curve_base",
    "curve_cells",
    "find_experiment",
    "find_sweep",
    "grid_sweep",
    "lacks_unannotated",
    "one_pass",
    "smoke",
    "sn_updates",
]
