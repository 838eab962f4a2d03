"""Memory planning: what a training needs, before it is paid for."""

from flexdan.memory.devices import DEVICES, Device, as_gib, find_device, parse_memory, write_device
from flexdan.memory.estimate import Breakdown, break_down, trace_training
from flexdan.memory.guard import ask_planner, has_room, is_out_of_memory, train_planned
from flexdan.memory.plan import Planner, PlanRow, plan_all, resolve_shape

__all__ = [
    "DEVICES",
    "Breakdown",
    "Device",
    "PlanRow",
    "Planner",
    "as_gib",
    "ask_planner",
    "break_down",
    "find_device",
    "has_room",
    "is_out_of_memory",
    "parse_memory",
    "plan_all",
    "resolve_shape",
    "trace_training",
    "train_planned",
    "write_device",
]
