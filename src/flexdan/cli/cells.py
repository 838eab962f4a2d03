"""One training of an experiment: new, resumed, or done already; a failure is an outcome, not an end."""

import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from flexdan.config import (
    RunConfig,
    UserError,
    config_from_mapping,
    read_settings_file,
    setting_values,
    with_settings,
)
from flexdan.config.record import read_record
from flexdan.engine import count_all_parameters, train
from flexdan.experiments.smoke import LIMIT
from flexdan.report.experiments import Outcome

STATE_BYTES = 16  # of weight, gradient and Adam's two moments, for each parameter


@dataclass(frozen=True, kw_only=True)
class Task:
    """A training that is to be done.

    Args:
        name: of the cell.
        seed: of the training.
        config: its settings, but for manifest, seed and starting point.
        folder: its run folder.
        start: run folder whose segmentation network it starts from.
    """

    name: str
    seed: int
    config: RunConfig
    folder: Path
    start: Path | None


def run_task(
    task: Task, manifest: Path, outcomes: Mapping[Path, Outcome], *, smoke: bool = False, force: bool = False
) -> Outcome:
    """Train, unless that is done already, and return what came out.

    Args:
        task: what to train.
        manifest: the data.
        outcomes: of the tasks before, by folder.
        smoke: leave networks out that are too large for seconds.
        force: train anew.

    Raises:
        UserError: if the folder holds a training with other settings.
    """
    begun = time.monotonic()
    changes = {
        "seed": task.seed,
        "data.manifest": str(manifest),
        "init_sn": str(task.start.absolute() if task.start else ""),
    }
    config = with_settings(task.config, changes)
    finished, resumable = (False, False) if force else _state(task.folder, config)
    status, why = "trained", ""
    if finished:
        status = "done before"
    elif task.start and not outcomes[task.start].rows:
        status, why = "left out", f"{task.start.name} gave no network to start from"
    elif large := _too_large(config, smoke):
        status, why = "left out", large
    else:
        try:
            train(config, task.folder, resume=resumable, quiet=True)
        except UserError as error:
            status, why = "failed", str(error)
        except (MemoryError, torch.OutOfMemoryError) as error:
            status, why = "failed", f"out of memory: {error}"
        except RuntimeError as error:  # the allocator of the CPU has no exception of its own
            if "allocate" not in str(error):
                raise
            status, why = "failed", f"out of memory: {error}"
        gc.collect()
    return Outcome.read(task.name, task.seed, task.folder, status, why, time.monotonic() - begun)


def _state(folder: Path, config: RunConfig) -> tuple[bool, bool]:
    """Return whether the training in a folder is finished, and whether it can go on; refuse one of other settings."""
    if not (folder / "last.ckpt").is_file() or not (folder / "config.yaml").is_file():
        return False, False
    saved = setting_values(config_from_mapping(read_settings_file(folder / "config.yaml"))[0])
    wanted = setting_values(config)
    for name, value in wanted.items():
        if value not in ("auto", saved[name]):
            raise UserError(
                f"{folder} holds a training with {name} {saved[name]!r}, not {value!r}: name another folder with -o, "
                "or say --force to train it anew"
            )
    finished = any(event["event"] == "end" for event in read_record(folder / "record.jsonl"))
    return finished, not finished


def _too_large(config: RunConfig, smoke: bool) -> str:
    """Return why networks are too large to train here; empty if they are not."""
    parameters = count_all_parameters(config)
    if smoke and parameters > LIMIT:
        return f"{parameters / 1e6:,.0f} million parameters, and the smoke scale ends at {LIMIT / 1e6:.0f}"
    memory = psutil.virtual_memory().total
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory
    if parameters * STATE_BYTES > memory:
        needed = f"weights, gradients and optimiser alone need {parameters * STATE_BYTES / 2**30:,.0f} GiB"
        return f"{parameters / 1e6:,.0f} million parameters: {needed}, and there are {memory / 2**30:.0f}"
    return ""
