"""`flexdan sweep stop`."""

import argparse
from collections.abc import Sequence

from flexdan.cli.parser import describe
from flexdan.cli.sweeps import add_sweep_arguments, open_sweep

WHAT = """\
Ask all workers of a sweep, on whichever machines, to stop: after their current epoch, from which `flexdan sweep resume`
goes on, or after their current trial."""
EXAMPLES = """\
  flexdan sweep stop sweeps/first
  flexdan sweep stop sweeps/first --after trial"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(prog="flexdan sweep stop", **describe(WHAT, EXAMPLES))
    add_sweep_arguments(parser)
    parser.add_argument("--after", choices=("epoch", "trial"), default="epoch", help="what is finished; default: epoch")
    return parser


def run(argv: Sequence[str]) -> int:
    """Ask for it."""
    options = make_parser().parse_args(argv)
    study = open_sweep(options.folder, options.storage, options.name)
    if not any(study.to_do()):
        print(f"{study.name} is finished: there is nothing to stop")
        return 0
    study.stop(options.after)
    from flexdan.sweep import SIGNS

    hear = f", which they hear of within {study.definition.grace / SIGNS:.0f} s" * (options.after == "epoch")
    print(f"all workers end after their current {options.after}{hear}; then: flexdan sweep resume {options.folder}")
    return 0
