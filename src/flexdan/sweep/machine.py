"""Who is alive: workers of this machine by their processes, those of others by their signs of life."""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil


def _machine() -> str:
    """Return a name that only processes that see the same processes share; host names alone may be alike."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8])
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return "/".join(parts)


def this_process() -> dict[str, Any]:
    """Return what tells this process from every other one."""
    started = psutil.Process().create_time()
    return {"host": socket.gethostname(), "machine": _machine(), "pid": os.getpid(), "started": started}


class Lookout:
    """Tells who is dead.

    A worker of this machine is dead when its process is gone. One of another machine is when its last sign of life has
    not changed for so long as this process has watched: the clocks of two machines are never compared.

    Args:
        grace: seconds without a new sign of life.
    """

    def __init__(self, grace: float):
        self._grace = grace
        self._machine = _machine()
        self._seen: dict[int, tuple[Any, float]] = {}

    def is_dead(self, trial_id: int, attrs: Mapping[str, Any]) -> bool:
        """Tell whether the worker of a running attempt is dead, by its user attributes."""
        worker, now = attrs.get("worker"), time.monotonic()
        if worker and worker["machine"] == self._machine and not _runs(worker["pid"], worker["started"]):
            return True
        sign, since = self._seen.setdefault(trial_id, (attrs.get("heartbeat"), now))
        if sign != attrs.get("heartbeat"):
            self._seen[trial_id] = (attrs.get("heartbeat"), now)
            return False
        return now - since > self._grace


def _runs(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
