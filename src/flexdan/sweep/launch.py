"""Workers of this machine: where each computes, and their processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flexdan.config import UserError

MAX_RESTARTS = 3  # of a worker that dies soon after its start, again and again
LONG_LIFE = 60.0  # seconds after which a death is not soon
RESTART = 1.0  # seconds to wait before a worker is started again, twice as long each time
USERS_MISTAKE = 2  # exit code, which would come again


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one worker computes.

    Args:
        name: of the worker.
        gpu: that it sees, as in CUDA_VISIBLE_DEVICES; empty: none.
        share: how many workers share the memory there.
        threads: that it computes with on the CPU.
    """

    name: str
    gpu: str
    share: int
    threads: int


def places(workers: int | None, gpus: Sequence[str], cores: int, host: str) -> list[Place]:
    """Return where the workers of a machine compute: one on each GPU by default, and one on a CPU without GPUs.

    Args:
        workers: how many; None: see above.
        gpus: of the machine, as in CUDA_VISIBLE_DEVICES.
        cores: of the machine, which the workers divide evenly.
        host: name of the machine.

    Raises:
        UserError: for fewer than one worker, or more than cores.
    """
    count = max(len(gpus), 1) if workers is None else workers
    if not 1 <= count <= max(cores, len(gpus)):
        raise UserError(f"--workers is {count}, but this machine has {cores} cores: at most one for each")
    found = []
    for number in range(count):
        gpu = gpus[number % len(gpus)] if gpus else ""
        share = sum(gpus[other % len(gpus)] == gpu for other in range(count)) if gpus else count
        found.append(Place(name=f"{host}-{number + 1}", gpu=gpu, share=share, threads=max(cores // count, 1)))
    return found


def visible_gpus() -> list[str]:
    """Return the GPUs of this machine that this process may use, as in CUDA_VISIBLE_DEVICES."""
    import torch

    count = torch.cuda.device_count()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named[:count] if named else [str(number) for number in range(count)]


@dataclass
class _Member:
    place: Place
    process: subprocess.Popen
    started: float
    deaths: int = 0  # in a row, soon after the start
    again: float | None = None  # when it is started again


@dataclass
class Crew:
    """The worker processes of this machine.

    They have process groups of their own, so that Ctrl-C in a terminal reaches the one who watches them alone.

    Args:
        folder: of the sweep; the workers' output is kept in its `workers` folder.
        environment: variables for all of them.
        say: gets a line when a worker has died.
    """

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    say: Callable[[str], None] = print
    _members: list[_Member] = field(default_factory=list)

    def start(self, where: Sequence[Place]) -> None:
        """Start a worker at every place."""
        for place in where:
            self._members.append(_Member(place, self._start(place), time.monotonic()))

    def _start(self, place: Place) -> subprocess.Popen:
        threads = str(place.threads)
        environment = {**os.environ, **self.environment, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        if place.gpu:
            environment["CUDA_VISIBLE_DEVICES"] = place.gpu
        command = [sys.executable, "-m", "flexdan", "sweep", "worker", str(self.folder), "--worker", place.name]
        command += ["--share", str(place.share), "--threads", threads]
        log = self.log(place)
        log.parent.mkdir(parents=True, exist_ok=True)
        none, same = subprocess.DEVNULL, subprocess.STDOUT
        with log.open("ab") as file:
            return subprocess.Popen(command, stdin=none, stdout=file, stderr=same, env=environment, process_group=0)

    def log(self, place: Place) -> Path:
        """Return the file with the output of the worker at a place."""
        return self.folder / "workers" / f"{place.name}.log"

    def working(self) -> bool:
        """Tell whether a worker is at work or will be; one that has died is started again, unless it dies at once."""
        now = time.monotonic()
        for member in self._members:
            code = member.process.poll()
            if member.again is not None and now >= member.again:
                member.process, member.started, member.again = self._start(member.place), now, None
            elif member.again is None and code not in (None, 0) and member.deaths <= MAX_RESTARTS:
                self._mourn(member, code, now)
        return any(member.again is not None or member.process.poll() is None for member in self._members)

    def _mourn(self, member: _Member, code: int, now: float) -> None:
        member.deaths = member.deaths + 1 if now - member.started < LONG_LIFE else 1
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        log = f"see {self.log(member.place)}"
        if code == USERS_MISTAKE or member.deaths > MAX_RESTARTS:
            member.deaths = MAX_RESTARTS + 1
            self.say(f"worker {member.place.name} {how}, and is not started again; {log}")
            return
        member.again = now + RESTART * 2 ** (member.deaths - 1)
        self.say(f"worker {member.place.name} {how}; it is started again; {log}")

    @property
    def failed(self) -> bool:
        """Whether a worker has died too often."""
        return any(member.deaths > MAX_RESTARTS for member in self._members)

    def end(self) -> None:
        """Ask all workers to give their trials back: after the epoch, and at once when they are asked again."""
        for member in self._members:
            member.again = None
            if member.process.poll() is None:
                member.process.terminate()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until all workers have ended; kill those that have not after so many seconds."""
        end = None if seconds is None else time.monotonic() + seconds
        for member in self._members:
            try:
                member.process.wait(None if end is None else max(end - time.monotonic(), 0.0))
            except subprocess.TimeoutExpired:
                member.process.kill()
                member.process.wait()
