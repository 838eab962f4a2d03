"""`flexdan baseline`: the supervised-only training that an adversarial one is to be measured against."""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flexdan.cli.compare import add_compare_options, check_compare_options, compare_runs
from flexdan.cli.parser import describe
from flexdan.config.errors import UserError

if TYPE_CHECKING:
    from flexdan.cli.cells import Task
    from flexdan.config import RunConfig
    from flexdan.report.experiments import Outcome
    from flexdan.report.run import Run

WHAT = """\
Train the matching supervised-only run of each adversarial run, and compare: all settings, the seed, the data, the
annotated images and the weights at the start are the same, and the segmentation network (SN) has equally many updates.

An iteration of an adversarial run whose adversarial.sn_update is separate updates the SN twice, once from annotated
images; in its baseline both updates are from annotated images. The numbers of epochs and of updates in each are chosen
so that the totals are equal, and told.

A run whose post-processing was tuned has a baseline whose post-processing is tuned in the same way.

Each baseline has a run folder, RUN/baseline, or one below -o. The same command again skips what is finished and goes on
with what was stopped in the middle."""
EXAMPLES = """\
  flexdan baseline runs/dan
  flexdan baseline runs/dan-seed* --split test --by grade
  flexdan baseline runs/scarce/scarce/seed=*/dan -o runs/baselines --format markdown"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(prog="flexdan baseline", **describe(WHAT, EXAMPLES))
    add = parser.add_argument
    add(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="run folder of any other strategy, such as dan; several for several seeds",
    )
    add("-o", "--output", type=Path, metavar="FOLDER", help="gets a run folder for each; default: RUN/baseline")
    add("--manifest", type=Path, metavar="FILE", help="where the data of the trainings are now; default: as recorded")
    add("--force", action="store_true", help="train anew what is there already, and what does not fit into memory")
    add_compare_options(parser)
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the command; 1 if a training failed, or --require-fair is not met."""
    options = make_parser().parse_args(argv)
    from flexdan.cli.cells import run_task
    from flexdan.config.files import check_folder

    folders = list(dict.fromkeys(Path(os.path.normpath(one)) for one in options.runs))
    tasks = _plan(folders, options)
    for task in tasks:
        check_folder(task.folder)
    _check_comparison(folders, options)
    outcomes: list[Outcome] = []
    for number, task in enumerate(tasks, start=1):
        outcomes.append(run_task(task, {}))
        print(f"[{number}/{len(tasks)}] {task.folder}: {outcomes[-1].text}", flush=True)
    if not all(one.rows for one in outcomes):
        return 1
    _tune_alike(tasks, folders, options)
    print(flush=True)
    options.runs, options.output = [*(task.folder for task in tasks), *folders], None
    return compare_runs(options)


def _tune_alike(tasks: "Sequence[Task]", folders: Sequence[Path], options: argparse.Namespace) -> None:
    """Find the post-processing of the baselines in the way in which that of the runs was found, if it was."""
    from flexdan.cli.evaluation import evaluate_run
    from flexdan.config import read_postprocessing

    kept = next((found for folder in folders if (found := read_postprocessing(folder))), None)
    for task in tasks:
        if kept and not read_postprocessing(task.folder):
            metric, split = kept[1].metric, options.split or kept[1].split
            print(f"{task.folder}: finding its post-processing, for {metric} as in the run", flush=True)
            how = {"manifest": options.manifest, "weights": options.weights, "tune": True, "tune_metric": metric}
            evaluate_run(task.folder, split, force=True, **how)


def _check_comparison(folders: Sequence[Path], options: argparse.Namespace) -> None:
    """Measure the runs as they will be compared, so that what is wrong with that is told before anything is trained."""
    from flexdan.cli.evaluated import read_contestants
    from flexdan.report.contest import choose_metrics

    check_compare_options(argparse.Namespace(**vars(options) | {"output": None}))
    measured = read_contestants(
        folders, options.split, options.weights, evaluate=not options.no_evaluate, manifest=options.manifest
    )
    choose_metrics(measured[0].scores, options.metrics)


