"""`flexdan sweep resume`."""

import argparse
from collections.abc import Sequence

from flexdan.cli.parser import describe
from flexdan.cli.sweeps import WORKERS_HELP, add_sweep_arguments, open_sweep, storage_url

WHAT = """\
Go on with a sweep that was stopped or broke off: trials that were interrupted go on from their last epoch, and trials
that are finished stay as they are. --retry-failed tries those again that failed or ran out of memory."""
EXAMPLES = """\
  flexdan sweep resume sweeps/first
  flexdan sweep resume sweeps/first --workers 2 --retry-failed"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(prog="flexdan sweep resume", **describe(WHAT, EXAMPLES))
    add_sweep_arguments(parser)
    add = parser.add_argument
    add("--workers", type=int, default=None, metavar="N", help=WORKERS_HELP)
    add("--retry-failed", action="store_true", help="try again what failed or ran out of memory")
    return parser


def run(argv: Sequence[str]) -> int:
    """Go on; 1 if a trial failed."""
    options = make_parser().parse_args(argv)
    study = open_sweep(options.folder, options.storage, options.name)
    from flexdan.cli.sweep_watch import run_crew

    if options.retry_failed:
        print(f"{study.retry_failed()} trials are tried again")
    return run_crew(study, options.folder, storage_url(options.folder, options.storage), options.workers)
