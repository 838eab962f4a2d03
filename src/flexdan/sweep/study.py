"""A sweep in its storage: trials that workers take, each of them once, whatever dies in between.

Optuna's storage keeps the trials. Those of a sweep whose number is known wait in it from the start, with their values
(grid) or without (random, bayes), and a worker takes one by setting it from waiting to running, which only one can. A
trial that a worker has lost or given back is closed, and another attempt at the same one waits in its place.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from flexdan.config import RunConfig, UserError
from flexdan.experiments import Choice
from flexdan.sweep.attempts import AGAIN, STATES, by_trial, given_up, history, is_open, number_of, outcome
from flexdan.sweep.definition import ATTRIBUTE, Definition
from flexdan.sweep.machine import Lookout, this_process
from flexdan.sweep.sampling import build_pruner, build_sampler, distribution, draw
from flexdan.sweep.space import Space, encode
from flexdan.sweep.storage import patiently

Stop = Literal["", "epoch", "trial"]


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A trial of a sweep before it begins.

    Args:
        number: of the trial.
        params: its values; None where they are drawn when it begins.
        plan: what the planner has said; empty if it was not asked.
        infeasible: why it cannot be run; empty if it can.
    """

    number: int
    params: Mapping[str, Any] | None
    plan: Mapping[str, Any]
    infeasible: str = ""


