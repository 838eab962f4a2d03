"""`flexdan experiments run`."""

import argparse
import fnmatch
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flexdan.cli.changes import read_changes
from flexdan.cli.parser import describe
from flexdan.config.errors import UserError

if TYPE_CHECKING:
    from flexdan.cli.cells import Task
    from flexdan.config import RunConfig
    from flexdan.experiments import Cell, Experiment
    from flexdan.report.experiments import Outcome

WHAT = """\
Run experiments: every training of each, one after the other, and a table of what came out.

Each training has a run folder below -o. The same command again skips what is finished, goes on with what was stopped in
the middle, and trains what is missing; so a table can be made in several sittings.

--scale smoke runs every training end to end in seconds, with 12 + 6 images at 32x48 pixels, an eighth of the channels,
a tenth of the epochs and 3 updates in each. It shows that all of it works; its figures mean little. Networks that are
still too large for that are named and left out. Without --data it draws a synthetic set."""
EXAMPLES = """\
  flexdan experiments run all --scale smoke -o runs/smoke
  flexdan experiments run 7 --data data/glas.csv -o runs/seven
  flexdan experiments run 7 --method paper --set data.annotated=9 --data data/glas.csv -o runs/seven_paper
  flexdan experiments run 3 --cells '*block_pattern=double_run' --set num_epochs=5 --data data/glas.csv -o runs/three
  flexdan experiments run scarce --data data/glas.csv -o runs/scarce"""

