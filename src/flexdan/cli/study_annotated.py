"""`flexdan study annotated`."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flexdan.cli.parser import describe
from flexdan.cli.sweeps import WORKERS_HELP, open_sweep, read_address, refuse_other_things, storage_url, write_address
from flexdan.config.errors import UserError

if TYPE_CHECKING:
    from flexdan.sweep import Definition, Place, SweepStudy

WHAT = """\
Draw a learning curve: train with few annotated images and with more, supervised and with unannotated images too (dan),
with several seeds, evaluate every network on images that no training has seen, and show how good they are over the
number of annotated images, and what the unannotated ones add.

All trainings have as many updates of the segmentation network, whatever is annotated. With one seed all strategies have
the same annotated images, and a larger number contains those of a smaller one. --control adds dan without sigma, which
sees the unannotated images but learns nothing from the evaluation network: what dan gains beyond it is due to that.
--strategies takes any of flexdan train, such as mean_teacher and fixmatch.

The study is a sweep: `flexdan sweep status FOLDER` shows it, and any number of `flexdan sweep worker FOLDER` may join.
The same command again, or only -o FOLDER, goes on where it stopped; with nothing left to train it evaluates and draws.
More counts, strategies or seeds are added to what is there. Results: study.html and curve.svg (figures), curve.csv
(every training), summary.csv (means over seeds), gains.csv (paired differences), summary.md (both, as tables)."""
EXAMPLES = """\
  flexdan study annotated --data data/glas.csv --counts 5,9,17,43,85 -o studies/glas
  flexdan study annotated --data data/glas.csv --counts 5,9,17 --control --seeds 5 --updates 40 -o studies/glas
  flexdan study annotated --data data/glas.csv --counts 9 --strategies supervised,mean_teacher,unimatch -o studies/ssl
  flexdan study annotated --data data/glas.csv --counts 5,9 --set num_epochs=60 sn_num_fcn_blocks=5 -o studies/more
  flexdan study annotated --data data/glas.csv --counts 5,9,17 -o studies/glas --dry-run
  flexdan study annotated -o studies/glas --no-train --metrics objects.f1,full_resolution.iou"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(prog="flexdan study annotated", **describe(WHAT, EXAMPLES))
    add = parser.add_argument
    add("--data", default="", metavar="MANIFEST", help="with the splits train and val, and best with test")
    add("-o", "--output", type=Path, required=True, metavar="FOLDER", help="of the study")
    add("--counts", default="", metavar="N,N,…", help="numbers of annotated images")
    add("--strategies", default="", metavar="NAME,…", help="see docs/strategies.md; default: supervised,dan")
    add("--control", action="store_true", help="add dan_without_sigma, see above")
    add("--seeds", type=int, metavar="N", help="how many, from 0 on; default: 3")
    add("--updates", type=int, metavar="N", help="of an epoch; default: a pass over the largest count")
    add("--config", default="", metavar="FILE", help="settings of all trainings (YAML)")
    add(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="settings of all trainings, above the file",
    )
    add("--split", default="", help="that is evaluated; default: test, or val where there is none")
    add(
        "--tune-postprocessing",
        action="store_true",
        help="find that of each network on the validation images, see flexdan evaluate",
    )
    add(
        "--evaluate",
        default="",
        metavar="OPTIONS",
        help="of flexdan evaluate, such as --evaluate='--tta --fill-holes --min-size 500'",
    )
    add("--metrics", default="", metavar="NAME,…", help="that are drawn, such as objects.f1,full_resolution.iou")
    add("-n", "--workers", type=int, metavar="N", help=WORKERS_HELP)
    add("--memory", default="", metavar="SIZE", help="of a training, such as 14.76GiB; default: what its device has")
    add("--device", default="", metavar="NAME", help="class for the planner, see flexdan plan; default: this machine's")
    add("--no-plan", action="store_true", help="do not ask the memory planner")
    add("--no-train", action="store_true", help="only evaluate what is trained, and draw")
    add("--dry-run", action="store_true", help="only say what would be trained, and whether it fits into memory")
    return parser


def run(argv: Sequence[str]) -> int:
    """Train, evaluate and draw; 1 if a training or an evaluation failed."""
    options = make_parser().parse_args(argv)
    from flexdan.cli.study_plan import as_it_is, evaluated_split, plan_study, print_memory, split_names
    from flexdan.cli.study_results import known_scores, read_evaluation_options, write_results
    from flexdan.cli.sweep_watch import local_places
    from flexdan.config.files import check_folder
    from flexdan.report.learning_scores import DEFAULT, choose_scores

    ways = read_evaluation_options(options.evaluate, options.tune_postprocessing)
    scores = choose_scores(split_names(options.metrics) or DEFAULT, known_scores())
    refuse_other_things(options.output)
    study, code = _old_study(options.output), 0
    if options.no_train and study is None:
        raise UserError(f"--no-train evaluates and draws a study, but there is none in {options.output}: leave it out")
    plan = as_it_is(options, study) if options.no_train or not options.counts else plan_study(options, study)
    split, note = evaluated_split(options.split, plan.config)
    for line in [] if options.no_train else plan.lines:
        print(line)
    if options.dry_run:
        print_memory(plan.definition, options.workers)
        return 0
    check_folder(options.output)
    where = local_places(options.workers)
    figures = f"flexdan study annotated -o {shlex.quote(str(options.output))} --no-train"
    figures += " --tune-postprocessing" * options.tune_postprocessing
    figures += f" --evaluate={shlex.quote(options.evaluate)}" if options.evaluate else ""
    try:
        if study is None or not options.no_train:
            study = _make(options.output, plan.definition)
            code = _train(study, options.output, where, shlex.join(["flexdan", "study", "annotated", *argv]))
            if options.workers == 0:
                print(f"figures, when they have done it: {figures}")
        return max(code, write_results(study, options.output, split, scores, ways, note=note))
    except KeyboardInterrupt:
        print(f"figures of what is done: {figures}")
        raise


def _old_study(folder: Path) -> "SweepStudy | None":
    """Return the study that is in a folder already."""
    if not read_address(folder):
        return None
    study = open_sweep(folder, "", "")
    if study.sweep.listed is None:
        raise UserError(f"{folder} holds a sweep that is no study: name another folder with -o")
    return study


def _make(folder: Path, definition: "Definition") -> "SweepStudy":
    """Return the study with all its trainings, in its folder."""
    from flexdan.sweep import SweepStudy, create_sweep, open_storage

    folder.mkdir(parents=True, exist_ok=True)
    name, url = read_address(folder).get("name") or folder.resolve().name, storage_url(folder, "")
    storage = open_storage(url, folder)
    for note in create_sweep(storage, name, definition):
        print(f"note: {note}")
    write_address(folder, name, url)
    return SweepStudy(storage, name)


def _train(study: "SweepStudy", folder: Path, where: "Sequence[Place]", again: str) -> int:
    from flexdan.cli.sweep_watch import run_crew
    from flexdan.sweep import summarize_sweep

    if not study.missing() and not any(study.to_do()):
        print("nothing is left to train")
        return int(any(one.state == "failed" for one in summarize_sweep(study).trials))
    return run_crew(study, folder, storage_url(folder, ""), where, again)
