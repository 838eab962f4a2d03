"""Settings on a command line as NAME=VALUE, for the commands of many trainings."""

from collections.abc import Mapping, Sequence
from typing import Any

from flexdan.config.errors import UserError


def read_changes(settings: Sequence[str], refused: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of `--set` by dotted name.

    Args:
        settings: as NAME=VALUE, under any accepted name; the values are YAML.
        refused: settings that the command sets itself, and what to say instead.

    Raises:
        UserError: if one is no NAME=VALUE, has an unknown name, or is refused.
    """
    import yaml

    from flexdan.config.names import translate

    for setting in settings:
        if "=" not in setting:
            raise UserError(f"--set has {setting!r}: it must be NAME=VALUE, such as num_epochs=5")
    pairs = [setting.partition("=")[::2] for setting in settings]
    try:
        changes, notes = translate({name: yaml.safe_load(value) for name, value in pairs})
    except yaml.YAMLError as error:
        raise UserError(f"--set has a value that is not YAML: {error}") from error
    for note in notes:
        print(f"note: {note}")
    for name, instead in refused.items():
        if name in changes:
            raise UserError(f"--set has {name}={changes[name]}, which the command sets itself: {instead}")
    return changes