class SweepStudy:
    """A sweep that is there.

    Args:
        storage: holds it.
        name: of the sweep.

    Raises:
        UserError: if there is no such sweep.
    """

    def __init__(self, storage: BaseStorage, name: str):
        self.storage, self.name = storage, name
        missing = UserError(f"the storage has no sweep {name!r}: `flexdan sweep run` makes one")
        try:
            self._id = storage.get_study_id_from_name(name)
        except KeyError:
            raise missing from None
        if (found := storage.get_study_user_attrs(self._id).get(ATTRIBUTE)) is None:
            raise missing
        self.definition = Definition.from_dict(found)
        self.sweep = self.definition.sweep
        self.space = Space(self.sweep, self.definition.small)
        self._lookout = Lookout(self.definition.grace)

    def found(self) -> list[FrozenTrial]:
        """Return all attempts at trials, in the order of their numbers."""
        return self.storage.get_all_trials(self._id, deepcopy=False)

    def attempts(self) -> dict[int, list[FrozenTrial]]:
        """Return the attempts at each trial by its number, oldest first."""
        return by_trial(self.found())

    def params(self, attempt: FrozenTrial) -> dict[str, Any]:
        """Return the values of an attempt by the names of the sweep, in its order; empty before they are drawn."""
        names = [name for name in self.sweep.parameters if name in attempt.params]
        return {name: self.space.decode(name, attempt.params[name]) for name in names}

    def config(self, params: Mapping[str, Any]) -> RunConfig:
        """Return the full settings of a trial."""
        return self.space.config(params)

    def use_manifest(self, manifest: str) -> None:
        """Let this process read another manifest than the one that the sweep names."""
        self.sweep = replace(self.sweep, settings={**self.sweep.settings, "data.manifest": manifest})
        self.space = Space(self.sweep, self.definition.small)

    def keep_manifest(self) -> None:
        """Let all workers from now on read the manifest that this process reads."""
        self.definition = replace(self.definition, sweep=self.sweep)
        self.storage.set_study_user_attr(self._id, ATTRIBUTE, self.definition.to_dict())

    # Making trials

    def missing(self) -> list[int]:
        """Return the numbers of trials that should be there and are not; empty where their number is not known."""
        sweep = self.sweep
        count = min(sweep.size, sweep.run_cap or sweep.size) if sweep.method == "grid" else sweep.run_cap or 0
        there = {number_of(one) for one in self.found()}
        return [number for number in range(count) if number not in there]

    def add(self, slots: Iterable[Slot]) -> None:
        """Let trials wait, or record those that cannot be run."""
        distributions = {name: distribution(space) for name, space in self.sweep.parameters.items()}
        for one in slots:
            attrs: dict[str, Any] = {"slot": one.number, **({"plan": dict(one.plan)} if one.plan else {})}
            if one.infeasible:
                attrs["result"] = {"outcome": "infeasible", "error": one.infeasible}
            params = {
                name: encode(value) if isinstance(self.sweep.parameters[name], Choice) else value
                for name, value in (one.params or {}).items()
            }
            template = create_trial(
                state=STATES["infeasible"] if one.infeasible else TrialState.WAITING,
                params=params,
                distributions={name: distributions[name] for name in params},
                user_attrs=attrs,
            )
            self.storage.create_new_trial(self._id, template)

    def retry_failed(self) -> int:
        """Let all trials wait again that failed, ran out of memory or were infeasible, and return how many."""
        again = [
            attempts[-1]
            for attempts in self.attempts().values()
            if given_up(attempts) or outcome(attempts[-1]) == "infeasible"
        ]
        for attempt in again:
            self._try_again(attempt, {"fresh": True})  # and planned anew, by the worker
        return len(again)

    def _try_again(self, last: FrozenTrial, attrs: Mapping[str, Any]) -> None:
        before = [*history(last), last.number]
        drawn = set(last.params) == set(self.sweep.parameters)  # else its worker died amid the draws: they begin anew
        template = create_trial(
            state=TrialState.WAITING,
            params=last.params if drawn else {},
            distributions=last.distributions if drawn else {},
            user_attrs={"slot": number_of(last), **attrs},
            system_attrs={"failed_trial": before[0], "retry_history": before},
        )
        self.storage.create_new_trial(self._id, template)

    # Taking and closing trials

    def take(self, worker: str) -> optuna.Trial | None:
        """Begin a waiting trial, or a new one where their number is not limited; those that are lost wait again first.

        Args:
            worker: name of who does.

        Returns:
            The trial, with all its values; None if none waits.
        """
        found = self.found()
        if self.rescue(found):
            found = self.found()
        counted = {one._trial_id for attempts in by_trial(found).values() for one in attempts}
        for waiting in found:
            if waiting.state is TrialState.WAITING and self._get(waiting._trial_id, worker):
                if waiting._trial_id in counted:
                    return self._begin(waiting._trial_id, number_of(waiting))
                self.close(waiting._trial_id, {"outcome": "duplicate"})
        if self.sweep.method == "grid" or self.sweep.run_cap:
            return None
        trial_id = self.storage.create_new_trial(self._id)
        self._sign(trial_id, worker)
        return self._begin(trial_id, self.storage.get_trial(trial_id).number)

    def _get(self, trial_id: int, worker: str) -> bool:
        """Set a trial from waiting to running, which only one worker can."""
        with suppress(UpdateFinishedTrialError):
            if self.storage.set_trial_state_values(trial_id, state=TrialState.RUNNING):
                self._sign(trial_id, worker)
                return True
        return False

    def _sign(self, trial_id: int, worker: str) -> None:
        self.storage.set_trial_user_attr(trial_id, "worker", {"name": worker, **this_process()})
        self.beat(trial_id)

    def beat(self, trial_id: int) -> None:
        """Give a sign of life.

        Raises:
            UpdateFinishedTrialError: if the trial counts as lost.
        """
        self.storage.set_trial_user_attr(trial_id, "heartbeat", time.time())

    def _begin(self, trial_id: int, number: int) -> optuna.Trial:
        """Return Optuna's trial, with its values, in a study of its own, since a study keeps what it has read."""
        study = optuna.load_study(
            study_name=self.name,
            storage=self.storage,
            sampler=build_sampler(self.sweep, number),
            pruner=build_pruner(self.sweep),
        )
        trial = optuna.Trial(study, trial_id)
        draw(trial, self.sweep)
        return trial

    def close(self, trial_id: int, result: Mapping[str, Any]) -> None:
        """Record what came out of an attempt, unless it counts as lost; if it was given back, let another one wait.

        Args:
            trial_id: of the attempt.
            result: `outcome`, `value` where there is one, and what else is to be known.
        """
        with suppress(UpdateFinishedTrialError):
            patiently(self.storage.set_trial_user_attr, trial_id, "result", dict(result))
            patiently(self._set_state, trial_id, result)
        if result["outcome"] == "given back":
            patiently(lambda: self.rescue(self.found()))

    def _set_state(self, trial_id: int, result: Mapping[str, Any]) -> None:
        state, value = STATES.get(result["outcome"], TrialState.FAIL), result.get("value")
        values = None if value is None or state is TrialState.FAIL else [value]
        self.storage.set_trial_state_values(trial_id, state=state, values=values)

    def rescue(self, found: Sequence[FrozenTrial]) -> bool:
        """Let the trials of dead workers wait again, and those that were given back; tell whether there were any.

        Each step leaves the storage such that the next call, of whichever worker, goes on from there.

        Args:
            found: all attempts.
        """
        running = [one for one in found if one.state is TrialState.RUNNING]
        dead = self._lookout.dead({one._trial_id: one.user_attrs for one in running})
        for one in running:
            if one._trial_id in dead:
                with suppress(UpdateFinishedTrialError):
                    self._set_state(one._trial_id, one.user_attrs.get("result") or {"outcome": "lost"})
        attempts = list((by_trial(self.found()) if dead else by_trial(found)).values())
        again = [those[-1] for those in attempts if outcome(those[-1]) in AGAIN and is_open(those)]
        for last in again:
            self._try_again(last, {"plan": last.user_attrs["plan"]} if "plan" in last.user_attrs else {})
        return bool(dead or again)

    def to_do(self) -> tuple[bool, bool]:
        """Tell whether trials wait to be taken, those of dead workers included, and whether some are running."""
        last = [outcome(attempts[-1]) for attempts in self.attempts().values() if is_open(attempts)]
        return any(one != "running" for one in last), "running" in last

    # All workers

    def stop(self, how: Stop) -> None:
        """Ask all workers to stop after the current epoch or trial; empty: to go on."""
        self.storage.set_study_user_attr(self._id, "stop", how)

    @property
    def stopping(self) -> Stop:
        """How workers are asked to stop."""
        return self.storage.get_study_user_attrs(self._id).get("stop", "")
