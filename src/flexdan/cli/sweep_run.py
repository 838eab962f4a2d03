"""`flexdan sweep run`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from flexdan.cli.parser import describe
from flexdan.cli.sweeps import (
    STORAGE_HELP,
    WORKERS_HELP,
    read_address,
    refuse_other_things,
    storage_url,
    write_address,
)
from flexdan.config import UserError, add_settings, changed_settings, parse_command
from flexdan.config.files import check_folder

if TYPE_CHECKING:
    from flexdan.experiments import Sweep

WHAT = """\
Run a sweep: every trial of a grid, or as many as wanted of those that random or bayes choose, one after the other or
several at once, and on many machines together.

FILE is a W&B sweep file, read as it is (method grid, random or bayes; values, min and max, distribution; nested or
flat names, those of the experiments log too; early_terminate; run_cap), or a Python file with a function sweep() that
returns a flexdan.experiments.Sweep. Options such as --data.manifest are settings of all trials, above those that the
file fixes.

The memory planner is asked first: trials that cannot fit are recorded as infeasible, with what they would need, and
are not begun. A trial that runs out of memory or fails is recorded, and the sweep goes on. The same command again, or
`flexdan sweep resume`, goes on with what is left, interrupted trials from their last epoch. With --storage any number
of machines work on the sweep, see `flexdan sweep worker --help`."""

USAGE = "flexdan sweep run FILE [-o FOLDER] [--workers N] [--trials N] [--storage URL] [--SECTION.SETTING VALUE ...]"
EXAMPLES = """\
  flexdan sweep run sweep.yaml --data.manifest data/glas.csv -o sweeps/first
  flexdan sweep run sweep.yaml --data.manifest data/glas.csv --workers 2 --trials 50 -o sweeps/random
  flexdan sweep run --experiment 3 --data.manifest data/glas.csv --memory 14.76GiB -o sweeps/three
  flexdan sweep run sweep.yaml --data.manifest data/glas.csv --scale smoke -o sweeps/smoke
  flexdan sweep run sweep.yaml --data.manifest data/glas.csv --storage postgresql://me@server/sweeps -o sweeps/many"""


def run(argv: Sequence[str]) -> int:
    """Run a sweep; 1 if a trial failed."""
    parser = ArgumentParser(
        prog="flexdan sweep run", usage=USAGE, exit_on_error=False, **describe(WHAT, EXAMPLES, defaults=True)
    )
    add = parser.add_argument
    add("file", nargs="?", default="", metavar="FILE", help="W&B sweep file (YAML), or Python")
    add("--experiment", default="", metavar="N", help="the sweep of an experiment of the log: 3, 4, 5 or 9")
    add("-o", "--output", default="", metavar="FOLDER", help="of the sweep; default: sweeps/ and the name of the file")
    add("--name", default="", metavar="NAME", help="in the storage; default: the name of the folder")
    add("--storage", default="", metavar="URL", help=STORAGE_HELP)
    add("--workers", type=int, default=None, metavar="N", help=WORKERS_HELP)
    add(
        "--trials",
        type=int,
        default=None,
        metavar="N",
        help="at most so many; default: run_cap of the file, or no limit",
    )
    add("--memory", default="", metavar="SIZE", help="of a trial, such as 14.76GiB; default: what its device has")
    add("--device", default="", metavar="NAME", help="class for the planner, see flexdan plan; default: this machine's")
    add("--no-plan", action="store_true", help="do not ask the memory planner")
    add(
        "--scale",
        choices=("full", "smoke"),
        default="full",
        help="smoke: small images, networks and epochs, seconds each",
    )
    add("--grace", type=float, default=120.0, metavar="S", help="seconds without a sign of life, then a worker is dead")
    add_settings(parser)
    arguments, _, _ = parse_command(parser, argv)
    if bool(arguments.file) == bool(arguments.experiment):
        raise UserError("say either a sweep file or --experiment N, see `flexdan sweep run --help`")
    sweep, notes = _read(arguments)
    sweep, more = _with_options(sweep, parser, argv, arguments)
    for note in [*notes, *more]:
        print(f"note: {note}")
    folder = Path(arguments.output or f"sweeps/{Path(arguments.file or f'experiment{arguments.experiment}').stem}")
    check_folder(folder)

    from flexdan.cli.sweep_watch import local_places, run_crew
    from flexdan.memory import find_device, parse_memory
    from flexdan.sweep import Definition, Space, SweepStudy, create_sweep, open_storage

    if arguments.grace < 1:
        raise UserError(f"--grace is {arguments.grace:g}, but must be 1 second at least")
    if arguments.device:
        find_device(arguments.device)
    where = local_places(arguments.workers)
    space = Space(sweep, arguments.scale == "smoke")
    swept = space.swept
    space.check()
    name = arguments.name or read_address(folder).get("name") or folder.resolve().name
    refuse_other_things(folder)
    if arguments.scale == "smoke" and "data.manifest" not in swept:
        from flexdan.cli.smoke_data import draw_few

        few = str(draw_few(sweep.settings.get("data.manifest", ""), folder))
        sweep = replace(sweep, settings={**sweep.settings, "data.manifest": few})
    definition = Definition(
        sweep=sweep,
        small=arguments.scale == "smoke",
        plan=not arguments.no_plan,
        memory=parse_memory(arguments.memory) if arguments.memory else None,
        device=arguments.device,
        manifest_sha256="" if "data.manifest" in swept else _manifest_hash(sweep),
        grace=arguments.grace,
    )
    folder.mkdir(parents=True, exist_ok=True)
    url = storage_url(folder, arguments.storage)
    storage = open_storage(url, folder)
    for note in create_sweep(storage, name, definition):
        print(f"note: {note}")
    write_address(folder, name, url)
    return run_crew(SweepStudy(storage, name), folder, url, where)


