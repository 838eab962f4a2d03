"""Runs that take part in a comparison: found in folders, with their settings."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flexdan.config import RunConfig, UserError, averaging, setting_values, unused_settings
from flexdan.config.trials import value_text
from flexdan.metrics import Scores
from flexdan.report.run import Evaluation, Run, pick
from flexdan.report.tables import outdated

WITHOUT_EFFECT = (  # settings that change no result
    *("seed", "data.manifest", "data.cache_gib", "training.num_workers", "training.pin_memory"),
    *("training.tensorboard", "training.wandb"),
)


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A run with its evaluation.

    Args:
        run: the run.
        settings: its settings by dotted name; those that it does not use are as by default.
        evaluation: of the split that is compared.
        scores: what was counted in each of its images.
    """

    run: Run
    settings: Mapping[str, Any]
    evaluation: Evaluation
    scores: Scores

    @property
    def seed(self) -> int:
        """The seed of the training."""
        return seed_of(self.run)


def find_runs(places: Sequence[Path]) -> list[Path]:
    """Return the run folders among some folders and below them, each once; what lies inside of a run is not searched.

    Raises:
        UserError: if a place has none.
    """
    found: dict[Path, Path] = {}
    for place in places:
        runs = []
        for folder, folders, files in os.walk(place):
            if "record.jsonl" in files:
                runs.append(Path(folder))
                folders.clear()
            folders.sort(key=_by_number)
        if not runs:
            there = "there is no record.jsonl in it or below" if place.is_dir() else "it is no folder"
            raise UserError(f"{place} holds no run: {there}; name run folders, or folders of runs such as a sweep")
        found |= {run.resolve(): run for run in runs if run.resolve() not in found}
    return list(found.values())


def seed_of(run: Run) -> int:
    """Return the seed of a run.

    Raises:
        UserError: if its record does not tell.
    """
    seed = run.start.get("seed", pick(run.start, "config", "seed"))
    if not isinstance(seed, int):
        raise UserError(f"the record of {run.folder} names no seed: it cannot be paired with others; leave it out")
    return seed


def settings_of(run: Run) -> dict[str, Any]:
    """Return the settings of a run by dotted name; those that it lacks or does not use are as by default."""
    usual, saved = setting_values(RunConfig()), pick(run.start, "config") or {}
    found = dict(usual)
    for name, value in saved.items():
        found |= {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, dict) else {name: value}
    unused = unused_settings(found["strategy"])
    found |= {name: value for name, value in usual.items() if name.startswith(unused)}
    kept = averaging(found["strategy"], found["unannotated.labels_from"], found["training.weight_averaging"])
    found["training.weight_averaging"] = kept
    for name in ("init_sn", "init_en"):
        found[name] = _start_name(found[name], seed_of(run))
    return found


def stale(evaluation: Evaluation, run: Run) -> str:
    """Tell that a run has gone on since it was measured; empty if it has not."""
    measured = evaluation.figures["epoch"]
    if evaluation.figures["weights"] == "last" and run.rows and run.rows[-1]["epoch"] != measured:
        return f"evaluation {evaluation.name} measured epoch {measured}, but the last one is {run.rows[-1]['epoch']:g}"
    return outdated(evaluation, run)


def differing(firsts: Sequence[Contestant]) -> list[str]:
    """Return the settings that differ; those that not all strategies use, only if they do among the runs that do."""
    names = dict.fromkeys(name for one in firsts for name in one.settings)
    return [
        name
        for name in names
        if name not in WITHOUT_EFFECT and len({text_of(one, name) for one in firsts if _applies(one, name)}) > 1
    ]


def text_of(one: Contestant, name: str) -> str:
    """Return a setting of a run as text; empty where its strategy does not use it."""
    if not _applies(one, name):
        return ""
    value = one.settings.get(name)
    return "none" if value in (None, "") else value_text(value, 6)


def _by_number(name: str) -> list[tuple[int, str]]:
    """Return what sorts names as people do: seed=2 before seed=10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _start_name(run: str, seed: int) -> str:
    """Name the run that another one starts from, without its place and without the seed, which the two may share."""
    path = Path(run)
    name = path.parent.name if path.suffix == ".ckpt" else path.name
    return re.sub(rf"(seed[=_-]?){seed}(?!\d)", r"\1*", name)


def _applies(one: Contestant, name: str) -> bool:
    return not name.startswith(unused_settings(one.settings["strategy"]))
