"""What joins a trial that is trained with its sweep: signs of life, reports, and the words that end it."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError

from flexdan.sweep.storage import is_out_of_reach, patiently
from flexdan.sweep.study import SweepStudy

SIGNS = 8  # of life within the time after which a worker counts as dead
SAFE = 0.75  # of that time, in which nobody else can have taken the trial
PAUSE = 1.0  # seconds between two tries to reach the storage
FAREWELL = 30.0  # seconds to wait for the last sign


class LostError(Exception):
    """Another worker has taken over a trial."""


class Heartbeat:
    """A thread that gives signs of life for a trial, and hears whether the sweep is stopped or the trial is lost.

    Args:
        study: the sweep.
        trial_id: of the attempt.
    """

    def __init__(self, study: SweepStudy, trial_id: int):
        self._study, self._trial_id = study, trial_id
        self._grace = study.definition.grace
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._last = time.monotonic()
        self.lost = self.stopping = False

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join(FAREWELL)

    def _live(self) -> None:
        while not self.lost and not self._end.wait(self._grace / SIGNS):
            with suppress(Exception):  # the storage is out of reach for a while: the next sign may get through
                self._beat()
                self.stopping = self._study.stopping == "epoch"

    def _beat(self) -> None:
        try:
            self._study.beat(self._trial_id)
            self._last = time.monotonic()
        except UpdateFinishedTrialError:
            self.lost = True

    def confirm(self) -> None:
        """Make sure that the trial is still ours, which is to be asked before anything is written.

        While the storage is out of reach for so long that it may not be ours any more, it waits.

        Raises:
            LostError: if it is not.
        """
        while not self.lost:
            try:
                self._beat()
            except Exception as error:
                if not is_out_of_reach(error):
                    raise
            if not self.lost and time.monotonic() - self._last < SAFE * self._grace:
                return
            time.sleep(0 if self.lost else PAUSE)
        raise LostError


class Watch:
    """Reports every epoch of a trial, and says when it is to end.

    Args:
        trial: that is trained.
        study: its sweep.
        heart: beats for it.
        last: epoch, after which there is nothing to end any more.
        ending: whether the worker is asked to end.
        say: gets what is to be told.
    """

    def __init__(
        self,
        trial: optuna.Trial,
        study: SweepStudy,
        heart: Heartbeat,
        last: int,
        ending: Callable[[], bool],
        say: Callable[[str], None],
    ):
        self._trial, self._study, self._heart, self._last, self._ending = trial, study, heart, last, ending
        self._reported: set[int] = set()
        self.say = say
        self.stopped = False
        self.pruned = ""

    def __call__(self, row: Mapping[str, Any]) -> str:
        """Report an epoch, and return why training is to end; empty to go on."""
        self.report([row])
        if row["epoch"] >= self._last:
            return ""
        if self._heart.stopping or self._ending():
            self.stopped = True
            return "the sweep was stopped"
        if self._study.sweep.pruner and self._should_prune():
            self.pruned = f"pruned by {self._study.sweep.pruner.kind} after epoch {row['epoch']}"
        return self.pruned

    def confirm(self) -> None:
        """Make sure that the trial is still ours, before anything is written; see `Heartbeat.confirm`."""
        self._heart.confirm()

    def report(self, history: Iterable[Mapping[str, Any]]) -> None:
        """Report epochs that are not reported yet, as far as the storage is in reach: the result has them all."""
        for row in history:
            value = row.get(self._study.sweep.metric)
            if row["epoch"] in self._reported or not isinstance(value, int | float) or not math.isfinite(value):
                continue
            try:
                patiently(self._trial.report, float(value), row["epoch"], tries=2)
                self._reported.add(row["epoch"])
            except UpdateFinishedTrialError:
                self._heart.lost = True
            except Exception as error:
                if not is_out_of_reach(error):
                    raise

    def _should_prune(self) -> bool:
        try:
            return patiently(self._trial.should_prune, tries=2)
        except Exception as error:
            if not is_out_of_reach(error):
                raise
            return False
