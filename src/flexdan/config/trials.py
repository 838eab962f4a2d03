"""What is known of a sweep and its trials, without torch or Optuna: the sweep fills it, tables and reports show it."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

TrialState = Literal["waiting", "running", "complete", "pruned", "infeasible", "out of memory", "failed"]
FINISHED: tuple[TrialState, ...] = ("complete", "pruned", "infeasible", "out of memory", "failed")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial of a sweep, over all attempts at it.

    Args:
        number: of the trial in its sweep, from 0.
        state: infeasible: the memory planner says that it cannot fit, so it was not started; out of memory: it was, and
            memory ran out; pruned: ended early since others were better.
        params: the values of the swept parameters, by their names in the sweep; empty for a waiting trial whose values
            are not drawn yet.
        value: the best value of the sweep's metric over the epochs so far; None before the first.
        epoch: of that value.
        metrics: all metrics of that epoch.
        curve: the metric by epoch.
        seconds: of training, over all attempts; None before it began.
        worker: who has it or had it.
        attempts: how often it was begun.
        predicted_peak: bytes that the memory planner says it needs; None where it was not asked.
        measured_peak: bytes: the largest over the epochs, of the GPU, or of the process on a CPU.
        weights: trainable ones of all networks; None where the planner was not asked.
        error: one line: why it failed, was pruned or left out; empty otherwise.
        traceback: of a failure that is no mistake in the settings.
        folder: its run folder, relative to that of the sweep.
    """

    number: int
    state: TrialState
    params: Mapping[str, Any]
    value: float | None = None
    epoch: int | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    curve: Mapping[int, float] = field(default_factory=dict)
    seconds: float | None = None
    worker: str = ""
    attempts: int = 0
    predicted_peak: int | None = None
    measured_peak: int | None = None
    weights: int | None = None
    error: str = ""
    traceback: str = ""
    folder: str = ""


@dataclass(frozen=True, kw_only=True)
class SweepSummary:
    """A sweep and all its trials.

    Args:
        name: of the sweep.
        method: grid, random or bayes.
        metric: that is compared, a name in `METRICS`.
        goal: whether a larger value is better.
        parameters: what is swept, in the order of the file: name and text, such as `0.01, 0.1` or `1e-05 to 0.1, log`.
        trials: by number.
        continuous: the parameters that may have any value of a range.
        log: the parameters whose logarithm is spread evenly.
        memory: bytes of the device that the planner was asked about; None where it was not asked.
        fixed: settings that all trials have otherwise than the defaults, by dotted name.
    """

    name: str
    method: Literal["grid", "random", "bayes"]
    metric: str
    goal: Literal["max", "min"]
    parameters: Mapping[str, str]
    trials: tuple[Trial, ...]
    continuous: frozenset[str] = frozenset()
    log: frozenset[str] = frozenset()
    memory: int | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ranking(self) -> tuple[Trial, ...]:
        """The trials with a value that are complete or pruned, from the best to the worst; equal ones by number."""
        return tuple(one for one in self.standing if one.state in ("complete", "pruned"))

    @property
    def standing(self) -> tuple[Trial, ...]:
        """All trials with a value so far, those that run or were interrupted too, from the best to the worst."""
        sign = -1 if self.goal == "max" else 1
        valued = [one for one in self.trials if one.value is not None]
        return tuple(sorted(valued, key=lambda one: (sign * (one.value or 0.0), one.number)))


def value_text(value: Any, digits: int = 4) -> str:
    """Return a setting as text: words as they are, numbers with so many digits, the rest as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(value_text(one, digits) for one in value)}]"
    return json.dumps(value, ensure_ascii=False, default=str)


def params_text(params: Mapping[str, Any]) -> str:
    """Return the values of a trial in one line."""
    return ", ".join(f"{name} {value_text(value)}" for name, value in params.items())


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number, and no switch."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
