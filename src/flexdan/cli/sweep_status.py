"""`flexdan sweep status`."""

import argparse
import time
from collections.abc import Sequence

from flexdan.cli.parser import describe
from flexdan.cli.sweeps import STATUS_HEADER, add_sweep_arguments, best_line, headline, open_sweep, status_rows

WHAT = """\
Show how a sweep stands: how many trials are in which state, the best so far, about how long the rest takes, and every
trial with its worker. --live keeps a short table up to date until Ctrl-C."""
EXAMPLES = """\
  flexdan sweep status sweeps/first
  flexdan sweep status sweeps/first --live
  flexdan sweep status sweeps/many --storage postgresql://me@server/sweeps --name many"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(prog="flexdan sweep status", **describe(WHAT, EXAMPLES))
    add_sweep_arguments(parser)
    parser.add_argument("--live", action="store_true", help="show it anew every 2 seconds")
    return parser


def run(argv: Sequence[str]) -> int:
    """Print the state of the sweep."""
    options = make_parser().parse_args(argv)
    study = open_sweep(options.folder, options.storage, options.name)
    from flexdan.cli.tables import print_table
    from flexdan.sweep import seconds_left, summarize_sweep

    if options.live:
        from rich.live import Live

        from flexdan.cli.sweep_watch import status_view

        with Live(refresh_per_second=2) as live:
            while True:
                summary = summarize_sweep(study)
                live.update(status_view(summary, seconds_left(summary.trials)))
                time.sleep(2)
    summary = summarize_sweep(study)
    print(headline(summary, seconds_left(summary.trials)))
    print(best_line(summary))
    if study.stopping and any(study.to_do()):
        print(f"stopped after the current {study.stopping}s: flexdan sweep resume {options.folder}")
    print()
    print_table(STATUS_HEADER, status_rows(summary.trials), numbers=(0, 3, 5, 6))
    return 0
