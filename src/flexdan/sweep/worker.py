"""A worker: takes one trial after another, trains it, and records what came out."""

import gc
import math
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.exceptions import UpdateFinishedTrialError

from flexdan.config import RunConfig, UserError
from flexdan.config.errors import RunError
from flexdan.config.record import read_record
from flexdan.memory import Planner, PlanRow, find_device, is_out_of_memory, resolve_shape, train_planned
from flexdan.memory.guard import machine
from flexdan.memory.text import sentence
from flexdan.sweep.storage import patiently
from flexdan.sweep.study import SweepStudy, slot

Watch = Callable[[dict[str, Any]], str]
Objective = Callable[[RunConfig, Path, Watch], Sequence[Mapping[str, Any]]]
PAUSE = 2.0  # seconds between two looks for a trial while others run
SIGNS = 8  # of life within the time after which a worker counts as dead
STOPPED, LOST = "the sweep was stopped", "another worker has taken over"


def train_trial(config: RunConfig, folder: Path, watch: Watch) -> Sequence[Mapping[str, Any]]:
    """Train, going on from the last checkpoint where an earlier attempt has left one, and return all epochs."""
    resume = (folder / "last.ckpt").is_file()
    return train_planned(config, folder, force=True, resume=resume, quiet=True, watch=watch)


@dataclass(frozen=True, kw_only=True)
class Worker:
    """Takes trials of a sweep.

    Args:
        study: the sweep.
        folder: gets a run folder for each trial below `trials`.
        name: of this worker.
        share: how many workers share the memory of this machine or GPU.
        wait: stay while others run trials, to take over those that they lose.
        objective: trains.
        say: gets a line for each trial.
    """

    study: SweepStudy
    folder: Path
    name: str
    share: int = 1
    wait: bool = True
    objective: Objective = train_trial
    say: Callable[[str], None] = print

    def run(self) -> int:
        """Work until there is nothing left or the sweep is stopped, and return how many trials were begun."""
        gc.freeze()  # what is imported stays: to look through it after each trial would take a tenth of a second
        guard = MemoryGuard(self.study, self.share)
        begun = 0
        while not self.study.stopping:
            self.study.rescue()
            trial = self.study.take(self.name)
            if trial is not None:
                begun += 1
                self._run_trial(trial, guard)
            elif self.wait and self.study.frozen(optuna.trial.TrialState.RUNNING):
                time.sleep(PAUSE)
            else:
                break
        return begun

    def _run_trial(self, trial: optuna.Trial, guard: "MemoryGuard") -> None:
        frozen = self.study.storage.get_trial(trial._trial_id)
        number, params = slot(frozen), self.study.params(frozen)
        folder = self.folder / trial_folder(number)
        earlier, begun = _history(folder), time.monotonic()
        result: dict[str, Any] = {"outcome": "failed"}
        with Heartbeat(self.study, trial._trial_id) as heart:
            try:
                config = self.study.config(params)
                row = guard.ask(config, frozen.user_attrs.get("plan"))
                if row is not None:
                    result |= {"predicted_peak": row.peak, "parameters": row.parameters}
                if row is not None and row.verdict == "does not fit":
                    result |= {"outcome": "infeasible", "error": f"{sentence(row)}, on {self.name}"}
                else:
                    watch = _Watch(trial, self.study, heart, config.training.num_epochs, earlier)
                    result |= self._judge(self.objective(config, folder, watch), watch)
            except KeyboardInterrupt:
                if not heart.lost:
                    self.study.close(trial._trial_id, {"outcome": "given back"})
                    raise
            except Exception as error:
                result |= describe_failure(error)
        if heart.lost:
            self.say(f"trial {number}: {LOST}")
            return
        result["seconds"] = time.monotonic() - begun + sum(row.get("seconds", 0.0) for row in earlier)
        self.study.close(trial._trial_id, result)
        self.say(f"trial {number}: {_line(result)}")
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _judge(self, history: Sequence[Mapping[str, Any]], watch: "_Watch") -> dict[str, Any]:
        """Return the result of a training that has ended without an error."""
        result = summarize(history, self.study.sweep.metric, self.study.sweep.goal)
        if watch.told == STOPPED:
            return {"outcome": "given back"}
        if result["value"] is None:
            return {**result, "outcome": "failed", "error": f"{self.study.sweep.metric} was never a finite number"}
        if watch.told:
            return {**result, "outcome": "pruned", "error": watch.told}
        return {**result, "outcome": "complete"}


def trial_folder(number: int) -> str:
    """Return the run folder of a trial, below that of the sweep."""
    return f"trials/{number:04d}"


