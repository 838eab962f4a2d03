"""`flexdan sweep best`."""

import argparse
from collections.abc import Sequence

from flexdan.cli.parser import describe
from flexdan.cli.sweeps import add_sweep_arguments, duration, open_sweep, params_text, score_text
from flexdan.config.errors import UserError

WHAT = """\
Show the best trials of a sweep, by the best value of its metric over their epochs. --config prints all settings of the
best one as YAML, which `flexdan train --config` reads."""
EXAMPLES = """\
  flexdan sweep best sweeps/first
  flexdan sweep best sweeps/first --top 10
  flexdan sweep best sweeps/first --config > best.yaml
  flexdan sweep best sweeps/first --config --trial 12 > twelve.yaml"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(prog="flexdan sweep best", **describe(WHAT, EXAMPLES))
    add_sweep_arguments(parser)
    add = parser.add_argument
    add("--config", action="store_true", help="print the full settings of the best trial as YAML")
    add("--trial", type=int, default=None, metavar="N", help="the settings of this trial, with --config")
    add("--top", type=int, default=1, metavar="N", help="show so many trials; default: 1")
    return parser


def run(argv: Sequence[str]) -> int:
    """Print the best trials, or the settings of one."""
    options = make_parser().parse_args(argv)
    if options.top < 1:
        raise UserError(f"--top is {options.top}, but must be 1 at least")
    if options.trial is not None and not options.config:
        raise UserError(f"--trial is {options.trial}, which goes with --config")
    study = open_sweep(options.folder, options.storage, options.name)
    from flexdan.cli.tables import print_table
    from flexdan.config import to_yaml
    from flexdan.sweep import summarize_sweep

    summary = summarize_sweep(study)
    found = {one.number: one for one in summary.trials}
    if options.trial is not None and options.trial not in found:
        raise UserError(f"--trial is {options.trial}, but the sweep has the trials 0 to {max(found, default=0)}")
    if options.config and options.top > 1:
        raise UserError(f"--top is {options.top}, but --config prints the settings of one trial")
    ranking = [found[options.trial]] if options.trial is not None else list(summary.ranking or summary.standing)
    if not ranking:
        raise UserError(f"no trial of {study.name} has a value yet: `flexdan sweep status {options.folder}` shows them")
    if options.config:
        file = options.folder / ranking[0].folder / "config.yaml"
        whole = bool(ranking[0].folder) and file.is_file()  # that of the run names its channels and image size too
        print(file.read_text(encoding="utf-8") if whole else to_yaml(study.config(ranking[0].params)), end="")
        return 0
    header = ("trial", "state", summary.metric, "time", "run folder", "parameters")
    rows = [
        (
            str(one.number),
            one.state,
            score_text(one),
            duration(one.seconds),
            str(options.folder / one.folder),
            params_text(one.params),
        )
        for one in ranking[: options.top]
    ]
    print_table(header, rows, numbers=(0,))
    return 0
