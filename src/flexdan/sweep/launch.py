"""Workers of this machine: where each computes, and their processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flexdan.config import UserError

MAX_RESTARTS = 3  # of each worker that died
FAREWELL = 120  # seconds in which a worker can end its epoch


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
        raise UserError(f"--workers is {count}, but must be 1 to {max(cores, len(gpus))}, the cores of this machine")
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
    restarts: int = 0


@dataclass
class Crew:
    """The worker processes of this machine.

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
        self._members = [_Member(place, self._start(place)) for place in where]

    def _start(self, place: Place) -> subprocess.Popen:
        threads = str(place.threads)
        environment = {**os.environ, **self.environment, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        if place.gpu:
            environment["CUDA_VISIBLE_DEVICES"] = place.gpu
        command = [sys.executable, "-m", "flexdan", "sweep", "worker", str(self.folder), "--worker", place.name]
        command += ["--share", str(place.share), "--threads", threads]
        log = self.log(place)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            return subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment
            )

    def log(self, place: Place) -> Path:
        """Return the file with the output of the worker at a place."""
        return self.folder / "workers" / f"{place.name}.log"

    def working(self) -> bool:
        """Tell whether a worker is at work; one that has died is started again, a few times."""
        for member in self._members:
            code = member.process.poll()
            if code in (None, 0) or member.restarts > MAX_RESTARTS:
                continue
            member.restarts += 1
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            if member.restarts > MAX_RESTARTS:
                self.say(f"worker {member.place.name} {how}, and is not started again; see {self.log(member.place)}")
                continue
            self.say(f"worker {member.place.name} {how}; it is started again; see {self.log(member.place)}")
            member.process = self._start(member.place)
        return any(member.process.poll() is None for member in self._members)

    @property
    def failed(self) -> bool:
        """Whether a worker has died too often."""
        return any(member.restarts > MAX_RESTARTS for member in self._members)

    def dismiss(self) -> None:
        """Let all workers give their trials back, and wait for them; those that take too long are killed."""
        for member in self._members:
            if member.process.poll() is None:
                member.process.send_signal(signal.SIGTERM)
        for member in self._members:
            try:
                member.process.wait(FAREWELL)
            except subprocess.TimeoutExpired:
                member.process.kill()
