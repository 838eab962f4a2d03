"""The lines of a fair-comparison check: what one is, how values of several runs become one, and the table of all."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from flexdan.report.configurations import Configuration
from flexdan.report.contestants import Contestant
from flexdan.report.facts import many
from flexdan.report.tables import Table

State = Literal["pass", "FAILS", "unknown", "info"]
MISSING = "not recorded"
MANY = 4  # values that are shown
AGAIN = "the record is of an older version: train again to be sure"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the check.

    Args:
        name: what is asked.
        state: info: it is told, and nothing is wrong with it.
        found: the values.
        remedy: what to do about it; empty where nothing is wrong.
    """

    name: str
    state: State
    found: str
    remedy: str = ""


def is_fair(checks: Sequence[Check]) -> bool:
    """Tell whether nothing fails and nothing is unknown."""
    return all(one.state in ("pass", "info") for one in checks)


def fairness_verdict(checks: Sequence[Check]) -> str:
    """Return one line: how many lines of the check pass, and which do not."""
    asked = [one for one in checks if one.state != "info"]
    odd = [f"{one.name} ({one.state})" for one in asked if one.state != "pass"]
    passed = f"{len(asked) - len(odd)} of {many(len(asked), 'check')} passed"
    return f"fair comparison: {passed}" + (f"; not {', '.join(odd)}" if odd else "")


def fairness_table(checks: Sequence[Check]) -> Table:
    """Return the check as a table."""
    rows = [[one.name, one.state, one.found, one.remedy or "-"] for one in checks]
    title = fairness_verdict(checks)
    return Table(title=title, header=["check", "result", "found", "what to do"], rows=rows, text_columns=4)


def same(name: str, values: Mapping[str, Any], remedy: str, prefix: str = "") -> Check:
    """Return the line about values that must be equal: of each run, by what it is called; None is not known."""
    if missing := [label for label, value in values.items() if value is None]:
        whose = "" if len(missing) == len(values) else f": {some(missing)}"
        return Check(name=name, state="unknown", found=MISSING + whose, remedy=AGAIN)
    if len(set(values.values())) == 1:
        return Check(name=name, state="pass", found=f"{prefix}{next(iter(values.values()))}")
    by_value: dict[str, list[str]] = {}
    for label, value in values.items():
        by_value.setdefault(f"{prefix}{value}", []).append(label)
    texts = [f"{value} ({some(labels, 2)})" for value, labels in by_value.items()]
    return Check(name=name, state="FAILS", found=some(texts), remedy=remedy)


def members(configurations: Sequence[Configuration]) -> Iterator[Contestant]:
    """Yield all runs."""
    for one in configurations:
        yield from one.members.values()


def label_of(one: Contestant) -> str:
    """Return what a run is called: its folder, as it was named."""
    return str(one.run.folder)


def shared_seeds(configurations: Sequence[Configuration]) -> list[int]:
    """Return the seeds that all configurations have, ascending."""
    return sorted(set.intersection(*(set(one.members) for one in configurations)))


def some(texts: Sequence[str], most: int = MANY) -> str:
    """Return the first texts in a row, and how many more there are."""
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return "; ".join(texts[:most]) + more


def short(sha: Any) -> str | None:
    """Return the beginning of a hash; None if there is none."""
    return sha[:8] if isinstance(sha, str) else None