REFUSED = {"seed": "say --seeds", "data.manifest": "say --data", "init_sn": "leave it out"}


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(prog="flexdan experiments run", **describe(WHAT, EXAMPLES))
    add = parser.add_argument
    add("experiments", nargs="+", metavar="N", help="names, see `flexdan experiments list`; all: every one of the log")
    add("--scale", choices=("full", "smoke"), default="full", help="default: full, as in the log")
    add("--data", default="", metavar="MANIFEST", help="manifest with the splits train and val")
    add("-o", "--output", type=Path, required=True, metavar="FOLDER", help="gets a folder for each experiment")
    add("--cells", default="*", metavar="PATTERN", help="only trainings whose name matches; with * as wildcard")
    add("--seeds", type=int, nargs="+", action="extend", metavar="SEED", help="default: those of the experiment")
    add(
        "--method",
        choices=("recorded", "paper"),
        default="recorded",
        help="paper: adversarial trainings of the log with the paper's three updates, predictions on annotated images "
        "and truly unannotated ones, which the data must have; default: recorded",
    )
    add(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="change settings of every training",
    )
    add("--force", action="store_true", help="train anew what is there already, and what does not fit into memory")
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the command; 1 if a training failed."""
    options = make_parser().parse_args(argv)
    from flexdan.config.files import check_folder
    from flexdan.experiments import EXPERIMENTS, find_experiment

    logged = [name for name, make in EXPERIMENTS.items() if make().recorded]
    names = list(dict.fromkeys(one for name in options.experiments for one in (logged if name == "all" else [name])))
    experiments = {name: find_experiment(name) for name in names}
    if not options.data and options.scale == "full":
        raise UserError("--data is missing: name a manifest, see `flexdan data import --help`")
    if options.method == "paper" and (ours := [name for name, one in experiments.items() if not one.recorded]):
        raise UserError(f"--method paper is for experiments of the log, and {ours[0]} is none: leave it out")
    check_folder(options.output)
    changes = read_changes(options.set, REFUSED)
    manifest = _manifest(options)
    tasks = {
        name: list(_tasks(name, experiment, options, changes, manifest)) for name, experiment in experiments.items()
    }
    if empty := [name for name, found in tasks.items() if not found]:
        raise UserError(f"--cells is {options.cells!r}, which no training of experiment {empty[0]} matches")

    failed = 0
    start, progress = time.monotonic(), _Progress([task for found in tasks.values() for task in found])
    for name, experiment in experiments.items():
        print(f"\nexperiment {name}: {experiment.title}", flush=True)
        failed += _run_experiment(name, experiment, tasks[name], options, progress)
    minutes = (time.monotonic() - start) / 60
    print(f"{progress.total} trainings in {minutes:.1f} minutes; tables: {options.output}/*/{_table_name(options)}")
    return 1 if failed else 0


def _table_name(options: argparse.Namespace) -> str:
    return "table.md" if options.cells == "*" else "part.md"  # a part does not overwrite the whole


class _Progress:
    """Counts trainings and estimates the time left from those that were done now."""

    def __init__(self, tasks: "Sequence[Task]"):
        self.total = len(tasks)
        self._done = 0
        self._open = {task.folder for task in tasks if task.state != "finished" and not task.too_large}
        self._seconds: list[float] = []

    def __call__(self, task: "Task", outcome: "Outcome") -> str:
        self._done += 1
        self._open.discard(task.folder)
        self._seconds += [outcome.seconds] * (outcome.status == "trained")
        text = f"{self._done}/{self.total}"
        if not self._seconds:
            return text
        return f"{text}, about {statistics.mean(self._seconds) * len(self._open) / 60:.0f} min left"


def _run_experiment(
    name: str, experiment: "Experiment", tasks: "Sequence[Task]", options: argparse.Namespace, progress: _Progress
) -> int:
    """Train, print a line for each training and the table, and return how many failed."""
    from flexdan.cli.cells import run_task
    from flexdan.report.experiments import experiment_table, write_table

    outcomes: dict[Path, Outcome] = {}
    for task in tasks:
        outcomes[task.folder] = outcome = run_task(task, outcomes)
        print(f"[{progress(task, outcome)}] {task.name}: {outcome.text}", flush=True)
    table = experiment_table(f"Experiment {name}: {experiment.title}", list(outcomes.values()))
    print(f"\n{write_table(table, options.output / name / _table_name(options))}\n", flush=True)
    return sum(outcome.status == "failed" for outcome in outcomes.values())


def _tasks(
    name: str, experiment: "Experiment", options: argparse.Namespace, changes: dict[str, Any], manifest: Path
) -> "Iterator[Task]":
    """Yield the trainings of an experiment, those that others start from first, with the settings asked for."""
    from flexdan.cli.cells import plan_task

    chosen = [cell for cell in experiment.cells if fnmatch.fnmatch(cell.name, options.cells)]
    starts = {cell.start for cell in chosen}
    cells = [cell for cell in experiment.cells if cell in chosen or cell.name in starts]
    cells = [replace(cell, config=_settings(cell, options, changes)) for cell in cells]
    for seed in dict.fromkeys(options.seeds or experiment.seeds):
        for cell in cells:
            folder = options.output / name / f"seed={seed}"
            yield plan_task(cell, seed, manifest, folder, smoke=options.scale == "smoke", force=options.force)


def _settings(cell: "Cell", options: argparse.Namespace, changes: dict[str, Any]) -> "RunConfig":
    from flexdan.config import config_from_mapping, setting_values, with_settings
    from flexdan.experiments import smoke
    from flexdan.experiments.common import AS_IN_THE_PAPER

    config = smoke(cell.config) if options.scale == "smoke" else cell.config
    if options.method == "paper" and config.strategy == "dan":
        config = with_settings(config, AS_IN_THE_PAPER)
    return config_from_mapping(setting_values(config) | changes)[0] if changes else config


def _manifest(options: argparse.Namespace) -> Path:
    """Return the data: as given; at smoke scale a few images of it, or of a synthetic set that is drawn for it."""
    from flexdan.cli.smoke_data import draw_few
    from flexdan.data import read_manifest

    if options.scale == "smoke":
        return draw_few(options.data, options.output)
    read_manifest(options.data)  # so that mistakes in it show at once
    return Path(options.data).absolute()
