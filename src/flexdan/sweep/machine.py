"""Who is alive: workers of this machine by their processes, those of others by their signs of life."""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil


def this_process() -> dict[str, Any]:
    """Return what tells this process from every other one."""
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": os.getpid(),
        "started": _started(os.getpid()),
    }


def _machine() -> str:
    """Return a name that only processes that see the same processes share; host names alone may be alike."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8])
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return "/".join(parts)


def _started(pid: int) -> float | None:
    """Return when a process began, on Linux in ticks since the boot, which no setting of the clock changes.

    None if there is no such process, or it has ended and only its parent does not know yet.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # from the third on, see proc(5)
        return None if fields[0] in "ZX" else float(fields[19])
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    try:  # not Linux
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


class Lookout:
    """Tells who is dead.

    A worker of this machine is dead when its process is gone. Any worker is when its last sign of life has not changed
    for so long as this process has watched without a break: the clocks of two machines are never compared.

    Args:
        grace: seconds without a new sign of life.
    """

    def __init__(self, grace: float):
        self._grace = grace
        self._machine = _machine()
        self._last_look = -float("inf")
        self._seen: dict[int, tuple[Any, float]] = {}

    def dead(self, running: Mapping[int, Mapping[str, Any]]) -> set[int]:
        """Return the running attempts whose workers are dead.

        Args:
            running: the user attributes of all running attempts, by their id.
        """
        now = time.monotonic()
        if now - self._last_look > self._grace / 4:
            self._seen = {}  # signs may have come and gone in between, or none could
        self._last_look = now
        signs = {one: attrs.get("heartbeat") for one, attrs in running.items()}
        self._seen = {one: self._since(one, sign, now) for one, sign in signs.items()}
        return {one for one, attrs in running.items() if now - self._seen[one][1] > self._grace or self._is_gone(attrs)}

    def _since(self, one: int, sign: Any, now: float) -> tuple[Any, float]:
        before = self._seen.get(one)
        return before if before and before[0] == sign else (sign, now)

    def _is_gone(self, attrs: Mapping[str, Any]) -> bool:
        worker = attrs.get("worker")
        if worker is None or worker["machine"] != self._machine:
            return False
        return _started(worker["pid"]) != worker["started"]