def _read(arguments: Any) -> "tuple[Sweep, list[str]]":
    if arguments.experiment:
        from flexdan.experiments import find_sweep

        return find_sweep(arguments.experiment), []
    from flexdan.sweep import is_sweep, read_sweep

    path = Path(arguments.file)
    if not is_sweep(path):
        raise UserError(f"{path} has no parameters, so it is no sweep: `flexdan train --config {path}` trains it")
    return read_sweep(path)


def _with_options(
    sweep: "Sweep", parser: ArgumentParser, argv: Sequence[str], arguments: Any
) -> "tuple[Sweep, list[str]]":
    """Return the sweep with the settings of --config below and those of the command line above its own."""
    below: dict[str, Any] = {}
    if arguments.config:
        from flexdan.sweep import Space

        swept = Space(sweep).swept
        found = changed_settings(parse_command(parser, ["--config", arguments.config])[1])
        below = {name: value for name, value in found.items() if name not in swept}
        argv = _without_config(argv)
    _, config, notes = parse_command(parser, argv, base={**below, **sweep.settings})
    settings = changed_settings(config)
    for name in ("data.manifest", "init_sn", "init_en"):  # workers may start elsewhere
        if settings.get(name):
            settings[name] = str(Path(settings[name]).absolute())
    cap = sweep.run_cap if arguments.trials is None else arguments.trials
    return replace(sweep, settings=settings, run_cap=cap, seed=settings.get("seed", sweep.seed)), notes


def _without_config(argv: Sequence[str]) -> list[str]:
    kept = [token for token in argv if not token.startswith("--config=")]
    if "--config" in kept:
        place = kept.index("--config")
        kept = kept[:place] + kept[place + 2 :]
    return kept


def _manifest_hash(sweep: "Sweep") -> str:
    from flexdan.data import file_sha256

    manifest = sweep.settings.get("data.manifest", "")
    if not manifest:
        raise UserError("there are no data: say --data.manifest FILE, see `flexdan data import --help`")
    if not Path(manifest).is_file():
        raise UserError(f"data.manifest is {manifest}, which is not there; see `flexdan data import --help`")
    return file_sha256(Path(manifest))
