"""The settings of the trials of a sweep."""

import json
from collections.abc import Mapping
from typing import Any

from flexdan.config import RunConfig, UserError, config_from_mapping, typed_settings, with_settings
from flexdan.config.names import translate
from flexdan.experiments import Choice, Range, Sweep, smoke


class Space:
    """Turns values of the parameters of a sweep into full settings.

    Args:
        sweep: whose values.
        small: make every training small, see `flexdan.experiments.smoke`.

    Raises:
        UserError: if a setting is swept and fixed, or two parameters are one setting.
    """

    def __init__(self, sweep: Sweep, small: bool = False):
        self.sweep = sweep
        self._small = small
        self._base = config_from_mapping(sweep.settings)[0]
        self._typed: dict[tuple[str, str], dict[str, Any]] = {}
        self.swept: dict[str, str] = {}  # setting by dotted name -> name of the parameter
        for name in sweep.parameters:
            for setting in self._settings(name, self._example(name)):
                if setting in self.swept:
                    raise UserError(f"the parameters {self.swept[setting]} and {name} are the same setting, {setting}")
                if setting in sweep.settings:
                    raise UserError(
                        f"{setting} is {sweep.settings[setting]!r} and is also swept: leave one of them out"
                    )
                self.swept[setting] = name

    def config(self, params: Mapping[str, Any]) -> RunConfig:
        """Return the full settings of a trial.

        Args:
            params: a value for each parameter of the sweep.

        Raises:
            UserError: if a value is not allowed, or contradicts another setting.
        """
        changes: dict[str, Any] = {}
        for name, value in params.items():
            changes |= self._settings(name, value)
        if any(name.startswith("sn.model_args.") for name in changes):  # no settings of ours: they are merged
            config = config_from_mapping({**self.sweep.settings, **changes})[0]
        else:
            config = with_settings(self._base, changes)
        return smoke(config) if self._small else config

    def _settings(self, name: str, value: Any) -> dict[str, Any]:
        key = (name, json.dumps(value))
        if key not in self._typed:
            own = name.startswith("sn.model_args.")
            self._typed[key] = translate({name: value})[0] if own else typed_settings({name: value})
        return self._typed[key]

    def _example(self, name: str) -> Any:
        space = self.sweep.parameters[name]
        return space.values[0] if isinstance(space, Choice) else _number(space, space.low)


def _number(space: Range, value: float) -> float:
    return round(value) if space.integer else float(value)


def cell_name(params: Mapping[str, Any]) -> str:
    """Return the values of a trial in one line, as `flexdan plan` names it."""
    return ",".join(f"{name}={value}" for name, value in params.items())


def encode(space: Choice, value: Any) -> Any:
    """Return a value as Optuna holds it: a scalar as it is, a list as JSON."""
    assert value in space.values, "the values of a trial are those of its sweep"
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


def decode(space: Choice | Range, value: Any) -> Any:
    """Return a value of Optuna as the sweep has it."""
    if isinstance(space, Range):
        return _number(space, value)
    return next(
        choice
        for choice in space.values
        if type(encode(space, choice)) is type(value) and encode(space, choice) == value
    )
