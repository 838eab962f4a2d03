"""Sweep files: those of Weights & Biases, the log's among them, and Python files that return a `Sweep`."""

import itertools
import math
import runpy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from flexdan.config import METRICS, UserError, add_settings, changed_settings, parse_command, read_settings_file
from flexdan.config.names import translate
from flexdan.experiments import Choice, Pruner, Range, Sweep

WITHOUT_EFFECT = {  # keys of W&B that say where a sweep is shown or what starts it, not what is tried
    *("program", "name", "description", "project", "entity", "controller", "image_uri", "job", "prior_runs"),
    *("$schema", "apiVersion"),
}
KEYS = {"method", "metric", "parameters", "early_terminate", "run_cap", "command"}


def is_sweep(path: Path) -> bool:
    """Tell whether a file is a sweep and not the settings of one training."""
    return path.suffix == ".py" or "parameters" in read_settings_file(path)


def read_sweep(path: Path) -> tuple[Sweep, list[str]]:
    """Read a sweep file.

    Args:
        path: YAML as for `wandb sweep`, or a Python file with a function `sweep()` that returns a `Sweep`.

    Returns:
        The sweep, and notes for the user.

    Raises:
        UserError: for what is not there, not known or not supported.
    """
    if path.suffix == ".py":
        return _python(path), []
    content = read_settings_file(path)
    if unknown := [key for key in content if key not in KEYS | WITHOUT_EFFECT]:
        raise UserError(
            f"{path} has {unknown[0]}, which is not supported in a sweep: {', '.join(sorted(KEYS))} are, and "
            f"{', '.join(sorted(WITHOUT_EFFECT))} have no effect"
        )
    parameters = content.get("parameters")
    if not isinstance(parameters, dict) or not parameters:
        raise UserError(
            f"{path} has no parameters: each needs a name with values, such as `batch_size: {{values: [2]}}`"
        )
    found = dict(_parameters(parameters, path))
    fixed = {name: value.value for name, value in found.items() if isinstance(value, _Fixed)}
    varied = {name: space for name, space in found.items() if not isinstance(space, _Fixed)}
    settings, notes = translate(fixed)
    swept = {setting for name, space in varied.items() for setting in translate({name: _example(space)})[0]}
    below = _settings_of_command(content.get("command"), path)
    settings = {name: value for name, value in below.items() if name not in swept} | settings
    sweep = Sweep(
        parameters=varied,
        settings=settings,
        method=_method(content, path),
        metric=_metric(content.get("metric"), path, settings),
        run_cap=_whole(content, "run_cap", path),
        pruner=_pruner(content.get("early_terminate"), path),
    )
    return sweep, notes


@dataclass(frozen=True)
class _Fixed:
    """A value that all trials have."""

    value: Any


_Space = Choice | Range | _Fixed


def _example(space: Choice | Range) -> Any:
    return space.values[0] if isinstance(space, Choice) else space.low


def _python(path: Path) -> Sweep:
    if not path.is_file():
        raise UserError(f"cannot read the sweep file {path}: there is no such file")
    try:
        make = runpy.run_path(str(path)).get("sweep")
        sweep = make() if callable(make) else None
    except UserError:
        raise
    except Exception as error:  # of the user's own code
        raise UserError(f"{path} fails with {type(error).__name__}: {error}") from error
    if make is None:
        raise UserError(f"{path} has no function sweep(): it must return a flexdan.experiments.Sweep")
    if not isinstance(sweep, Sweep):
        raise UserError(f"sweep() of {path} returns {sweep!r}, which is no flexdan.experiments.Sweep")
    return replace(sweep, settings=translate(sweep.settings)[0])


def _settings_of_command(command: Any, path: Path) -> dict[str, Any]:
    """Return the settings that the command of a W&B file gives to every trial, such as `--config run.yaml`."""
    words = [str(word) for word in command] if isinstance(command, list) else str(command or "").split()
    words = [word for word in words if not word.startswith("${")]
    options = list(itertools.dropwhile(lambda word: not word.startswith("--"), words))
    parser = ArgumentParser(exit_on_error=False)
    add_settings(parser)
    try:
        return changed_settings(parse_command(parser, options)[1]) if options else {}
    except UserError as error:
        raise UserError(f"{path}, command: {error}") from error


def _method(content: Mapping[str, Any], path: Path) -> Any:
    method = content.get("method")
    if method not in ("grid", "random", "bayes"):
        raise UserError(f"{path} has the method {method!r}, but must have grid, random or bayes")
    return method


def _metric(metric: Any, path: Path, settings: Mapping[str, Any]) -> str:
    if metric is None:
        return settings.get("training.best_metric", "iou_score")
    if not isinstance(metric, dict) or not isinstance(metric.get("name"), str):
        raise UserError(f"{path} has metric {metric!r}, but it needs a name, such as `metric: {{name: iou_score}}`")
    if unknown := set(metric) - {"name", "goal"}:
        raise UserError(f"{path}: metric.{min(unknown)} is not supported; name and goal are")
    name, goal = metric["name"], metric.get("goal")
    if name not in METRICS:
        raise UserError(f"{path} has the metric {name!r}, but must have one of {', '.join(METRICS)}")
    right = {"max": "maximize", "min": "minimize"}[METRICS[name]]
    if goal not in (None, right):
        raise UserError(f"{path} has the goal {goal!r} for {name}, but it must be {right}")
    return name


