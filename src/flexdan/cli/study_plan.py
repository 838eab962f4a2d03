"""What a study is going to train: the cells, the settings that all have in common, and what that takes."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flexdan.cli.changes import read_changes
from flexdan.config.errors import UserError

if TYPE_CHECKING:
    from flexdan.config import RunConfig
    from flexdan.experiments import Sweep
    from flexdan.sweep import Definition, SweepStudy

REFUSED = {
    "seed": "say --seeds",
    "strategy": "say --strategies",
    "data.annotated": "say --counts",
    "data.manifest": "say --data",
}


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """What a study is going to train.

    Args:
        definition: of its sweep.
        config: what all trainings have in common.
        lines: that say it.
    """

    definition: "Definition"
    config: "RunConfig"
    lines: list[str]


def as_it_is(options: argparse.Namespace, old: "SweepStudy | None") -> StudyPlan:
    """Return a study that is there, as it is.

    Raises:
        UserError: if there is none, or an option would change it.
    """
    if old is None:
        raise UserError("--counts is missing: it must be numbers of annotated images such as 5,9,17")
    if not options.no_train:
        for name in ("data", "strategies", "control", "seeds", "updates", "config", "set"):
            if getattr(options, name):
                raise UserError(f"--{name} changes a study, and goes with --counts: say these too, or leave it out")
    from flexdan.cli.sweeps import check_data
    from flexdan.config import config_from_mapping

    check_data(old)
    lines = grid_lines(old.sweep, old.sweep.size) + updates_lines(old.sweep)
    return StudyPlan(definition=old.definition, config=config_from_mapping(old.sweep.settings)[0], lines=lines)


def plan_study(options: argparse.Namespace, old: "SweepStudy | None") -> StudyPlan:
    """Return a new study, or one that is there with what it has not yet.

    Raises:
        UserError: if the options, the settings and the data contradict each other.
    """
    from flexdan.data import file_sha256, read_manifest, select_split
    from flexdan.experiments import CONTROL, annotated_sweep, curve_cells, lacks_unannotated
    from flexdan.memory import find_device, parse_memory
    from flexdan.sweep import Definition, Space

    if not options.data:
        raise UserError("--data is missing: name a manifest, see `flexdan data import --help`")
    config, counts = _config(options), _counts(options.counts)
    strategies = (split_names(options.strategies) or ["supervised", "dan"]) + [CONTROL] * options.control
    cells = curve_cells(counts, strategies, 3 if options.seeds is None else options.seeds)
    split = config.data.train_split
    images = select_split(read_manifest(options.data), split)
    annotated = sum(one.annotated for one in images)
    if max(counts) > annotated:
        raise UserError(
            f"--counts has {max(counts)}, but the split {split!r} of {options.data} has {annotated} annotated images: "
            "ask for so many at most"
        )
    lacking = [cell for cell in cells if lacks_unannotated(cell, config, len(images))]
    cells = [cell for cell in cells if cell not in lacking]
    if not cells:
        raise UserError(
            f"all {len(images)} images of the split {split!r} would be annotated; {strategies[0]} needs others too: "
            "give a smaller count, or add supervised to --strategies"
        )
    before, curves = list(old.sweep.listed or ()) if old else [], _curves(old)
    if unknown := [name for name in strategies if name not in curves]:
        raise UserError(
            f"--strategies has {unknown[0]!r}, but the study in {options.output} was begun by a FlexDAN that had only "
            f"{', '.join(curves)}: name another folder with -o"
        )
    config = _with_updates(options, config, max(counts), old)
    sweep = annotated_sweep(config, [*before, *(cell for cell in cells if cell not in before)], annotated, curves)
    if options.device:
        find_device(options.device)
    definition = Definition(
        sweep=sweep,
        plan=not options.no_plan,
        memory=parse_memory(options.memory) if options.memory else None,
        device=options.device,
        manifest_sha256=file_sha256(Path(options.data)),
    )
    Space(sweep).check()
    lines = grid_lines(sweep, len(before)) + updates_lines(sweep)
    if lacking:
        names = dict.fromkeys(f"{cell['strategy']} with {cell['data.annotated']}" for cell in lacking)
        lines.append(f"note: {', '.join(names)} annotated images is left out: none would be left unannotated")
    return StudyPlan(definition=definition, config=config, lines=lines)


def _curves(old: "SweepStudy | None") -> Sequence[str]:
    """Return the strategies that a study may have: those that it began with, if it is there."""
    from flexdan.experiments import CURVES, Choice

    strategy = old.sweep.parameters["strategy"] if old else None
    return strategy.values if isinstance(strategy, Choice) else tuple(CURVES)


def _config(options: argparse.Namespace) -> "RunConfig":
    """Return what all trainings have in common: the usual settings, then those of --config, then those of --set."""
    from flexdan.config import (
        changed_settings,
        config_from_mapping,
        read_settings_file,
        setting_values,
        with_settings,
    )
    from flexdan.experiments import curve_base

    changes = read_changes(options.set, REFUSED)
    below: dict[str, Any] = {}
    if options.config:
        found, notes = config_from_mapping(read_settings_file(options.config))
        below = {name: value for name, value in changed_settings(found).items() if name not in REFUSED}
        for note in notes:
            print(f"note: {note}")
    config = config_from_mapping(setting_values(curve_base()) | below | changes)[0]
    places = {"data.manifest": options.data, "init_sn": config.init_sn, "init_en": config.init_en}
    return with_settings(config, {name: str(Path(path).absolute()) for name, path in places.items() if path})


def _with_updates(
    options: argparse.Namespace, config: "RunConfig", largest: int, old: "SweepStudy | None"
) -> "RunConfig":
    """Return the settings with the updates of an epoch: as said, else those of the study, else of one pass."""
    from flexdan.config import with_settings
    from flexdan.experiments import one_pass

    updates = config.training.updates_per_epoch
    if options.updates is not None:
        if updates not in ("auto", options.updates):
            raise UserError(
                f"--updates is {options.updates}, and training.updates_per_epoch is {updates}: say only one of them"
            )
        updates = options.updates
    if updates == "auto" and old is not None:
        updates = old.sweep.settings.get("training.updates_per_epoch", "auto")
    return with_settings(
        config, {"training.updates_per_epoch": one_pass(largest, config) if updates == "auto" else updates}
    )


def grid_lines(sweep: "Sweep", before: int) -> list[str]:
    """Return the grid in words: each strategy with its counts and seeds."""
    cells = list(sweep.listed or ())
    lines = [f"{len(cells)} trainings" + (f", {before} of them are in the study already" if before else "")]
    for strategy in dict.fromkeys(cell["strategy"] for cell in cells):
        mine = [cell for cell in cells if cell["strategy"] == strategy]
        counts, seeds = (sorted({cell[name] for cell in mine}) for name in ("data.annotated", "seed"))
        part = "" if len(mine) == len(counts) * len(seeds) else f" ({len(mine)} of these)"
        lines.append(
            f"  {strategy}: {', '.join(map(str, counts))} annotated images, seeds {', '.join(map(str, seeds))}{part}"
        )
    return lines


def updates_lines(sweep: "Sweep") -> list[str]:
    """Return how many updates of the SN each strategy has, and a warning where they are not as many."""
    from flexdan.experiments import sn_updates
    from flexdan.sweep import Space

    space, totals = Space(sweep), {}
    for cell in sweep.listed or ():
        totals.setdefault(cell["strategy"], space.config(cell))
    training = next(iter(totals.values())).training
    updates = {strategy: sn_updates(config) for strategy, config in totals.items()}
    most = "at most " if training.early_stopping_patience else ""
    epochs = f"{training.num_epochs} epochs of {training.updates_per_epoch} updates"
    averages = {strategy: config.weight_averaging for strategy, config in totals.items()}
    notes = []
    if len(set(averages.values())) > 1:
        told = ", ".join(f"{strategy} {kind}" for strategy, kind in averages.items())
        notes.append(
            f"note: averages of the weights are kept by some strategies only ({told}), which may help by itself: "
            "--set training.weight_averaging=ema gives all of them one"
        )
    if len(set(updates.values())) == 1:
        return [f"  {epochs}: {most}{max(updates.values())} updates of the SN in every training", *notes]
    each = ", ".join(f"{strategy} {most}{count}" for strategy, count in updates.items())
    return [
        f"  {epochs}; updates of the SN: {each}",
        "note: these are not equal, so the strategies are not compared fairly: adversarial.sn_update joint and "
        "adversarial.freeze none make them so",
        *notes,
    ]


def split_names(text: str) -> list[str]:
    """Return the names in a list with commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _counts(text: str) -> list[int]:
    try:
        counts = [int(one) for one in split_names(text)]
    except ValueError:
        counts = []
    if not counts:
        raise UserError(f"--counts is {text!r}: it must be numbers of annotated images such as 5,9,17")
    return counts


