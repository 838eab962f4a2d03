"""The trials of a sweep by the values of each parameter, and the means of their metric."""

import json
import math
import statistics
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flexdan.config.trials import SweepSummary, Trial, is_number, value_text
from flexdan.report.tables import NAMES

MANY = 8  # more distinct numbers than this are put into groups
QUANTILES = 4  # so many groups
FEWEST = 4  # trials in a group of a continuous parameter, and of any parameter whose importance is told


@dataclass(frozen=True, kw_only=True)
class Group:
    """The trials that have one value of a parameter, or values in one range; its figures count the complete ones.

    Args:
        name: the value or the range.
        trials: all that have it, whatever came of them.
    """

    name: str
    trials: tuple[Trial, ...]

    @property
    def complete(self) -> list[Trial]:
        """The complete trials that have a finite value."""
        return complete_trials(self.trials)

    @property
    def values(self) -> list[float]:
        """The metric of the complete trials."""
        return [one.value for one in self.complete if one.value is not None]

    @property
    def mean(self) -> float | None:
        """Mean of the metric; None without complete trials."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the metric, with n - 1; None for fewer than two complete trials."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One swept parameter.

    Args:
        parameter: its name.
        groups: by value; numbers ascend, others come in the order in which they were tried.
        binned: the groups are ranges, of about as many trials each.
        importance: share of the variance of the metric that the parameter explains by itself, 0..1; None for too few
            trials, or if all are equal.
    """

    parameter: str
    groups: tuple[Group, ...]
    binned: bool
    importance: float | None


def complete_trials(trials: Sequence[Trial]) -> list[Trial]:
    """Return the complete trials that have a finite value."""
    return [one for one in trials if one.state == "complete" and one.value is not None and math.isfinite(one.value)]


def metric_name(metric: str) -> str:
    """Return a metric in words."""
    return NAMES.get(metric, metric.replace("_", " "))


def effects(summary: SweepSummary) -> list[Effect]:
    """Return the groups of each swept parameter, from the most important one on; without importance as in the file."""
    found = []
    for parameter in summary.parameters:
        trials = [one for one in summary.trials if parameter in one.params]
        groups, binned = _groups(parameter, trials, parameter in summary.continuous)
        importance = explained([group.values for group in groups])
        found.append(Effect(parameter=parameter, groups=groups, binned=binned, importance=importance))
    return sorted(found, key=lambda one: 1.0 if one.importance is None else -one.importance)


def explained(groups: Sequence[Sequence[float]]) -> float | None:
    """Return the share of the variance of values that their groups explain, 0..1.

    It is epsilon squared of a one-way analysis of variance, (SSB - (k - 1) MSW) / SST: adjusted, so that it is 0 on
    average for groups that mean nothing, however many they are (Kelley, PNAS 1935). In a full grid it is the main
    effect of the functional analysis of variance that `fANOVA` estimates (Hutter et al., ICML 2014).

    Args:
        groups: values of each; None if fewer than two are there, they are small, or all values are equal.
    """
    groups = [group for group in groups if group]
    count = sum(map(len, groups))
    if len(groups) < 2 or count < FEWEST * len(groups):
        return None
    mean = statistics.fmean(value for group in groups for value in group)
    total = math.fsum((value - mean) ** 2 for group in groups for value in group)
    if total == 0:
        return None
    between = math.fsum(len(group) * (statistics.fmean(group) - mean) ** 2 for group in groups)
    within = (total - between) / (count - len(groups))
    return min(max((between - (len(groups) - 1) * within) / total, 0.0), 1.0)


def _groups(parameter: str, trials: Sequence[Trial], continuous: bool) -> tuple[tuple[Group, ...], bool]:
    """Return the trials by their value of a parameter, or by range, and whether it is by range."""
    by_value: dict[str, list[Trial]] = {}
    for one in trials:
        by_value.setdefault(key_of(one.params[parameter]), []).append(one)
    values = [members[0].params[parameter] for members in by_value.values()]
    if not all(is_number(value) for value in values):
        names = _distinct([[value] for value in values])
        return tuple(Group(name=name, trials=tuple(by_value[key_of(value)])) for name, value in names), False
    values.sort()
    ranges_in_all = min(QUANTILES, max(len(trials) // FEWEST, 1)) if continuous else QUANTILES
    if len(values) <= (ranges_in_all if continuous else MANY):
        names = _distinct([[value] for value in values])
        return tuple(Group(name=name, trials=tuple(by_value[key_of(value)])) for name, value in names), False
    ordered = sorted(one.params[parameter] for one in trials)
    bins: dict[int, list[Any]] = {}
    for value in values:
        bins.setdefault(bisect_left(ordered, value) * ranges_in_all // len(ordered), []).append(value)
    ranges = [list(dict.fromkeys((found[0], found[-1]))) for found in bins.values()]
    names = [name for name, _ in _distinct(ranges)]
    return tuple(
        Group(name=name, trials=tuple(one for value in found for one in by_value[key_of(value)]))
        for name, found in zip(names, bins.values(), strict=True)
    ), True


def _distinct(ranges: Sequence[Sequence[Any]]) -> list[tuple[str, Any]]:
    """Return the text and the first value of each range, with as many digits as it takes to tell them apart."""
    names: list[str] = []
    for digits in (3, 4, 6, 9, 17):
        names = [" to ".join(value_text(value, digits) for value in one) for one in ranges]
        if len(set(names)) == len(names):
            break
    return [(name, one[0]) for name, one in zip(names, ranges, strict=True)]


def key_of(value: Any) -> str:
    """Return a text that is the same for equal settings, lists included."""
    return json.dumps(value, sort_keys=True, default=str)
