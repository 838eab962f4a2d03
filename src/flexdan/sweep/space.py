"""Sweep files in the form of Weights & Biases, the log's among them."""

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

from flexdan.config import UserError, config_from_mapping, read_settings_file
from flexdan.config.names import translate
from flexdan.config.run import RunConfig


def read_grid(path: Path, base: Mapping[str, Any] | None = None) -> list[tuple[str, RunConfig]]:
    """Return every configuration of a sweep file with `method: grid`, with a name; the last parameter varies fastest.

    Args:
        path: YAML with `parameters`, each with `values` or a `value`, under any accepted name, nested or flat.
        base: settings by dotted name below those of the file.

    Raises:
        UserError: for another method, a parameter without values, an unknown name or a value that is not allowed.
    """
    content = read_settings_file(path)
    method, parameters = content.get("method"), content.get("parameters")
    if method != "grid":
        raise UserError(f"{path} has method {method!r}: only a grid can be listed in full; say method: grid")
    if not isinstance(parameters, dict) or not parameters:
        raise UserError(
            f"{path} has no parameters: each needs a name with values, such as `batch_size: {{values: [2]}}`"
        )
    choices = dict(_choices(parameters, path))
    varied = [name for name, values in choices.items() if len(values) > 1]
    cells = []
    for combination in product(*choices.values()):
        wanted = dict(zip(choices, combination, strict=True))
        config = config_from_mapping({**(base or {}), **translate(wanted)[0]})[0]
        cells.append((",".join(f"{name}={wanted[name]}" for name in varied) or path.stem, config))
    return cells


def _choices(parameters: Mapping[str, Any], path: Path, prefix: str = "") -> Iterator[tuple[str, list[Any]]]:
    for name, entry in parameters.items():
        full = f"{prefix}{name}"
        if isinstance(entry, dict) and isinstance(entry.get("parameters"), dict):
            yield from _choices(entry["parameters"], path, f"{full}.")
        elif isinstance(entry, dict) and isinstance(entry.get("values"), list) and entry["values"]:
            yield full, entry["values"]
        elif isinstance(entry, dict) and "value" in entry:
            yield full, [entry["value"]]
        else:
            raise UserError(
                f"{path}: the parameter {full} is {entry!r}, but in a grid it needs `values: [...]` or `value: ...`"
            )


def is_sweep(path: Path) -> bool:
    """Tell whether a YAML file is a sweep and not the settings of one training."""
    return "parameters" in read_settings_file(path)
