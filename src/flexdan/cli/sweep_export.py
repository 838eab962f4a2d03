"""`flexdan sweep export`."""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from flexdan.cli.parser import describe
from flexdan.cli.sweeps import add_sweep_arguments, open_sweep
from flexdan.config.files import atomic_path, refuse_existing
from flexdan.config.trials import SweepSummary

WHAT = """\
Write all trials of a sweep as CSV, one a line: state, value, the swept parameters, all metrics of the best epoch, time,
worker, attempts, predicted and measured memory in bytes, and what went wrong."""
EXAMPLES = """\
  flexdan sweep export sweeps/first -o trials.csv
  flexdan sweep export sweeps/first | head"""

FIELDS = (  # of `Trial`, one column each, beside parameters and metrics
    *("seconds", "worker", "attempts", "predicted_peak", "measured_peak", "weights", "error", "folder"),
)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(prog="flexdan sweep export", **describe(WHAT, EXAMPLES))
    add_sweep_arguments(parser)
    parser.add_argument("-o", "--output", default="", metavar="FILE", help="default: print")
    parser.add_argument("--force", action="store_true", help="overwrite the file")
    return parser


def run(argv: Sequence[str]) -> int:
    """Write the file."""
    options = make_parser().parse_args(argv)
    if options.output:
        refuse_existing(options.output, options.force)
    study = open_sweep(options.folder, options.storage, options.name)
    from flexdan.sweep import summarize_sweep

    summary = summarize_sweep(study)
    if not options.output:
        _write(summary, sys.stdout)
        return 0
    with atomic_path(Path(options.output)) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        _write(summary, file)
    print(f"{options.output}: {len(summary.trials)} trials")
    return 0


def _write(summary: SweepSummary, file: TextIO) -> None:
    metrics = list(dict.fromkeys(name for one in summary.trials for name in one.metrics if name != "epoch"))
    measured = [f"best_epoch.{name}" for name in metrics]
    writer = csv.writer(file, lineterminator="\n")
    params = [f"param.{name}" for name in summary.parameters]
    writer.writerow(["trial", "state", summary.metric, "epoch", *params, *FIELDS, *measured])
    for one in summary.trials:
        line: list[Any] = [one.number, one.state, one.value, one.epoch]
        line += [one.params.get(name) for name in summary.parameters]
        line += [getattr(one, name) for name in FIELDS]
        writer.writerow(["" if cell is None else cell for cell in [*line, *map(one.metrics.get, metrics)]])
