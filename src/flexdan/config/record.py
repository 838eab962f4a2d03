"""Reading the record of a run, one JSON object a line, without torch: the engine writes it, reports read it."""

import json
from pathlib import Path
from typing import Any

from flexdan.config.errors import UserError

NUMBERS_THAT_VARY = ("seconds", "images_per_second", "peak_memory_mib")  # between equal runs


def read_record(path: Path) -> list[dict[str, Any]]:
    """Read a record; a last line that was cut off by a crash is left out.

    Raises:
        UserError: if there is none, or a line before the last is broken.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"cannot read the record {path}: {error.strerror}; is {path.parent} a run folder?") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no record of a run: {error}") from error
    events = []
    for number, line in enumerate(lines, start=1):
        try:
            event = json.loads(line)
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise UserError(f"{path}, line {number} is no JSON: {error}") from error
            continue
        if not isinstance(event, dict) or "event" not in event:
            raise UserError(f"{path}, line {number} is no event of a record: {line[:80]}")
        events.append(event)
    return events