def evaluated_split(wanted: str, config: "RunConfig") -> tuple[str, str]:
    """Return the split that is evaluated, and what there is to say about it.

    Args:
        wanted: by the user; empty: test, or where there is none that of the validation.
        config: of the trainings.

    Raises:
        UserError: if it has no annotated image, or the networks learn from it.
    """
    from flexdan.data import read_manifest

    annotated = [one.split for one in read_manifest(config.data.manifest) if one.annotated]
    split = wanted or ("test" if "test" in annotated else config.data.val_split)
    if split not in annotated:
        there = ", ".join(sorted({name for name in annotated if name}))
        raise UserError(f"--split is {split!r}, which has no annotated image: those that have are {there}")
    if split == config.data.train_split:
        raise UserError(f"--split is {split!r}, which the networks learn from: name another one")
    if split != config.data.val_split:
        return split, ""
    note = f"The split {split} chose the epoch of the weights too, so all figures are a little too good."
    print(f"note: {note[0].lower()}{note[1:-1]}; a split test would be better")
    return split, note


def print_memory(definition: "Definition", workers: int | None) -> None:
    """Print whether the trainings of each strategy fit into memory; the number of annotated images does not matter.

    Args:
        definition: of the sweep.
        workers: that are to share this machine, as on the command line.
    """
    if not definition.plan:
        return
    from flexdan.cli.progress import track
    from flexdan.cli.sweep_watch import local_places, print_plan
    from flexdan.memory import plan_all, resolve_shape
    from flexdan.sweep import Space, device_of

    space = Space(definition.sweep)
    cells = {cell["strategy"]: cell for cell in definition.sweep.cells()}  # any one of each strategy
    configs = {strategy: space.config(cell) for strategy, cell in cells.items()}
    where = local_places(workers)
    device, memory = device_of(definition, next(iter(configs.values())), where[0].share if where else 1)
    named = [(strategy, resolve_shape(config)[0]) for strategy, config in configs.items()]
    print_plan(list(plan_all(named, device, memory, lambda items: track(items, "planning"), search=False)))