def summarize(history: Sequence[Mapping[str, Any]], metric: str, goal: str) -> dict[str, Any]:
    """Return value, epoch and metrics of the best epoch, and the measured peak of all of them."""
    sign = 1 if goal == "max" else -1
    valued = [row for row in history if _is_number(row.get(metric))]
    best = max(valued, key=lambda row: sign * row[metric], default=None)
    peaks = [row["peak_memory_mib"] for row in history if _is_number(row.get("peak_memory_mib"))]
    return {
        "value": None if best is None else float(best[metric]),
        "epoch": None if best is None else best["epoch"],
        "metrics": {} if best is None else {key: value for key, value in best.items() if _is_number(value)},
        "measured_peak": int(max(peaks) * 2**20) if peaks else None,
    }


def describe_failure(error: Exception) -> dict[str, Any]:
    """Return the part of a result that tells of an error."""
    if is_out_of_memory(error) or is_out_of_memory(error.__cause__ or error):
        return {"outcome": "out of memory", "error": _first_line(error)}
    if isinstance(error, UserError | RunError):
        return {"outcome": "failed", "error": _first_line(error)}
    text = "".join(traceback.format_exception(error))
    return {"outcome": "failed", "error": f"{type(error).__name__}: {_first_line(error)}", "traceback": text}


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _line(result: Mapping[str, Any]) -> str:
    if result.get("value") is None:
        return f"{result['outcome']}{': ' * ('error' in result)}{result.get('error', '')}"
    return f"{result['outcome']}, {result['value']:.4f} in epoch {result['epoch']}, {result['seconds']:.0f} s"


def _history(folder: Path) -> list[dict[str, Any]]:
    """Return the epochs of an earlier attempt."""
    if not (folder / "last.ckpt").is_file():
        return []
    return [event for event in read_record(folder / "record.jsonl") if event["event"] == "epoch"]


class _Watch:
    """Reports every epoch of a trial, and says when it is to end.

    Args:
        trial: that is trained.
        study: its sweep.
        heart: beats for it.
        last: epoch, after which there is nothing to end any more.
        history: epochs of earlier attempts.
    """

    def __init__(
        self,
        trial: optuna.Trial,
        study: SweepStudy,
        heart: "Heartbeat",
        last: int,
        history: Sequence[Mapping[str, Any]],
    ):
        self._trial, self._study, self._heart, self._last = trial, study, heart, last
        self.told = ""
        for row in history:
            self._report(row)

    def __call__(self, row: dict[str, Any]) -> str:
        self._report(row)
        if self._heart.lost:
            self.told = LOST
        elif row["epoch"] >= self._last:
            self.told = ""
        elif self._heart.stopping:
            self.told = STOPPED
        elif self._study.sweep.pruner and patiently(self._trial.should_prune):
            self.told = f"pruned by {self._study.sweep.pruner.kind} after epoch {row['epoch']}"
        return self.told

    def _report(self, row: Mapping[str, Any]) -> None:
        value = row.get(self._study.sweep.metric)
        if _is_number(value):
            with suppress(UpdateFinishedTrialError):  # lost: the heart will tell
                patiently(self._trial.report, float(value or 0.0), row["epoch"])


class Heartbeat:
    """A thread that gives signs of life for a trial, and hears whether the sweep is stopped or the trial is lost.

    Args:
        study: the sweep.
        trial_id: of the attempt.
    """

    def __init__(self, study: SweepStudy, trial_id: int):
        self._study, self._trial_id = study, trial_id
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self.lost = self.stopping = False

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._end.wait(self._study.definition.grace / SIGNS):
            try:
                self._study.beat(self._trial_id)
                self.stopping = self._study.stopping == "epoch"
            except UpdateFinishedTrialError:
                self.lost = True
                return
            except Exception:  # the storage is out of reach for a while: the next sign may get through
                continue


class MemoryGuard:
    """Asks the planner about trials, for the memory of this machine.

    Args:
        study: the sweep.
        share: how many workers share the memory.
    """

    def __init__(self, study: SweepStudy, share: int):
        self._definition, self._share = study.definition, share
        self._planners: dict[tuple, Planner] = {}

    def ask(self, config: RunConfig, plan: Mapping[str, Any] | None) -> PlanRow | None:
        """Return the plan of a trial; None if it is not to be planned.

        Args:
            config: of the trial.
            plan: what was found for it when the sweep was made, for the same memory or less.
        """
        if not self._definition.plan:
            return None
        device, memory = device_of(self._definition, config, self._share)
        if plan and plan["device"] == device.name and plan["memory"] <= memory * 1.02:
            return PlanRow(
                name="", memory=plan["memory"], verdict="fits", peak=plan["peak"], parameters=plan["parameters"]
            )
        planner = self._planners.setdefault((device, memory), Planner(device, memory))
        return planner.check("", resolve_shape(config)[0])


def device_of(definition: Any, config: RunConfig, share: int) -> tuple[Any, int]:
    """Return the device that the planner is asked about, and its bytes."""
    here, there = machine(config)
    device = find_device(definition.device) if definition.device else here
    memory = definition.memory or (device.memory if definition.device else there // share) or there // share
    return device, memory
