"""Settings in the styles in which `wandb agent` and others write them on a command line, as plain `--name=value`."""

import ast
import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from flexdan.config.errors import UserError
from flexdan.config.names import translate

STYLES = (
    "--name=value, --name value, name=value, +name=value, ++name=value, a JSON object of settings, or the path of a "
    ".json file with one; a YAML file goes with --config"
)


def setting_options(token: str, own: Collection[str]) -> tuple[list[str], list[str]]:
    """Turn an argument that does not begin with a hyphen into options.

    Args:
        token: `name=value`, `+name=value` or `++name=value`, a JSON object, or the path of a .json file.
        own: options of the command that take a value, such as `--output`, which may be among the settings.

    Returns:
        The options, as `--name=value`, and notes for the user.

    Raises:
        UserError: for anything else, and for an unknown name in a JSON object.
    """
    if token.lstrip().startswith("{"):
        return _from_json(token, "the JSON object", own)
    if re.fullmatch(r"\+{0,2}[A-Za-z_][\w.-]*=.*", token, re.DOTALL):
        return [f"--{token.lstrip('+')}"], []
    if token.endswith(".json"):
        try:
            return _from_json(Path(token).read_text(encoding="utf-8"), token, own)
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read the settings file {token}: {error}") from error
    raise UserError(f"{token!r} is no setting: what is understood is {STYLES}")


def section_options(section: str, text: str) -> tuple[list[str], list[str]]:
    """Turn the settings of a section, a mapping in Python's writing, JSON or YAML, into `--section.name=value`.

    Raises:
        UserError: for another text, and for an unknown name.
    """
    value = _read(text)
    if not isinstance(value, Mapping):
        raise UserError(f"--{section} is {text!r}: it is a section and takes settings, such as {{'name': value}}")
    return _options({section: value})


def plain_value(text: str) -> str:
    """Return a value as YAML reads it: what Python wrote as None, list, tuple or dict becomes JSON, the rest stays."""
    if text == "None":
        return "null"
    if text[:1] not in ("[", "(", "{"):
        return text
    try:
        value = ast.literal_eval(text)
        return json.dumps(value) if isinstance(value, list | tuple | dict) else text
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def _from_json(text: str, source: str, own: Collection[str]) -> tuple[list[str], list[str]]:
    try:
        settings = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{source} is not JSON: {error}") from error
    if not isinstance(settings, dict):
        raise UserError(f"{source} must hold settings by name, but holds a {type(settings).__name__}")
    options = [f"--{name}={settings.pop(name)}" for name in list(settings) if f"--{name}" in own]
    more, notes = _options(settings)
    return [*options, *more], notes


def _options(settings: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    translated, notes = translate(settings)
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in translated.items()}
    return [f"--{name}={text}" for name, text in texts.items()], notes


def _read(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None