def _parameters(parameters: Mapping[str, Any], path: Path, prefix: str = "") -> Iterator[tuple[str, _Space]]:
    for name, entry in parameters.items():
        full = f"{prefix}{name}"
        if not isinstance(entry, dict):
            raise UserError(
                f"{path}: the parameter {full} is {entry!r}, but needs `values: [...]`, `value: ...`, or `min: ...` "
                "and `max: ...`"
            )
        if isinstance(entry.get("parameters"), dict) and set(entry) == {"parameters"}:
            yield from _parameters(entry["parameters"], path, f"{full}.")
        else:
            yield full, _space(full, entry, path)


def _space(name: str, entry: Mapping[str, Any], path: Path) -> _Space:
    kind = entry.get("distribution", _usual_distribution(entry))
    if kind not in DISTRIBUTIONS:
        raise UserError(
            f"{path}: the parameter {name} has the distribution {kind!r}, which is not supported; supported are "
            f"{', '.join(DISTRIBUTIONS)}"
            if kind
            else f"{path}: the parameter {name} is {dict(entry)!r}, but needs `values: [...]`, `value: ...`, or "
            "`min: ...` and `max: ...`"
        )
    needs, optional, make = DISTRIBUTIONS[kind]
    given = set(entry) - {"distribution"}
    if missing := needs - given:
        raise UserError(f"{path}: the parameter {name} has the distribution {kind}, which needs {min(missing)}")
    if unknown := given - needs - optional:
        raise UserError(f"{path}: the parameter {name} has {min(unknown)}, which {kind} does not support")
    try:
        return make({key: entry[key] if key in ("values", "value") else float(entry[key]) for key in given})
    except (TypeError, ValueError, ArithmeticError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: the parameter {name} is {dict(entry)!r}: {error}") from error


def _usual_distribution(entry: Mapping[str, Any]) -> str:
    """Return the distribution that W&B takes where none is named."""
    if "values" in entry:
        return "categorical"
    if "value" in entry:
        return "constant"
    if "min" in entry and "max" in entry:
        whole = all(isinstance(entry[key], int) for key in ("min", "max"))
        return "int_uniform" if whole else "uniform"
    return ""


def _categorical(entry: Mapping[str, Any]) -> Choice:
    if not isinstance(entry["values"], list) or not entry["values"]:
        raise ValueError("values must be a list with something in it")
    return Choice(tuple(entry["values"]))


def _whole_range(entry: Mapping[str, Any]) -> Range:
    if any(entry[key] != int(entry[key]) for key in entry):
        raise ValueError("int_uniform needs whole numbers")
    return Range(low=entry["min"], high=entry["max"], integer=True)


def _stepped(entry: Mapping[str, Any]) -> Range:
    step = entry.get("q", 1.0)
    if step <= 0:
        raise ValueError("q must be above 0")
    low, high = (round(entry[key] / step) * step for key in ("min", "max"))  # W&B rounds what it draws to multiples
    whole = all(number == int(number) for number in (low, high, step))
    return Range(low=low, high=high, step=step, integer=whole)


_ENDS = frozenset({"min", "max"})
DISTRIBUTIONS: dict[
    str, tuple[frozenset[str], frozenset[str], Callable[[Mapping[str, Any]], Choice | Range | _Fixed]]
] = {
    "constant": (frozenset({"value"}), frozenset(), lambda entry: _Fixed(entry["value"])),
    "categorical": (frozenset({"values"}), frozenset(), _categorical),
    "uniform": (_ENDS, frozenset(), lambda entry: Range(low=entry["min"], high=entry["max"])),
    "int_uniform": (_ENDS, frozenset(), _whole_range),
    "q_uniform": (_ENDS, frozenset({"q"}), _stepped),
    "log_uniform_values": (_ENDS, frozenset(), lambda entry: Range(low=entry["min"], high=entry["max"], log=True)),
    "log_uniform": (  # whose ends are the natural logarithms
        _ENDS,
        frozenset(),
        lambda entry: Range(low=math.exp(entry["min"]), high=math.exp(entry["max"]), log=True),
    ),
}


def _pruner(entry: Any, path: Path) -> Pruner | None:
    if entry is None:
        return None
    kind = entry.get("type") if isinstance(entry, dict) else entry
    if not isinstance(entry, dict) or kind not in ("hyperband", "median"):
        raise UserError(f"{path} has early_terminate {entry!r}, but it needs `type: hyperband` or `type: median`")
    allowed = {"hyperband": {"min_iter", "max_iter", "s", "eta"}, "median": {"min_iter", "startup_trials"}}[kind]
    if unknown := set(entry) - allowed - {"type"}:
        raise UserError(
            f"{path}: early_terminate.{min(unknown)} is not supported for {kind}; {', '.join(sorted(allowed))} are"
        )
    numbers = {key: _whole(entry, key, path, "early_terminate.") for key in allowed}
    eta = numbers.get("eta") or 3
    if eta < 2:
        raise UserError(f"{path}: early_terminate.eta is {eta}, but must be 2 at least")
    if kind == "median":
        return Pruner(kind="median", min_epochs=numbers["min_iter"] or 1, startup_trials=numbers["startup_trials"] or 5)
    least, longest, brackets = numbers["min_iter"], numbers["max_iter"], numbers["s"]
    if (least is None) == (brackets is None) or (brackets is not None and longest is None):
        raise UserError(f"{path}: early_terminate needs either min_iter, or both max_iter and s")
    if least is None and longest is not None and brackets is not None:
        least = max(1, longest // eta**brackets)
    return Pruner(kind="hyperband", min_epochs=least or 1, max_epochs=longest, eta=eta)


def _whole(content: Mapping[str, Any], key: str, path: Path, prefix: str = "") -> int | None:
    value = content.get(key)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise UserError(f"{path} has {prefix}{key} {value!r}, but it must be a whole number above 0")
    return value
