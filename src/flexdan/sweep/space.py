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
        self._decoded = {
            name: {_key(encode(value)): value for value in space.values}
            for name, space in sweep.parameters.items()
            if isinstance(space, Choice)
        }
        self.swept: dict[str, str] = {}  # setting by dotted name -> name of the parameter
        for name, space in sweep.parameters.items():
            values = space.values if isinstance(space, Choice) and space.meaning else (self._example(name),)
            for setting in dict.fromkeys(setting for value in values for setting in self._settings(name, value)):
                if setting in self.swept:
                    raise UserError(f"the parameters {self.swept[setting]} and {name} are the same setting, {setting}")
                if setting in sweep.settings and not (isinstance(space, Choice) and space.meaning):
                    also = "" if name == setting else f" as {name}"
                    raise UserError(
                        f"{setting} is fixed to {sweep.settings[setting]!r} and is also swept{also}: leave one out"
                    )
                self.swept[setting] = name

    def check(self) -> None:
        """Check every cell of a grid, or else the values and the ends of every parameter, each beside the first others.

        Raises:
            UserError: if one is not allowed.
        """
        if self.sweep.method == "grid":
            for cell in self.sweep.cells():
                self.config(cell)
            return
        first = {name: self._example(name) for name in self.sweep.parameters}
        for name, space in self.sweep.parameters.items():
            ends = space.values if isinstance(space, Choice) else (space.low, space.high)
            for value in ends:
                self.config({**first, name: _number(space, value) if isinstance(space, Range) else value})

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

    def decode(self, name: str, value: Any) -> Any:
        """Return a value of Optuna as the sweep has it."""
        space = self.sweep.parameters[name]
        return _number(space, value) if isinstance(space, Range) else self._decoded[name][_key(value)]

    def _settings(self, name: str, value: Any) -> dict[str, Any]:
        key = (name, json.dumps(value))
        if key in self._typed:
            return self._typed[key]
        space = self.sweep.parameters[name]
        written = space.meaning[value] if isinstance(space, Choice) and space.meaning else {name: value}
        own = name.startswith("sn.model_args.")
        settings = translate(written)[0] if own else typed_settings(written)
        if name in self._decoded:  # the values of a range do not come again
            self._typed[key] = settings
        return settings

    def _example(self, name: str) -> Any:
        space = self.sweep.parameters[name]
        return space.values[0] if isinstance(space, Choice) else _number(space, space.low)


def _number(space: Range, value: float) -> float:
    return round(value) if space.integer else float(value)


def _key(value: Any) -> tuple[type, Any]:
    return type(value), value  # since True is 1


def cell_name(params: Mapping[str, Any]) -> str:
    """Return the values of a trial in one line, as `flexdan plan` names it."""
    return ",".join(f"{name}={value}" for name, value in params.items())


def encode(value: Any) -> Any:
    """Return a value to choose as Optuna holds it: a scalar as it is, a list as JSON."""
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)
