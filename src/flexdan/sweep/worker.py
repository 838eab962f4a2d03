"""A worker: takes one trial after another, trains it, and records what came out."""

import gc
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import torch

from flexdan.config import RunConfig, UserError
from flexdan.config.errors import CannotResumeError, RunError
from flexdan.config.record import read_record
from flexdan.config.trials import is_number
from flexdan.memory import is_out_of_memory, train_planned
from flexdan.memory.text import sentence
from flexdan.sweep.attempts import number_of
from flexdan.sweep.guard import MemoryGuard
from flexdan.sweep.heartbeat import SIGNS, Heartbeat, LostError, Watch
from flexdan.sweep.storage import is_out_of_reach
from flexdan.sweep.study import SweepStudy

Objective = Callable[[RunConfig, Path, Watch], Sequence[Mapping[str, Any]]]
PAUSE = 2.0  # seconds between two looks for a trial while others run; more and more while the storage is out of reach
LONGEST_PAUSE = 60.0


def train_trial(config: RunConfig, folder: Path, watch: Watch) -> Sequence[Mapping[str, Any]]:
    """Train, going on from the last checkpoint where an earlier attempt has left one, and return all epochs.

    Where that cannot go on here exactly, such as on a machine of another precision, the trial begins anew.
    """
    options = {"force": True, "quiet": True, "watch": watch, "before_writing": watch.confirm}
    if (folder / "last.ckpt").is_file():
        try:
            return train_planned(config, folder, resume=True, **options)
        except CannotResumeError as error:
            watch.say(f"it begins anew: {error}")
    return train_planned(config, folder, **options)


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
        ending: whether this worker is asked to end, after the current epoch.
    """

    study: SweepStudy
    folder: Path
    name: str
    share: int = 1
    wait: bool = True
    objective: Objective = train_trial
    say: Callable[[str], None] = print
    ending: Callable[[], bool] = field(default=lambda: False)

    def run(self) -> int:
        """Work until there is nothing left or the sweep is stopped, and return how many trials were begun.

        While the storage is out of reach it waits.
        """
        gc.freeze()  # what is imported stays: to look through it after each trial would take a tenth of a second
        guard = MemoryGuard(self.study.definition, self.share)
        begun, pause = 0, PAUSE
        while not self.ending():
            try:
                if self.study.stopping:
                    break
                if trial := self.study.take(self.name):
                    begun += 1
                    self._run_trial(trial, guard)
                else:
                    waiting, running = self.study.to_do()
                    if not waiting and not (running and self.wait):
                        break
                    time.sleep(min(PAUSE, self.study.definition.grace / SIGNS))  # so that silence is noticed
                pause = PAUSE
            except Exception as error:
                if not is_out_of_reach(error):
                    raise
                self.say(f"the storage is out of reach, the next try is in {pause:.0f} s: {_first_line(error)}")
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        return begun

    def _run_trial(self, trial: optuna.Trial, guard: MemoryGuard) -> None:
        attempt = self.study.storage.get_trial(trial._trial_id)
        number = number_of(attempt)
        begun, before = time.monotonic(), 0.0
        result: dict[str, Any] = {}
        with Heartbeat(self.study, trial._trial_id) as heart:
            try:
                config = self.study.config(self.study.params(attempt))
                row = guard.ask(config, attempt.user_attrs.get("plan"))
                if row is not None:
                    result |= {"predicted_peak": row.peak, "weights": row.parameters, "memory": row.memory}
                if row is not None and row.verdict == "does not fit":
                    result |= {"outcome": "infeasible", "error": f"{sentence(row)}, on {self.name}"}
                else:
                    folder = self.folder / trial_folder(number)
                    earlier = _history(folder)
                    before = sum(epoch.get("seconds", 0.0) for epoch in earlier)
                    watch = Watch(trial, self.study, heart, config.training.num_epochs, self.ending, self.say)
                    watch.report(earlier)
                    result |= self._judge(self.objective(config, folder, watch), watch)
            except LostError:
                self.say(f"trial {number}: another worker has taken over")
                return
            except KeyboardInterrupt:
                self.study.close(trial._trial_id, {"outcome": "given back"})
                raise
            except Exception as error:
                result |= describe_failure(error)
        result["seconds"] = time.monotonic() - begun + before
        self.study.close(trial._trial_id, result)
        self.say(f"trial {number}: {_line(result)}")
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _judge(self, history: Sequence[Mapping[str, Any]], watch: Watch) -> dict[str, Any]:
        """Return the result of a training that has ended without an error."""
        watch.report(history)  # an epoch whose report a dying worker did not get through
        result = summarize(history, self.study.sweep.metric, self.study.sweep.goal)
        if watch.stopped:
            return {"outcome": "given back"}
        if result["value"] is None:
            return {**result, "outcome": "failed", "error": f"{self.study.sweep.metric} was never a finite number"}
        if watch.pruned:
            return {**result, "outcome": "pruned", "error": watch.pruned}
        return {**result, "outcome": "complete"}


def trial_folder(number: int) -> str:
    """Return the run folder of a trial, below that of the sweep."""
    return f"trials/{number:04d}"


def summarize(history: Sequence[Mapping[str, Any]], metric: str, goal: str) -> dict[str, Any]:
    """Return value, epoch and metrics of the best epoch, and the measured peak of all of them."""
    sign = 1 if goal == "max" else -1
    valued = [row for row in history if is_number(row.get(metric))]
    best = max(valued, key=lambda row: sign * row[metric], default=None)
    peaks = [row["peak_memory_mib"] for row in history if is_number(row.get("peak_memory_mib"))]
    return {
        "value": None if best is None else float(best[metric]),
        "epoch": None if best is None else best["epoch"],
        "metrics": {} if best is None else {key: value for key, value in best.items() if is_number(value)},
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


def _line(result: Mapping[str, Any]) -> str:
    if result.get("value") is None:
        return f"{result['outcome']}{': ' * ('error' in result)}{result.get('error', '')}"
    return f"{result['outcome']}, {result['value']:.4f} in epoch {result['epoch']}, {result['seconds']:.0f} s"


def _history(folder: Path) -> list[dict[str, Any]]:
    """Return the epochs of an earlier attempt; none where it left nothing that can be read."""
    if not (folder / "last.ckpt").is_file():
        return []
    try:
        return [event for event in read_record(folder / "record.jsonl") if event["event"] == "epoch"]
    except UserError:  # training says what is wrong with it, if it cannot go on
        return []
