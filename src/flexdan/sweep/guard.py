"""What the memory planner says of a trial on this machine."""

from collections.abc import Mapping
from typing import Any

from flexdan.config import RunConfig
from flexdan.memory import Device, Planner, PlanRow, find_device, resolve_shape
from flexdan.memory.guard import machine
from flexdan.sweep.definition import Definition

ROUNDING = 1.02  # equal machines say their memory a little differently


class MemoryGuard:
    """Asks the planner about trials, for the memory of this machine.

    Args:
        definition: of the sweep.
        share: how many workers share the memory.
    """

    def __init__(self, definition: Definition, share: int):
        self._definition, self._share = definition, share
        self._planners: dict[tuple[Device, int], Planner] = {}

    def ask(self, config: RunConfig, plan: Mapping[str, Any] | None) -> PlanRow | None:
        """Return the plan of a trial; None if it is not to be planned.

        Args:
            config: of the trial.
            plan: what was found for it when the sweep was made, for the same memory or less.
        """
        if not self._definition.plan:
            return None
        device, memory = device_of(self._definition, config, self._share)
        if plan and plan["device"] == device.name and plan["memory"] <= memory * ROUNDING:
            return PlanRow(
                name="", memory=plan["memory"], verdict="fits", peak=plan["peak"], parameters=plan["weights"]
            )
        planner = self._planners.setdefault((device, memory), Planner(device, memory))
        return planner.check("", resolve_shape(config)[0])


def device_of(definition: Definition, config: RunConfig, share: int) -> tuple[Device, int]:
    """Return the device that the planner is asked about, and its bytes."""
    here, there = machine(config)
    device = find_device(definition.device) if definition.device else here
    memory = definition.memory or (device.memory if definition.device else None)
    return device, memory or there // share
