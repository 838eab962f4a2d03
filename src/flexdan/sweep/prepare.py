"""The trials of a new sweep: planned, and put where workers find them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flexdan.memory import PlanRow, plan_all, resolve_shape
from flexdan.memory.text import sentence
from flexdan.sweep.guard import device_of
from flexdan.sweep.space import cell_name
from flexdan.sweep.study import Slot, SweepStudy

Track = Callable[[Sequence[Any]], Iterable[Any]]


def prepare(study: SweepStudy, share: int, planning: Track = iter, adding: Track = iter) -> list[PlanRow]:
    """Let all trials of a sweep wait that are not there yet; those of a grid that cannot fit are recorded as such.

    Args:
        study: the sweep.
        share: how many workers share the memory of this machine or GPU.
        planning: wraps the configurations that are planned, for a progress bar.
        adding: wraps the trials that are added.

    Returns:
        The plan of each trial that was added; none where they were not planned.

    Raises:
        UserError: if a trial has settings that contradict each other; nothing is added then.
    """
    missing = study.missing()
    if study.sweep.method != "grid":
        study.add(adding([Slot(number=number, params=None, plan={}) for number in missing]))
        return []
    cells = list(study.sweep.cells())
    configs = [(number, study.config(cells[number])) for number in missing]
    if not study.definition.plan or not configs:
        study.add(adding([Slot(number=number, params=cells[number], plan={}) for number in missing]))
        return []
    device, memory = device_of(study.definition, configs[0][1], share)
    named = [(cell_name(cells[number]), resolve_shape(config)[0]) for number, config in configs]
    rows = list(plan_all(named, device, memory, planning, search=False))
    slots = [
        Slot(
            number=number,
            params=cells[number],
            plan={"device": device.name, "memory": memory, "peak": row.peak, "weights": row.parameters},
            infeasible=sentence(row) if row.verdict == "does not fit" else "",
        )
        for number, row in zip(missing, rows, strict=True)
    ]
    study.add(adding(slots))
    return rows
