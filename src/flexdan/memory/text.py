"""Plans as text."""

from collections.abc import Sequence

from flexdan.memory.devices import GIB, as_gib
from flexdan.memory.plan import PlanRow

HEADER = ("configuration", "needs", "verdict", "largest batch", "parameters", "GFLOP/step", "cheapest change that fits")


def cells(row: PlanRow) -> tuple[str, ...]:
    """Return a row of the table under `HEADER`."""
    if row.peak is None:
        return row.name, "", row.verdict, "", "", "", row.note
    change = ""
    if row.verdict == "does not fit" and row.largest_batch is not None:
        change = f"{row.change.text}: {as_gib(row.change_peak or 0)}" if row.change else "none of those that are known"
    return (
        row.name,
        as_gib(row.peak),
        row.verdict,
        str(row.largest_batch),
        f"{(row.parameters or 0) / 1e6:,.2f} M",
        f"{row.gflop or 0:,.0f}",
        change,
    )


def sentence(row: PlanRow) -> str:
    """Return a row in one sentence."""
    _, needs, verdict, batch, parameters, _, change = cells(row)
    if row.peak is None:
        return f"{verdict}: {row.note}"
    largest = "" if row.largest_batch is None else f"; largest batch that fits: {batch}"
    text = f"{verdict}: it needs {needs}, and there are {as_gib(row.memory)} ({parameters} parameters{largest})"
    return text + (f"; cheapest change that fits: {change}" if change else "")


def breakdown_lines(row: PlanRow, modules: int = 10) -> Sequence[str]:
    """Return lines that tell what is in memory at the peak of a step: by kind, and in which parts of the networks."""
    found = row.breakdown
    if found is None:
        return []
    where = f"in the {found.phase} pass" if found.phase != "update" else "in the update of the weights"
    place = f" of {found.module}" if found.module else ""
    lines = [f"The tensors of a step take {as_gib(found.peak)} at their peak, {where}{place}:"]
    lines += [f"  {nbytes / GIB:9.3f} GiB  {kind}" for kind, nbytes in found.kinds.items()]
    shown = list(found.modules.items())[:modules]
    lines.append("The largest parts:")
    lines += [f"  {nbytes / GIB:9.3f} GiB  {module or 'outside of the networks'}" for module, nbytes in shown]
    left = list(found.modules.values())[modules:]
    return [*lines, *([f"  {sum(left) / GIB:9.3f} GiB  {len(left)} others"] if left else [])]
