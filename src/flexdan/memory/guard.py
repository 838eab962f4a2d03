"""Training that asks the planner first, and that explains where memory runs out all the same."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import torch

from flexdan.config import RunConfig, UserError
from flexdan.config.errors import RunError
from flexdan.engine import resolve_precision, train
from flexdan.engine.epoch import peak_memory_mib
from flexdan.engine.record import append_event
from flexdan.memory.devices import DEVICES, MIB, Device, as_gib
from flexdan.memory.plan import Planner, PlanRow, resolve_shape
from flexdan.memory.text import sentence

CPU_SHARE = 0.75  # of its memory, that a training may take which nobody asked for by name


def machine(config: RunConfig) -> tuple[Device, int]:
    """Return the class of the device that a training here would use, and its bytes."""
    kind = "cuda" if torch.cuda.is_available() and config.training.device == "auto" else "cpu"
    bf16 = resolve_precision("auto", kind) == "bf16"
    if kind == "cuda":
        return replace(DEVICES["gpu"], bf16=bf16), torch.cuda.get_device_properties(0).total_memory
    return replace(DEVICES["cpu"], bf16=bf16), psutil.virtual_memory().total


def ask_planner(config: RunConfig, memory: int | None = None) -> PlanRow:
    """Return the plan of a training on this machine.

    Args:
        config: with its data.
        memory: bytes that it may use; None: all of the device.
    """
    device, there = machine(config)
    return Planner(device, memory or there).row(config.sn.model_type, resolve_shape(config)[0])


def has_room(config: RunConfig, memory: int | None = None) -> bool:
    """Tell whether a training fits on this machine with a margin, next to whatever else runs there on a CPU.

    Args:
        config: with its data.
        memory: bytes that it may use; None: all of a GPU, `CPU_SHARE` of the memory of a CPU.
    """
    device, there = machine(config)
    free = there if device.name != "cpu" else int(CPU_SHARE * there)
    return Planner(device, memory or free).check(config.sn.model_type, resolve_shape(config)[0]).verdict == "fits"


def train_planned(
    config: RunConfig, folder: Path, *, memory: int | None = None, force: bool = False, **options: Any
) -> list[dict[str, Any]]:
    """Train, where the planner says that it fits: it is asked on a GPU, and elsewhere if a memory is named.

    Args:
        config: the settings.
        folder: the run folder.
        memory: bytes that the training may use; None: all of a GPU.
        force: train also what does not fit.
        options: see `train`.

    Returns:
        The metrics of every epoch.

    Raises:
        UserError: if it does not fit, or data or settings do not allow it.
        RunError: if memory runs out; the record of the run says so, with prediction and measurement.
    """
    row = None
    if not force and (memory or machine(config)[0].name != "cpu"):
        row = ask_planner(config, memory)
        if row.verdict == "does not fit":
            raise UserError(f"{sentence(row)}; --force trains all the same")
    try:
        return train(config, folder, **options)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise RunError(_explain(config, folder, row or _or_none(ask_planner, config, memory), error)) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of torch means that memory has run out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    signs = ("can't allocate memory", "not enough memory", "std::bad_alloc", "could not create a memory object")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)  # the CPU has no type for it


def _or_none(ask: Callable[[RunConfig, int | None], PlanRow], config: RunConfig, memory: int | None) -> PlanRow | None:
    try:
        return ask(config, memory)
    except (RuntimeError, MemoryError, UserError):  # the explanation goes without it then
        return None


def _explain(config: RunConfig, folder: Path, row: PlanRow | None, error: BaseException) -> str:
    """Write the failure into the record of the run, where there is one, and return what the user is told."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    measured = _measure(config)
    record = folder / "record.jsonl"
    if record.is_file():
        predicted = row and {"verdict": row.verdict, "needs_bytes": row.peak, "memory_bytes": row.memory}
        append_event(record, {"event": "out_of_memory", "error": reason, "predicted": predicted, "measured": measured})
    told = ", ".join(f"{name.removesuffix('_bytes').replace('_', ' ')} {as_gib(n)}" for name, n in measured.items())
    text = f"memory ran out ({reason}); measured: {told}"
    if row is None or row.peak is None:
        return f"{text}; see what would fit with `flexdan plan`"
    advice = f"{text}; predicted: {sentence(row)}"
    if row.verdict in ("fits", "tight"):
        advice += (
            "; so something else holds memory, or the plan is wrong: close other programs, make training.batch_size "
            f"smaller than {config.training.batch_size}, or say --training.activation_checkpointing true"
        )
    return advice


def _measure(config: RunConfig) -> dict[str, int]:
    device, total = machine(config)
    if device.name == "cpu":
        used = int(peak_memory_mib(torch.device("cpu")) * MIB)
        return {"peak_of_process_bytes": used, "available_bytes": psutil.virtual_memory().available}
    free, _ = torch.cuda.mem_get_info()
    return {
        "allocated_bytes": torch.cuda.max_memory_allocated(),
        "reserved_bytes": torch.cuda.max_memory_reserved(),
        "free_bytes": free,
        "total_bytes": total,
    }
