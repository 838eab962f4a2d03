"""A sweep in its storage: trials that workers take, each of them once, whatever dies in between.

Optuna's storage keeps the trials. Those of a sweep whose number is known wait in it from the start, with their values
(grid) or without (random, bayes), and a worker takes one by setting it from waiting to running, which only one can. A
trial that a worker has lost or given back is closed, and another attempt at the same one waits in its place.
"""

import time
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from flexdan.config import RunConfig, UserError
from flexdan.experiments import Choice, Pruner, Range, Sweep
from flexdan.sweep.machine import Lookout, this_process
from flexdan.sweep.space import Space, decode, encode
from flexdan.sweep.storage import patiently

Outcome = Literal["complete", "pruned", "infeasible", "out of memory", "failed", "given back", "duplicate"]
STATES = {  # of Optuna; pruned ones are those from which the sampler of bayes learns what to avoid
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "infeasible": TrialState.PRUNED,
    "out of memory": TrialState.PRUNED,
}
AGAIN = ("lost", "given back")  # outcomes of attempts after which another one waits
MAX_LOST = 3  # workers that may die in one trial
DEFINITION = "flexdan"  # the user attribute of a study that tells workers what it is


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What every worker must know of a sweep.

    Args:
        sweep: what is tried.
        small: at smoke scale.
        plan: ask the memory planner before a trial.
        memory: bytes that a trial may use; None: what each machine has.
        device: class of the device for the planner; empty: that of each machine.
        manifest_sha256: of the data of all trials; empty where they differ.
        grace: seconds without a sign of life after which a worker counts as dead.
    """

    sweep: Sweep
    small: bool = False
    plan: bool = True
    memory: int | None = None
    device: str = ""
    manifest_sha256: str = ""
    grace: float = 120.0

    def to_dict(self) -> dict[str, Any]:
        """Return it as values that JSON holds."""
        return {**asdict(self), "sweep": self.sweep.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Definition":
        """Return what `to_dict` was called on."""
        return cls(**{**values, "sweep": Sweep.from_dict(values["sweep"])})


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A trial of a sweep before it begins.

    Args:
        number: of the trial.
        params: its values; None where they are drawn when it begins.
        plan: what the planner has said, for the user attributes; empty if it was not asked.
        infeasible: why it cannot be run; empty if it can.
    """

    number: int
    params: Mapping[str, Any] | None
    plan: Mapping[str, Any]
    infeasible: str = ""


