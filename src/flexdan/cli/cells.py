"""One training of an experiment: planned, then done; a failure is an outcome, not an end."""

import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from flexdan.cli.train import FREE_ON_RESUME, differing_settings, refuse_other_things, saved_settings
from flexdan.config import RunConfig, UserError, setting_values, with_settings
from flexdan.config.errors import RunError
from flexdan.config.record import read_record
from flexdan.data import file_sha256
from flexdan.engine import count_all_parameters
from flexdan.experiments import Cell
from flexdan.experiments.smoke import LIMIT
from flexdan.memory import Planner, resolve_shape
from flexdan.memory.guard import machine, train_planned
from flexdan.memory.text import sentence
from flexdan.models import SEGMENTATION_NETWORKS
from flexdan.report.experiments import Outcome

FREE = set(FREE_ON_RESUME) - {"training.num_epochs"}  # what may differ from a training that is there already


@dataclass(frozen=True, kw_only=True)
class Task:
    """A training that is to be done, or is done.

    Args:
        name: of the cell.
        config: all its settings.
        folder: its run folder.
        start: run folder whose segmentation network it starts from.
        state: whether it is finished, stopped in the middle, or not begun.
        too_large: why its networks cannot be trained here; empty if they can.
    """

    name: str
    config: RunConfig
    folder: Path
    start: Path | None
    state: Literal["finished", "stopped", "new"]
    too_large: str


def plan_task(cell: Cell, seed: int, manifest: Path, folder: Path, *, smoke: bool = False, force: bool = False) -> Task:
    """Return what is to be done for one training.

    Args:
        cell: the training, its settings as they are to be.
        seed: of the training.
        manifest: the data.
        folder: of all trainings with this seed.
        smoke: leave networks out that are too large for seconds.
        force: train anew whatever is there, and also what does not fit into memory.

    Raises:
        UserError: if the settings contradict each other, or its folder holds a training with other settings or data, or
            other things.
    """
    start = folder / cell.start if cell.start else None
    init_sn = str(start.absolute()) if start else cell.config.init_sn
    config = with_settings(cell.config, {"seed": seed, "data.manifest": str(manifest), "init_sn": init_sn})
    state = "new" if force else _state(folder / cell.name, config)
    refuse_other_things(folder / cell.name)
    return Task(
        name=cell.name,
        config=config,
        folder=folder / cell.name,
        start=start,
        state=state,
        too_large=_too_large(config, smoke, force),
    )


def run_task(task: Task, outcomes: Mapping[Path, Outcome]) -> Outcome:
    """Train, unless that is done already, and return what came out.

    Args:
        task: what to train.
        outcomes: of the tasks before, by folder.
    """
    begun = time.monotonic()
    status, why = "trained", ""
    if task.state == "finished":
        status = "done before"
    elif task.start and not outcomes[task.start].rows:
        status, why = "left out", f"{task.start.name} gave no network to start from"
    elif task.too_large:
        status, why = "left out", task.too_large
    else:
        try:
            train_planned(task.config, task.folder, force=True, resume=task.state == "stopped", quiet=True)
        except (UserError, RunError) as error:
            status, why = "failed", str(error)
        gc.collect()
    before = outcomes[task.start].updates if task.start else 0.0
    seconds = time.monotonic() - begun
    return Outcome.read(task.name, task.config.seed, task.folder, status, why, seconds, before)


def _state(folder: Path, config: RunConfig) -> Literal["finished", "stopped", "new"]:
    """Return how the training in a folder stands; refuse one of other settings or other data."""
    if not (folder / "last.ckpt").is_file() or not (folder / "config.yaml").is_file():
        return "new"
    saved, wanted = saved_settings(folder), setting_values(config)
    for settings in (saved, wanted):  # the folder of an experiment may have moved
        settings["init_sn"] = Path(settings["init_sn"]).name
    remedy = "name another folder with -o, or say --force to train it anew"
    for name in differing_settings(saved, wanted, FREE):
        raise UserError(f"{folder} holds a training with {name} {saved[name]!r}, not {wanted[name]!r}: {remedy}")
    events = read_record(folder / "record.jsonl")
    if events[0].get("manifest_sha256") != file_sha256(Path(config.data.manifest)):
        raise UserError(f"{folder} holds a training on other data than {config.data.manifest}: {remedy}")
    return "finished" if any(event["event"] == "end" for event in events) else "stopped"


def _too_large(config: RunConfig, smoke: bool, force: bool) -> str:
    """Return why a training does not fit here; empty if it does, or it cannot be told beforehand."""
    if smoke:
        parameters = count_all_parameters(config) if config.sn.model_type in SEGMENTATION_NETWORKS else 0
        large = parameters > LIMIT
        return (
            f"{parameters / 1e6:,.0f} million parameters, and the smoke scale ends at {LIMIT / 1e6:.0f}"
            if large
            else ""
        )
    if force:
        return ""
    planner, resolved = _planner(*machine(config)), resolve_shape(config)[0]
    fits = planner.check("", resolved).verdict != "does not fit"
    return "" if fits else sentence(planner.row("", resolved))


_planner = cache(Planner)  # of a process, since many cells of an experiment need the same memory
