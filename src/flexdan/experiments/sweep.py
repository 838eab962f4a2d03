"""What a sweep is: parameters, how their values are chosen, and what all its trainings have in common."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from flexdan.config import METRICS, RunConfig, UserError, changed_settings

Method = Literal["grid", "random", "bayes"]
LARGEST = 100_000  # cells of a grid


@dataclass(frozen=True)
class Choice:
    """One of some values, each a scalar or a list.

    Args:
        values: to choose from.
        meaning: the settings that each value stands for, by dotted name, where the parameter is more than one setting;
            they stand above those that all trainings have in common.
    """

    values: tuple[Any, ...]
    meaning: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of values."""
        return len(self.values)

    def value(self, number: int) -> Any:
        """Return one of the values, from 0 on."""
        return self.values[number]

    @property
    def text(self) -> str:
        """What there is to choose from."""
        return ", ".join(str(value) for value in self.values)


@dataclass(frozen=True, kw_only=True)
class Range:
    """A number between two others, both of them allowed.

    Args:
        low: the least.
        high: the largest.
        step: between neighbouring values from `low` on; None: any value.
        log: whether the logarithm is what is spread evenly.
        integer: whether it is whole.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False
    integer: bool = False

    @property
    def text(self) -> str:
        """The range in words."""
        step = f", in steps of {self.step:g}" if self.step and self.step != 1 else ""
        return f"{self.low:g} to {self.high:g}{step}{', log' * self.log}"

    @property
    def stepped(self) -> bool:
        """Whether only some values of the range are allowed."""
        return self.step is not None or self.integer

    @property
    def count(self) -> int:
        """The number of values of a range with steps."""
        assert self.stepped, "only a range with steps can be listed"
        return math.floor((self.high - self.low) / (self.step or 1) + 1e-9) + 1

    def value(self, number: int) -> float:
        """Return one of the values of a range with steps, from 0 on."""
        found = self.low + number * (self.step or 1)
        return round(found) if self.integer else float(f"{found:.12g}")


@dataclass(frozen=True, kw_only=True)
class Pruner:
    """Ends trials early that are worse than others at the same epoch.

    Args:
        kind: hyperband (of every `eta` trials one goes on; Li et al., JMLR 2018), or median (worse than the median).
        min_epochs: each trial has so many.
        max_epochs: of a whole trial, for hyperband; None: `training.num_epochs`.
        eta: see `kind`.
        startup_trials: the median is asked only after so many finished trials.
    """

    kind: Literal["hyperband", "median"]
    min_epochs: int = 1
    max_epochs: int | None = None
    eta: int = 3
    startup_trials: int = 5


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Trainings whose settings are chosen by a method, to be compared by a metric.

    Args:
        parameters: what varies, by any accepted name of a setting.
        settings: what all trainings have in common and is not as by default, by dotted name.
        method: grid: every combination, the last parameter varies fastest; random; or bayes: what promises most after
            the trials so far (a tree-structured Parzen estimator; Bergstra et al., NeurIPS 2011).
        metric: of the validation that is compared, see `METRICS`, which has its better direction.
        run_cap: end after so many trials; None: the whole grid, and otherwise until someone stops it.
        pruner: ends trials early; None: none does.
        seed: of the draws of random and bayes.
        listed: the cells of a grid, where they are not every combination; further ones may be added at the end later.

    Raises:
        UserError: if these contradict each other.
    """

    parameters: Mapping[str, Choice | Range]
    settings: Mapping[str, Any] = field(default_factory=dict)
    method: Method = "grid"
    metric: str = "iou_score"
    run_cap: int | None = None
    pruner: Pruner | None = None
    seed: int = 0
    listed: tuple[Mapping[str, Any], ...] | None = None

    def __post_init__(self):
        if self.metric not in METRICS:
            raise UserError(f"the metric of a sweep is {self.metric!r}, but must be one of {', '.join(METRICS)}")
        if self.run_cap is not None and self.run_cap < 1:
            raise UserError(f"run_cap is {self.run_cap}: a sweep needs at least one trial")
        if self.method not in get_args(Method):
            raise UserError(
                f"the method of a sweep is {self.method!r}, but must be one of {', '.join(get_args(Method))}"
            )
        for name, space in self.parameters.items():
            if not isinstance(space, Choice | Range):
                raise UserError(f"the parameter {name} is {space!r}, but must be a Choice or a Range")
            if isinstance(space, Range):
                _check_range(name, space)
            elif not space.values:
                raise UserError(f"the parameter {name} has no values to choose from")
            if isinstance(space, Choice) and len({json.dumps(value) for value in space.values}) < len(space.values):
                raise UserError(f"the parameter {name} has a value twice: {space.text}")
            if self.method == "grid" and self.listed is None and isinstance(space, Range) and not space.stepped:
                raise UserError(
                    f"the parameter {name} has any value from {space.text}, which a grid cannot list: give it values, "
                    "or a distribution with steps such as int_uniform or q_uniform, or say method random or bayes"
                )
        if self.listed is not None:
            self._check_listed(self.listed)
        if self.method == "grid" and min(self.size, self.run_cap or self.size) > LARGEST:
            raise UserError(
                f"the grid has {self.size:,} cells, of {LARGEST:,} at most: say run_cap, or method random or bayes"
            )

    def _check_listed(self, listed: Sequence[Mapping[str, Any]]) -> None:
        if self.method != "grid":
            raise UserError(f"cells are listed, but the method is {self.method}: only a grid has cells")
        if odd := next((cell for cell in listed if set(cell) != set(self.parameters)), None):
            raise UserError(f"the cell {dict(odd)} must have a value of each of {', '.join(self.parameters)}")
        if len({json.dumps(cell, sort_keys=True) for cell in listed}) < len(listed):
            raise UserError("a cell is listed twice")

    @property
    def size(self) -> int:
        """The number of all cells of a grid."""
        if self.listed is not None:
            return len(self.listed)
        return math.prod(space.count for space in self.parameters.values())

    @property
    def goal(self) -> Literal["max", "min"]:
        """Whether a larger value of the metric is better."""
        return "max" if METRICS[self.metric] == "max" else "min"

    def cells(self) -> Iterator[dict[str, Any]]:
        """Yield the values of every cell of a grid, the first `run_cap` of them; the last parameter varies fastest."""
        for number in range(min(self.size, self.run_cap or self.size)):
            if self.listed is not None:
                yield dict(self.listed[number])
                continue
            cell = {}
            for name, space in reversed(list(self.parameters.items())):
                number, place = divmod(number, space.count)
                cell[name] = space.value(place)
            yield {name: cell[name] for name in self.parameters}

    def to_dict(self) -> dict[str, Any]:
        """Return the sweep as values that JSON holds."""
        return {**asdict(self), "parameters": {name: asdict(space) for name, space in self.parameters.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Sweep":
        """Return the sweep that `to_dict` was called on."""
        parameters = {
            name: Choice(tuple(space["values"]), space.get("meaning", {})) if "values" in space else Range(**space)
            for name, space in values["parameters"].items()
        }
        pruner = Pruner(**values["pruner"]) if values["pruner"] else None
        listed = None if values.get("listed") is None else tuple(values["listed"])
        return cls(**{**values, "parameters": parameters, "pruner": pruner, "listed": listed})


def _check_range(name: str, space: Range) -> None:
    numbers = [space.low, space.high, *([space.step] if space.step is not None else [])]
    if not all(math.isfinite(number) for number in numbers):
        raise UserError(f"the parameter {name} is {space.text}, but its ends and steps must be finite")
    if not space.low <= space.high:
        raise UserError(f"the parameter {name} has min {space.low:g} above max {space.high:g}")
    if space.log and space.low <= 0:
        raise UserError(f"the parameter {name} has min {space.low:g}: a logarithm needs it above 0")
    if space.step is not None and (space.step <= 0 or space.log):
        raise UserError(
            f"the parameter {name} has steps of {space.step:g}: they must be above 0, and not on a logarithm"
        )
    if space.integer and any(number != int(number) for number in numbers):
        raise UserError(f"the parameter {name} is {space.text}, but whole numbers need whole ends and steps")


def grid_sweep(config: RunConfig, values: Mapping[str, Sequence[Any]], **options: Any) -> Sweep:
    """Return the sweep over every combination of values.

    Args:
        config: what all have in common.
        values: to try, by name of the setting.
        options: see `Sweep`.
    """
    settings = {name: value for name, value in changed_settings(config).items() if name not in values}
    return Sweep(parameters={name: Choice(tuple(some)) for name, some in values.items()}, settings=settings, **options)
