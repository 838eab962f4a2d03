"""`flexdan experiments list`."""

import argparse
from collections.abc import Sequence

from flexdan.cli.parser import describe

EXAMPLES = """\
  flexdan experiments list"""


def run(argv: Sequence[str]) -> int:
    """List the experiments."""
    what = "List the experiments: those of the log by their numbers, and ours."
    argparse.ArgumentParser(prog="flexdan experiments list", **describe(what, EXAMPLES)).parse_args(argv)
    from flexdan.experiments import EXPERIMENTS

    width = max(map(len, EXPERIMENTS))
    for name, make in EXPERIMENTS.items():
        experiment = make()
        trainings = len(experiment.cells) * len(experiment.seeds)
        print(f"{name:<{width}}  {trainings:>3} training{'s' if trainings > 1 else ' '}  {experiment.title}")
    return 0
