"""Experiments by name."""

import difflib
from collections.abc import Callable

from flexdan.config import UserError
from flexdan.experiments.experiment import Experiment
from flexdan.experiments.experiment1 import experiment1
from flexdan.experiments.experiment2 import experiment2
from flexdan.experiments.experiment3 import experiment3, sweep3
from flexdan.experiments.experiment4 import experiment4, sweep4
from flexdan.experiments.experiment5 import experiment5, sweep5
from flexdan.experiments.experiment6 import experiment6a, experiment6b
from flexdan.experiments.experiment7 import experiment7
from flexdan.experiments.experiment8 import experiment8
from flexdan.experiments.experiment9 import experiment9, sweep9
from flexdan.experiments.scarce import scarce
from flexdan.experiments.sweep import Sweep

EXPERIMENTS: dict[str, Callable[[], Experiment]] = {
    "1": experiment1,
    "2": experiment2,
    "3": experiment3,
    "4": experiment4,
    "5": experiment5,
    "6a": experiment6a,
    "6b": experiment6b,
    "7": experiment7,
    "8": experiment8,
    "9": experiment9,
    "scarce": scarce,
}

SWEEPS: dict[str, Callable[[], Sweep]] = {"3": sweep3, "4": sweep4, "5": sweep5, "9": sweep9}  # the log's grids


def find_sweep(name: str) -> Sweep:
    """Return the sweep of an experiment.

    Raises:
        UserError: if it is none.
    """
    if name not in SWEEPS:
        raise UserError(f"experiment {name!r} is no sweep: those that are have the names {', '.join(SWEEPS)}")
    return SWEEPS[name]()


def find_experiment(name: str) -> Experiment:
    """Return the experiment of that name.

    Raises:
        UserError: if there is none.
    """
    if name not in EXPERIMENTS:
        near = difflib.get_close_matches(name, EXPERIMENTS)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UserError(f"there is no experiment {name!r}: they are {', '.join(EXPERIMENTS)}{hint}")
    return EXPERIMENTS[name]()
