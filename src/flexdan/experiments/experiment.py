"""What an experiment is: trainings that are compared, and what was recorded of them."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flexdan.config import RunConfig, with_settings


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training of an experiment.

    Args:
        name: tells it from the others; the name of its folder.
        config: all settings, but for the data and the seed.
        start: name of the cell whose segmentation network it starts from; empty: random weights.
    """

    name: str
    config: RunConfig
    start: str = ""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Trainings that are compared.

    Args:
        title: what it tries.
        cells: its trainings; those that others start from come first.
        recorded: what the log says came out; empty for experiments of ours.
        fault: what was wrong with the recorded run and is right here, or what else differs.
        seeds: with which each cell is trained.
    """

    title: str
    cells: tuple[Cell, ...]
    recorded: str = ""
    fault: str = ""
    seeds: tuple[int, ...] = (0,)


def grid(config: RunConfig, values: Mapping[str, Sequence[Any]], start: str = "") -> tuple[Cell, ...]:
    """Return a cell for every combination of values; the last setting varies fastest.

    Args:
        config: what all have in common.
        values: to try, by dotted name of the setting.
        start: see `Cell`.
    """
    cells = []
    for combination in itertools.product(*values.values()):
        changes = dict(zip(values, combination, strict=True))
        name = ",".join(f"{key.rpartition('.')[2]}={value}" for key, value in changes.items())
        cells.append(Cell(name=name, config=with_settings(config, changes), start=start))
    return tuple(cells)
