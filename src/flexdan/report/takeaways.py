"""What a sweep teaches: matched comparisons of values, and what did not fit into memory, in words."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.special import stdtrit

from flexdan.config.trials import FINISHED, SweepSummary, Trial, params_text
from flexdan.report.effects import Group, effects, key_of, metric_name
from flexdan.report.tables import number

FEW = 3  # fewer than this tell nothing
EXCESS = 0.1  # of what did not fit: a smaller difference of two shares comes from trials that are still to do
_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The best value of a parameter against another one.

    Args:
        parameter: its name.
        value: the best value.
        against: the other one.
        metric: its name in words.
        goal: of the sweep.
        paired: over pairs that are equal in all other parameters; else it is the difference of two means.
        counts: number of pairs; if not paired, of the trials with the best value and with the other one.
        mean: the metric of the best value minus that of the other one.
        deviation: standard deviation of the differences over the pairs; None for one pair, and if not paired.
        interval: 95 % interval of the mean, from Student's t (by Welch if not paired), for all pairs of values of the
            parameter together, since the best of them is picked afterwards; None for too few trials.
        memory: relative change of the peak memory, -0.5 for half: geometric mean; None where it is not known.
        peak: which peak this is.
    """

    parameter: str
    value: str
    against: str
    metric: str
    goal: Literal["max", "min"]
    paired: bool
    counts: tuple[int, ...]
    mean: float
    deviation: float | None
    interval: tuple[float, float] | None
    memory: float | None
    peak: Literal["predicted", "measured"]

    @property
    def verdict(self) -> Literal["better", "worse", "no clear difference", "too few to tell"]:
        """What the interval says of the best value; worse can only be where pairs contradict the means."""
        if self.interval is None or min(self.counts) < FEW:
            return "too few to tell"
        if self.interval[0] <= 0 <= self.interval[1]:
            return "no clear difference"
        return "better" if (self.mean > 0) == (self.goal == "max") else "worse"

    @property
    def text(self) -> str:
        """The difference in one line."""
        told = self.verdict in ("better", "worse")
        half = (self.interval[1] - self.interval[0]) / 2 if self.interval else 0.0
        form = _form(max(abs(self.mean), half))
        text = "" if told else f"{self.verdict}, "
        text += f"{signed(self.mean, form)} {self.metric}"
        if self.interval and self.verdict != "too few to tell":
            text += f" (95 % interval {' to '.join(signed(end, form) for end in self.interval)})"
        if self.memory is not None:
            percent = round(100 * self.memory)
            change = f"{signed(percent, 'd')} %" if percent else "same"
            text += f", {change} {self.peak} memory"
        counts = f"n = {' + '.join(map(str, self.counts))}"
        how = counts if self.paired else f"unpaired, {counts}"
        return f"{self.parameter} {self.value} against {self.against}: {text}, {how}"


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A value of a parameter that is too large for the memory more often than the others.

    Args:
        parameter: its name.
        value: the value or the range.
        count: trials with it that are infeasible or ran out of memory.
        of: finished trials with it.
        other_count: as `count`, with any other value.
        other_of: as `of`, with any other value.
        others: how many other values there are.
    """

    parameter: str
    value: str
    count: int
    of: int
    other_count: int
    other_of: int
    others: int

    @property
    def text(self) -> str:
        """The counts in one line."""
        others = f"{self.other_count} of {self.other_of}" + " with the other values" * (self.others > 1)
        what = f"{self.count} of {self.of} infeasible or out of memory"
        return f"{self.parameter} {self.value}: {what}, against {others}"


def differences(summary: SweepSummary) -> list[Difference]:
    """Compare the best value of each parameter with each other one, over complete trials.

    A pair is two trials that are equal in all other parameters; where several are, or where the values are ranges, the
    pair is one of their means. Without pairs, and in a random or bayes sweep with fewer than `FEW` of them, it is the
    difference of the two means. The best value is the one with the largest mean gain over all its pairs, since a mean
    alone is misled where some trials could not run, and only without pairs the one with the best mean. A value with
    fewer than `FEW` of them is the best only if all are like it.
    """
    found = []
    for effect in effects(summary):
        groups = [one for one in effect.groups if one.values]
        if len(groups) > 1:
            best = _best(groups, effect.parameter, summary)
            several = math.comb(len(groups), 2)
            found += [_difference(best, one, effect.parameter, summary, several) for one in groups if one is not best]
    return found


def left_out(summary: SweepSummary) -> list[LeftOut]:
    """Return the values whose trials did not fit into memory clearly more often than those with the other values."""
    found = []
    for effect in effects(summary):
        counts = [_unfit(one) for one in effect.groups]
        count_all, of_all = (sum(one) for one in zip(*counts, strict=True)) if counts else (0, 0)
        for group, (count, of) in zip(effect.groups, counts, strict=True):
            other_count, other_of = count_all - count, of_all - of
            if of and other_of and count / of - other_count / other_of >= EXCESS - 1e-9:
                one = LeftOut(
                    parameter=effect.parameter,
                    value=group.name,
                    count=count,
                    of=of,
                    other_count=other_count,
                    other_of=other_of,
                    others=len(effect.groups) - 1,
                )
                found.append(one)
    return found


def best_of_all(summary: SweepSummary, others: int = 2) -> str:
    """Return the best trial and the next ones in one line; empty where none has a value."""
    if not summary.ranking:
        return ""
    best, *rest = [
        f"trial {one.number} ({params_text(one.params)}){', pruned' * (one.state == 'pruned')}: "
        f"{metric_name(summary.metric)} {number(one.value)}"
        for one in summary.ranking[: others + 1]
    ]
    return f"Best of all: {best}" + (f"; next: {'; '.join(rest)}" if rest else "")


def signed(value: float, form: str) -> str:
    """Return a number with its sign, a true minus; zero has none."""
    text = format(value, f"+{form}")
    return text[1:] if not any(digit in "123456789" for digit in text) else text.replace("-", _MINUS)


def _cells(group: Group, parameter: str) -> dict[str, list[Trial]]:
    """Return the complete trials of a group by their values of all other parameters."""
    cells: dict[str, list[Trial]] = {}
    for one in group.complete:
        cells.setdefault(key_of({name: value for name, value in one.params.items() if name != parameter}), []).append(
            one
        )
    return cells


def _pairs(one: Group, other: Group, parameter: str) -> list[tuple[Group, Group]]:
    mine, theirs = _cells(one, parameter), _cells(other, parameter)
    return [
        (Group(name=one.name, trials=tuple(mine[cell])), Group(name=other.name, trials=tuple(theirs[cell])))
        for cell in mine
        if cell in theirs
    ]


def _gap(one: Group, other: Group) -> float:
    return (one.mean or 0.0) - (other.mean or 0.0)


def _best(groups: Sequence[Group], parameter: str, summary: SweepSummary) -> Group:
    sign = 1 if summary.goal == "max" else -1
    gains = [
        [_gap(*pair) for other in groups if other is not one for pair in _pairs(one, other, parameter)]
        for one in groups
    ]
    for least in (FEW, 1) if summary.method == "grid" else (FEW,):
        scored = [
            (sign * statistics.fmean(gain), one) for gain, one in zip(gains, groups, strict=True) if len(gain) >= least
        ]
        if scored:
            return max(scored, key=lambda one: one[0])[1]
    enough = [one for one in groups if len(one.values) >= FEW] or groups
    return max(enough, key=lambda one: sign * (one.mean or 0.0))


def _difference(best: Group, other: Group, parameter: str, summary: SweepSummary, several: int) -> Difference:
    pairs = _pairs(best, other, parameter)
    paired = bool(pairs) and (summary.method == "grid" or len(pairs) >= FEW)
    deviation, interval = None, None
    if paired:
        gaps = [_gap(*pair) for pair in pairs]
        counts, mean = (len(pairs),), statistics.fmean(gaps)
        if len(gaps) > 1:
            deviation = statistics.stdev(gaps)
            interval = _interval(mean, deviation**2 / len(gaps), len(gaps) - 1, several)
    else:
        pairs, mean = [(best, other)], _gap(best, other)
        counts = (len(best.values), len(other.values))
        if min(counts) > 1:
            shares = [statistics.variance(one.values) / len(one.values) for one in (best, other)]
            parts = sum(share**2 / (n - 1) for share, n in zip(shares, counts, strict=True))
            interval = _interval(mean, sum(shares), sum(shares) ** 2 / parts if parts else 1.0, several)
    memory, peak = _memory(pairs)
    return Difference(
        parameter=parameter,
        value=best.name,
        against=other.name,
        metric=metric_name(summary.metric),
        goal=summary.goal,
        paired=paired,
        counts=counts,
        mean=mean,
        deviation=deviation,
        interval=interval,
        memory=memory,
        peak=peak,
    )


def _interval(mean: float, variance: float, freedom: float, several: int) -> tuple[float, float]:
    """Return the interval of a mean from its squared standard error and the degrees of freedom.

    All intervals of so many comparisons together hold the true means with 95 % (Bonferroni).
    """
    half = float(stdtrit(freedom, 1 - 0.025 / several)) * math.sqrt(variance)
    return mean - half, mean + half


def _memory(pairs: Sequence[tuple[Group, Group]]) -> tuple[float | None, Literal["predicted", "measured"]]:
    """Return the relative change of the predicted peak, or of the measured one where no pair has both predictions."""
    kinds: tuple[Literal["predicted", "measured"], ...] = ("predicted", "measured")
    for kind in kinds:
        logs = [tuple(_log_peak(group, kind) for group in pair) for pair in pairs]
        changes = [mine - theirs for mine, theirs in logs if mine is not None and theirs is not None]
        if changes:
            return math.exp(statistics.fmean(changes)) - 1, kind
    return None, "predicted"


def _log_peak(group: Group, kind: Literal["predicted", "measured"]) -> float | None:
    peaks = [one.predicted_peak if kind == "predicted" else one.measured_peak for one in group.complete]
    logs = [math.log(peak) for peak in peaks if peak]
    return statistics.fmean(logs) if logs else None


def _unfit(group: Group) -> tuple[int, int]:
    """Return how many trials did not fit into memory, and how many are finished."""
    states = [one.state for one in group.trials if one.state in FINISHED]
    return sum(state in ("infeasible", "out of memory") for state in states), len(states)


def _form(size: float) -> str:
    """Return a form with two digits of a number of this size, and never fewer than three decimals."""
    decimals = 3 if size == 0 or not math.isfinite(size) else 1 - math.floor(math.log10(size))
    return f".{min(max(decimals, 3), 8)}f"
