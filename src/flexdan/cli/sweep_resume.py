"""`flexdan sweep resume`."""

import argparse
from collections.abc import Sequence

from flexdan.cli.parser import describe
from flexdan.cli.sweeps import WORKERS_HELP, add_sweep_arguments, check_data, open_sweep, storage_url

WHAT = """\
Go on with a sweep that was stopped or broke off: trials that were interrupted go on from their last epoch, and those
that are finished stay as they are. --retry-failed tries again what failed, ran out of memory or was infeasible."""
EXAMPLES = """\
  flexdan sweep resume sweeps/first
  flexdan sweep resume sweeps/first --workers 2 --retry-failed"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(prog="flexdan sweep resume", **describe(WHAT, EXAMPLES))
    add_sweep_arguments(parser)
    add = parser.add_argument
    add("--workers", type=int, default=None, metavar="N", help=WORKERS_HELP)
    add("--data", default="", metavar="MANIFEST", help="of the same data, if they are elsewhere now")
    add("--retry-failed", action="store_true", help="try again what failed, ran out of memory or was infeasible")
    return parser


def run(argv: Sequence[str]) -> int:
    """Go on; 1 if a trial failed."""
    options = make_parser().parse_args(argv)
    study = open_sweep(options.folder, options.storage, options.name)
    from flexdan.cli.sweep_watch import local_places, run_crew

    where = local_places(options.workers)
    check_data(study, options.data)
    if options.data:
        study.keep_manifest()
    if options.retry_failed:
        print(f"{study.retry_failed()} trials are tried again")
    return run_crew(study, options.folder, storage_url(options.folder, options.storage), where)
