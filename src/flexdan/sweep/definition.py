"""What a sweep is, as its storage tells every worker."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection

from flexdan.config import UserError
from flexdan.experiments import Sweep
from flexdan.memory import as_gib

ATTRIBUTE = "flexdan"  # the user attribute of a study that holds it
FREE: dict[str, tuple[str, Callable[[Any], str]]] = {  # what may change while a sweep goes on -> as it is told
    "plan": ("planning", lambda plan: "on" if plan else "off"),
    "memory": ("the memory of a trial", lambda memory: as_gib(memory) if memory else "what its device has"),
    "device": ("the planner's device", lambda device: device or "that of each machine"),
    "grace": ("the time until a silent worker counts as dead", lambda grace: f"{grace:g} s"),
}


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


def create_sweep(storage: BaseStorage, name: str, definition: Definition) -> list[str]:
    """Put a sweep into a storage, or check that it is there already, and return notes for the user.

    Raises:
        UserError: if another one of that name is there.
    """
    direction = StudyDirection.MAXIMIZE if definition.sweep.goal == "max" else StudyDirection.MINIMIZE
    notes: list[str] = []
    try:
        number = storage.create_new_study([direction], name)
    except DuplicatedStudyError:
        number = storage.get_study_id_from_name(name)
        if not storage.get_all_trials(number, deepcopy=False):  # of a sweep that was refused before it had any
            storage.delete_study(number)
            number = storage.create_new_study([direction], name)
        if (found := storage.get_study_user_attrs(number).get(ATTRIBUTE)) is not None:
            old = Definition.from_dict(found)
            if told := _difference(old, definition):
                raise UserError(
                    f"there is another sweep {name!r} already, with {told}: repeat the command as it was, or name "
                    "another folder with -o (and, in a database, another --name)"
                ) from None
            notes = [
                f"{what} was {text(before)} and is now {text(after)}; what is recorded stays"
                for key, (what, text) in FREE.items()
                if (before := getattr(old, key)) != (after := getattr(definition, key))
            ]
    storage.set_study_user_attr(number, ATTRIBUTE, definition.to_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.load_study(study_name=name, storage=storage)
        study.set_metric_names([definition.sweep.metric])  # which Optuna's dashboard shows
    return notes


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
    if told := _difference_of_cells(old.sweep, new.sweep):
        return told
    return "other data" if old.manifest_sha256 != new.manifest_sha256 else ""


def _difference_of_cells(old: Sweep, new: Sweep) -> str:
    """Return what differs in the listed cells; those that were added at the end do not."""
    if (old.listed is None) != (new.listed is None):
        return f"{'every combination' if old.listed is None else 'a list'} of values as its cells"
    for number, (one, other) in enumerate(zip_longest(_plain(old.listed or ()), _plain(new.listed or ()))):
        if one is not None and one != other:
            return f"trial {number} {one}, not {other}"
    return ""


def _plain(value: Any) -> Any:
    """Return a value as it comes back from JSON."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