def create_sweep(storage: BaseStorage, name: str, definition: Definition) -> None:
    """Put a sweep into a storage, or check that it is there already.

    Raises:
        UserError: if another one of that name is there.
    """
    direction = StudyDirection.MAXIMIZE if definition.sweep.goal == "max" else StudyDirection.MINIMIZE
    try:
        number = storage.create_new_study([direction], name)
    except DuplicatedStudyError:
        number = storage.get_study_id_from_name(name)
        found = storage.get_study_user_attrs(number).get(DEFINITION)
        if found is not None and (told := _difference(Definition.from_dict(found), definition)):
            raise UserError(
                f"there is another sweep {name!r} already, with {told}: repeat the command as it was, or name another "
                "folder with -o (and, in a database, another --name)"
            ) from None
    storage.set_study_user_attr(number, DEFINITION, definition.to_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.load_study(study_name=name, storage=storage)
        study.set_metric_names([definition.sweep.metric])  # which Optuna's dashboard shows


def _difference(old: Definition, new: Definition) -> str:
    """Return what differs in a way that would mix different trials; empty if nothing does."""
    if old.small != new.small:
        return f"scale {'smoke' if old.small else 'full'}"
    before, after = (one.sweep.to_dict() for one in (old, new))
    for key in ("method", "metric", "seed", "pruner"):
        if before[key] != after[key]:
            return f"{key} {before[key]!r}, not {after[key]!r}"
    for key in ("parameters", "settings"):
        for name in {**before[key], **after[key]}:
            one, other = _plain(before[key].get(name)), _plain(after[key].get(name))
            if one != other and name != "data.manifest":
                return f"{name} {one!r}, not {other!r}"
    if old.manifest_sha256 != new.manifest_sha256:
        return "other data"
    return ""


def _plain(value: Any) -> Any:
    """Return a value as it comes back from JSON."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


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
        try:
            self._id = storage.get_study_id_from_name(name)
            self.definition = Definition.from_dict(storage.get_study_user_attrs(self._id)[DEFINITION])
        except KeyError:
            raise UserError(f"the storage has no sweep {name!r}: `flexdan sweep run` makes one") from None
        self.sweep = self.definition.sweep
        self.space = Space(self.sweep, self.definition.small)
        self._lookout = Lookout(self.definition.grace)

    # Trials

    def frozen(self, *states: TrialState) -> list[FrozenTrial]:
        """Return all attempts at trials, or those in some states, in the order of their numbers."""
        return self.storage.get_all_trials(self._id, deepcopy=False, states=states or None)

    def attempts(self) -> dict[int, list[FrozenTrial]]:
        """Return the attempts at each trial by its number, oldest first, but for duplicates."""
        found: dict[int, list[FrozenTrial]] = defaultdict(list)
        for one in self.frozen():
            if outcome(one) != "duplicate":
                found[slot(one)].append(one)
        return dict(found)

    def params(self, frozen: FrozenTrial) -> dict[str, Any]:
        """Return the values of an attempt by the names of the sweep, in its order; empty before they are drawn."""
        return {
            name: decode(space, frozen.params[name])
            for name, space in self.sweep.parameters.items()
            if name in frozen.params
        }

    def missing(self) -> list[int]:
        """Return the numbers of trials that should be there and are not; empty where their number is not known."""
        there = {slot(one) for one in self.frozen()}
        return [number for number in range(len(self._planned())) if number not in there]

    def _planned(self) -> "range | list[dict[str, Any]]":
        if self.sweep.method == "grid":
            return list(self.sweep.cells())
        return range(self.sweep.run_cap or 0)

    def add(self, slots: Iterable[Slot]) -> None:
        """Let trials wait, or record those that cannot be run."""
        for one in slots:
            attrs: dict[str, Any] = {"slot": one.number, **({"plan": dict(one.plan)} if one.plan else {})}
            if one.infeasible:
                attrs["result"] = {"outcome": "infeasible", "error": one.infeasible}
            params = {name: self._encoded(name, value) for name, value in (one.params or {}).items()}
            template = create_trial(
                state=STATES["infeasible"] if one.infeasible else TrialState.WAITING,
                params=params,
                distributions={name: self.distribution(name) for name in params},
                user_attrs=attrs,
            )
            self.storage.create_new_trial(self._id, template)

    def take(self, worker: str) -> optuna.Trial | None:
        """Begin a waiting trial, or a new one where their number is not limited.

        Args:
            worker: name of who does.

        Returns:
            The trial, with all its values; None if none waits.
        """
        for waiting in self.frozen(TrialState.WAITING):
            try:
                if self.storage.set_trial_state_values(waiting._trial_id, state=TrialState.RUNNING):
                    self._sign(waiting._trial_id, worker)
                    if not self._is_duplicate(waiting):
                        return self._begin(waiting._trial_id, slot(waiting))
                    self.close(waiting._trial_id, {"outcome": "duplicate"})
            except UpdateFinishedTrialError:
                continue
        if self.sweep.method == "grid" or self.sweep.run_cap:
            return None
        number = self.storage.create_new_trial(self._id)
        self._sign(number, worker)
        return self._begin(number, self.storage.get_trial(number).number)

    def _sign(self, trial_id: int, worker: str) -> None:
        self.storage.set_trial_user_attr(trial_id, "worker", {"name": worker, **this_process()})
        self.beat(trial_id)

    def beat(self, trial_id: int) -> None:
        """Give a sign of life.

        Raises:
            UpdateFinishedTrialError: if the trial counts as lost.
        """
        self.storage.set_trial_user_attr(trial_id, "heartbeat", time.time())

    def _is_duplicate(self, taken: FrozenTrial) -> bool:
        """Tell whether two workers have put an attempt in the same place; only the first of them counts."""
        place = (slot(taken), taken.system_attrs.get("retry_history"))
        earlier = self.frozen()[: taken.number]
        return any((slot(one), one.system_attrs.get("retry_history")) == place for one in earlier)

    def _begin(self, trial_id: int, number: int) -> optuna.Trial:
        trial = optuna.Trial(self.load(number), trial_id)
        for name, space in self.sweep.parameters.items():
            if isinstance(space, Choice):
                trial.suggest_categorical(name, [encode(space, value) for value in space.values])
            elif space.integer:
                trial.suggest_int(name, int(space.low), int(space.high), step=int(space.step or 1), log=space.log)
            else:
                trial.suggest_float(name, space.low, space.high, step=space.step, log=space.log)
        return trial

    def close(self, trial_id: int, result: Mapping[str, Any]) -> None:
        """Record what came out of an attempt; if it was given back, let another one wait.

        Args:
            trial_id: of the attempt.
            result: `outcome`, `value` where there is one, and what else is to be known.
        """
        try:
            patiently(self.storage.set_trial_user_attr, trial_id, "result", dict(result))
            patiently(self._set_state, trial_id, result)
        except UpdateFinishedTrialError:
            return  # it counts as lost: another attempt is on its way
        if result["outcome"] == "given back":
            self.rescue()

    def _set_state(self, trial_id: int, result: Mapping[str, Any]) -> None:
        state, value = STATES.get(result["outcome"], TrialState.FAIL), result.get("value")
        values = None if value is None or state is TrialState.FAIL else [value]
        self.storage.set_trial_state_values(trial_id, state=state, values=values)

    def rescue(self) -> None:
        """Let the trials of dead workers wait again, those that were given back too.

        Each step leaves the storage such that the next call, of whichever worker, goes on from there.
        """
        for running in self.frozen(TrialState.RUNNING):
            if self._lookout.is_dead(running._trial_id, running.user_attrs):
                try:
                    self._set_state(running._trial_id, running.user_attrs.get("result") or {"outcome": "lost"})
                except UpdateFinishedTrialError:
                    continue
        for number, attempts in self.attempts().items():
            last = attempts[-1]
            if outcome(last) in AGAIN and not given_up(attempts):
                self._try_again(number, last)

    def _try_again(self, number: int, last: FrozenTrial, fresh: bool = False) -> None:
        attrs: dict[str, Any] = {"slot": number, **({"fresh": True} if fresh else {})}
        if "plan" in last.user_attrs:
            attrs["plan"] = last.user_attrs["plan"]
        history = [*last.system_attrs.get("retry_history", []), last.number]  # as Optuna's own retries have it
        template = create_trial(
            state=TrialState.WAITING,
            params=last.params,
            distributions=last.distributions,
            user_attrs=attrs,
            system_attrs={"failed_trial": history[0], "retry_history": history},
        )
        self.storage.create_new_trial(self._id, template)

    def retry_failed(self) -> int:
        """Let all trials wait again that failed or ran out of memory, and return how many."""
        last = {number: attempts[-1] for number, attempts in self.attempts().items() if given_up(attempts)}
        for number, attempt in last.items():
            self._try_again(number, attempt, fresh=True)
        return len(last)

    # The sweep as a whole

    def stop(self, how: Literal["", "epoch", "trial"]) -> None:
        """Ask all workers to stop after the current epoch or trial; empty: to go on."""
        self.storage.set_study_user_attr(self._id, "stop", how)

    @property
    def stopping(self) -> Literal["", "epoch", "trial"]:
        """How workers are asked to stop."""
        return self.storage.get_study_user_attrs(self._id).get("stop", "")

    def use_manifest(self, manifest: str) -> None:
        """Let this process read another manifest than the one that the sweep names."""
        self.sweep = replace(self.sweep, settings={**self.sweep.settings, "data.manifest": manifest})
        self.space = Space(self.sweep, self.definition.small)

    def config(self, params: Mapping[str, Any]) -> RunConfig:
        """Return the full settings of a trial."""
        return self.space.config(params)

    # Optuna's parts

    def load(self, number: int = 0) -> optuna.Study:
        """Return Optuna's study as it is now, for one trial: a study keeps what it has read of the others."""
        pruner, sampler = build_pruner(self.sweep.pruner, self.sweep), self._build_sampler(number)
        return optuna.load_study(study_name=self.name, storage=self.storage, sampler=sampler, pruner=pruner)

    def distribution(self, name: str) -> BaseDistribution:
        """Return the values of a parameter as Optuna has them."""
        space = self.sweep.parameters[name]
        if isinstance(space, Choice):
            return CategoricalDistribution([encode(space, value) for value in space.values])
        if space.integer:
            return IntDistribution(int(space.low), int(space.high), log=space.log, step=int(space.step or 1))
        return FloatDistribution(space.low, space.high, log=space.log, step=space.step)

    def _encoded(self, name: str, value: Any) -> Any:
        space = self.sweep.parameters[name]
        return value if isinstance(space, Range) else encode(space, value)

    def _build_sampler(self, number: int) -> optuna.samplers.BaseSampler:
        """Return the sampler of one trial; its draws are the same whichever worker makes them."""
        seed = int(np.random.SeedSequence([self.sweep.seed, number]).generate_state(1)[0])
        if self.sweep.method != "bayes":
            return optuna.samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(seed=seed, constant_liar=True)  # workers do not all try the same


def build_pruner(pruner: Pruner | None, sweep: Sweep) -> optuna.pruners.BasePruner:
    """Return Optuna's pruner of a sweep."""
    if pruner is None:
        return optuna.pruners.NopPruner()
    if pruner.kind == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=pruner.startup_trials, n_warmup_steps=pruner.min_epochs)
    longest = sweep.settings.get("training.num_epochs", RunConfig().training.num_epochs)
    return optuna.pruners.HyperbandPruner(
        min_resource=pruner.min_epochs,
        max_resource=max(pruner.max_epochs or longest, pruner.min_epochs),
        reduction_factor=pruner.eta,
    )


def slot(frozen: FrozenTrial) -> int:
    """Return the number of the trial that an attempt belongs to."""
    return frozen.user_attrs.get("slot", frozen.number)


def outcome(frozen: FrozenTrial) -> str:
    """Return what came out of an attempt: an `Outcome`, or waiting, running or lost."""
    if frozen.state in (TrialState.WAITING, TrialState.RUNNING):
        return frozen.state.name.lower()
    if frozen.state is TrialState.COMPLETE:
        return "complete"
    return frozen.user_attrs.get("result", {}).get("outcome", "lost")


def given_up(attempts: Sequence[FrozenTrial]) -> bool:
    """Tell whether a trial has failed for good: by an error, by its memory, or since too many workers died in it."""
    lost = 0
    for one in attempts:
        lost = (0 if one.user_attrs.get("fresh") else lost) + (outcome(one) == "lost")
    last = outcome(attempts[-1])
    return last in ("failed", "out of memory") or (last == "lost" and lost >= MAX_LOST)