def _plan(folders: Sequence[Path], options: argparse.Namespace) -> "list[Task]":
    """Return the trainings that are needed; runs whose baselines are the same share one."""
    from flexdan.cli.cells import plan_task
    from flexdan.experiments import Cell
    from flexdan.report.run import read_run

    tasks: dict[str, Task] = {}
    for folder in folders:
        run = read_run(folder)
        config, done = _supervised(run), _updates(run)
        manifest = options.manifest or Path(config.data.manifest)
        _check_data(run, manifest)
        config = _matched(config, run, done)
        key = _key(config)
        place = _place(folder, folders, options.output)
        if key not in tasks:
            cell = Cell(name=place.name, config=config)
            tasks[key] = plan_task(cell, config.seed, manifest.absolute(), place.parent, force=options.force)
        planned = config.training.num_epochs * int(config.training.updates_per_epoch)
        exact = "as many" if planned == done else f"{abs(planned - done)} {'more' if planned > done else 'fewer'}"
        print(
            f"{folder}: {done} SN updates in {len(run.rows)} epochs; {tasks[key].folder}: {planned} ({exact}), "
            f"{config.training.num_epochs} epochs of {config.training.updates_per_epoch}",
            flush=True,
        )
    return list(tasks.values())


def _supervised(run: "Run") -> "RunConfig":
    """Return the settings of a finished run that learnt from unannotated images, without that part."""
    from flexdan.config import config_from_mapping, read_settings_file, with_settings

    if not run.finished or not run.rows:
        raise UserError(
            f"{run.folder} is not finished ({run.status}): go on with `flexdan train --resume {run.folder}`"
        )
    config, _ = config_from_mapping(read_settings_file(run.folder / "config.yaml"))
    if config.strategy == "supervised":
        raise UserError(
            f"{run.folder} is a supervised run already: name one that learns from unannotated images, or use "
            "`flexdan compare`"
        )
    processes, here = run.start.get("processes") or 1, int(os.environ.get("WORLD_SIZE", "1"))
    if processes != 1 or here != 1:
        raise UserError(
            f"{run.folder} was trained by {processes} processes, and here are {here}: the batches of its baseline "
            "would not be the same; `flexdan baseline` trains with one"
        )
    changes = {"strategy": "supervised", "training.early_stopping_patience": 0}
    if config.weight_averaging != "none":  # also where the strategy took it by itself
        changes["training.weight_averaging"] = config.weight_averaging
    return with_settings(config, changes)


def _updates(run: "Run") -> int:
    from flexdan.report.updates import updates_done

    done = updates_done(run)
    if done is None:
        raise UserError(
            f"the record of {run.folder} does not say how many updates its SN had: it is of an older version"
        )
    if done == 0:
        raise UserError(f"the SN of {run.folder} had no update (adversarial.freeze is sn): there is nothing to match")
    return done


def _check_data(run: "Run", manifest: Path) -> None:
    from flexdan.data import file_sha256

    if not manifest.is_file():
        raise UserError(f"the manifest of {run.folder}, {manifest}, is not there: say --manifest FILE")
    if file_sha256(manifest) != run.start.get("manifest_sha256"):
        raise UserError(
            f"{manifest} is not as it was when {run.folder} was trained: put it back, or name it by --manifest"
        )


def _matched(config: "RunConfig", run: "Run", done: int) -> "RunConfig":
    from flexdan.report.updates import match_updates

    epochs, updates = match_updates(done, len(run.rows))
    training = replace(config.training, num_epochs=epochs, updates_per_epoch=updates)
    return replace(config, training=training)


def _key(config: "RunConfig") -> str:
    """Return a text that is the same for trainings with the same result."""
    from flexdan.config import setting_values, unused_settings
    from flexdan.report.contestants import WITHOUT_EFFECT

    free = set(WITHOUT_EFFECT) - {"seed", "data.manifest"}
    used = {
        name: value
        for name, value in setting_values(config).items()
        if name not in free and not name.startswith(unused_settings(config.strategy))
    }
    return json.dumps(used, sort_keys=True)


def _place(folder: Path, folders: Sequence[Path], output: Path | None) -> Path:
    """Return the folder of a baseline: in its run, or below the output by what tells the runs from each other."""
    if output is None:
        return folder / "baseline"
    absolute = [Path(os.path.abspath(one)) for one in folders]  # noqa: PTH100
    common = os.path.commonpath([one.parent for one in absolute])
    return output / Path(os.path.abspath(folder)).relative_to(common)  # noqa: PTH100
