"""Reading settings: a YAML file, a mapping, and overrides from the command line."""

from argparse import ArgumentError
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser

from flexdan.config.agent import plain_value, section_options, setting_options
from flexdan.config.errors import UserError
from flexdan.config.names import (
    IGNORED,
    LOG_NAMES,
    LOG_VALUES,
    MAY_BE_NULL,
    is_flag,
    setting_names,
    translate,
    unknown_name,
)
from flexdan.config.run import RunConfig


def add_settings(parser: ArgumentParser) -> None:
    """Add `--config` and one option for every setting to a command's parser."""
    parser.add_argument("--config", type=str, default="", metavar="FILE", help="YAML file of settings")
    parser.add_class_arguments(RunConfig)


class _UniqueKeys(yaml.SafeLoader):
    """Reads YAML as `safe_load` does, and refuses a mapping with the same key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        if twice := [key for number, key in enumerate(keys) if key in keys[:number]]:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice[0]} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_settings_file(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of settings, as the user wrote them.

    Raises:
        UserError: if the file cannot be read or is no YAML mapping.
    """
    try:
        loaded = yaml.load(Path(path).read_text(encoding="utf-8"), _UniqueKeys)
    except OSError as error:
        raise UserError(f"cannot read the settings file {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML: {error}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise UserError(f"{path} must hold settings as `name: value`, but holds a {type(loaded).__name__}")
    return loaded


def config_from_mapping(settings: Mapping[str, Any]) -> tuple[RunConfig, list[str]]:
    """Build a configuration from settings under any accepted name.

    Returns:
        The configuration, and notes for the user.

    Raises:
        UserError: for an unknown name or a value that is not allowed.
    """
    translated, notes = translate(settings)
    parser = _settings_parser()
    return _instantiate(parser, parser.parse_args([], namespace=_parse_object(parser, translated))), notes


def typed_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings under any accepted name by our dotted names, each value with the type of its setting.

    What a setting allows beside its type is checked only where a configuration is made of it.

    Raises:
        UserError: for an unknown name or a value of another type.
    """
    translated, _ = translate(settings)
    parsed = _parse_object(_settings_parser(), translated)
    return {name: parsed[name] for name in translated}


@cache
def _settings_parser() -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    add_settings(parser)
    return parser


def parse_command(
    parser: ArgumentParser, argv: Sequence[str], base: Mapping[str, Any] | None = None
) -> tuple[Any, RunConfig, list[str]]:
    """Parse a command line that may hold settings under any accepted name.

    A command without arguments of its own, beside options, also takes settings as `name=value`, as a JSON object and
    from a .json file, see `setting_options`.

    Args:
        parser: parser of the command, after `add_settings`.
        argv: the arguments of the command.
        base: settings under our names that stand below those of the file and of the command line.

    Returns:
        All arguments, the configuration (defaults, then base, file, command line), and notes for the user.

    Raises:
        UserError: for an unknown name or a value that is not allowed.
    """
    argv, notes = _translate_options(parser, argv)
    settings: dict[str, Any] = dict(base or {})
    if file := _option_value(argv, "--config"):
        translated, file_notes = translate(read_settings_file(file))
        settings |= translated
        notes = file_notes + notes
    try:
        arguments = parser.parse_args(argv, namespace=_parse_object(parser, settings))
    except ArgumentError as error:
        raise UserError(_message(error)) from error
    return arguments, _instantiate(parser, arguments), notes


def given_settings(parser: ArgumentParser, argv: Sequence[str]) -> list[str]:
    """Return the settings that a command line gives, whatever their values, under our names.

    Args:
        parser: of the command, after `add_settings`.
        argv: what `parse_command` has parsed.
    """
    names = set(setting_names())
    given = (token[2:].partition("=")[0] for token in _translate_options(parser, argv)[0] if token.startswith("--"))
    return [name for name in given if name in names or name.startswith("sn.model_args.")]


def _parse_object(parser: ArgumentParser, translated: Mapping[str, Any]) -> Any:
    nested: dict[str, Any] = {}
    for name, value in translated.items():
        *sections, leaf = name.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[leaf] = value
    try:
        return parser.parse_object(nested)
    except ArgumentError as error:
        raise UserError(_message(error)) from error


def _instantiate(parser: ArgumentParser, arguments: Any) -> RunConfig:
    objects = parser.instantiate(arguments)
    return RunConfig(**{name: getattr(objects, name) for name in RunConfig.__dataclass_fields__})


def _message(error: ArgumentError) -> str:
    return " ".join(str(error).split()).replace("Parser key ", "setting ")


def _translate_options(parser: ArgumentParser, argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Rewrite `--log_name value` and every other way to write a setting to `--our.name=value`.

    Names that are ignored are dropped. Options and arguments of the command itself stay.
    """
    names = set(setting_names())
    sections = {name.rpartition(".")[0] for name in names} - {""}
    own = {option: action for action in parser._actions for option in action.option_strings if option[2:] not in names}
    with_value = {option for option, action in own.items() if action.nargs != 0 and option[2:] not in sections}
    takes_arguments = any(not action.option_strings for action in parser._actions)
    rewritten: list[str] = []
    notes: list[str] = []
    left = list(argv)
    while left:
        token = left.pop(0)
        name, equals, value = token[2:].partition("=")
        if token == "--":
            return [*rewritten, token, *left], notes
        if token.startswith("--") and name in sections and (value or "".join(left[:1])).startswith("{"):
            options, more = section_options(name, value if equals else left.pop(0))
            left, notes = [*options, *left], [*notes, *more]
        elif token in own or (token.startswith("--") and f"--{name}" in own):
            rewritten.append(token)
            if token in own and own[token].nargs != 0 and left and not left[0].startswith("-"):
                rewritten.append(left.pop(0))
        elif not token.startswith("--") and (takes_arguments or token.startswith("-")):
            rewritten.append(token)
        elif not token.startswith("--"):
            options, more = setting_options(token, with_value)
            left, notes = [*options, *left], [*notes, *more]
        else:
            name = name.replace("-", "_")
            if not equals and left and not left[0].startswith("--") and left[0] not in own:
                equals, value = "=", left.pop(0)
            if name in IGNORED:
                notes.append(f"--{name} is accepted but has no effect: {IGNORED[name]}")
            else:
                rewritten.append(_option(name, value if equals else None, names))
    return rewritten, notes


def _option(name: str, value: str | None, names: set[str]) -> str:
    """Return `--our.name=value` of a setting under any accepted name; None: the name stands alone."""
    ours = LOG_NAMES.get(name, name)
    if ours not in names and not ours.startswith("sn.model_args."):
        raise UserError(unknown_name(name, names, "option"))
    if value is None and is_flag(name):
        value = "true"
    if value is None:
        raise UserError(f"--{name} needs a value, such as --{name}=VALUE")
    value = plain_value(value)
    if value.lower() in ("null", "~", "") and ours not in MAY_BE_NULL:
        raise UserError(f"--{name} has no value: give one, or leave the option out for the default")
    return f"--{ours}={LOG_VALUES.get(ours, {}).get(value.lower(), value)}"


def _option_value(argv: Sequence[str], option: str) -> str:
    values = [argv[place + 1] for place, token in enumerate(argv[:-1]) if token == option]
    values += [token.partition("=")[2] for token in argv if token.startswith(f"{option}=")]
    if len(values) > 1:
        raise UserError(f"{option} is there {len(values)} times, {' and '.join(values)}: give one")
    return values[0] if values else ""
