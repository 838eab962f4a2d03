"""`flexdan experiments show`."""

import argparse
import textwrap
from collections.abc import Sequence

from flexdan.cli.parser import describe
from flexdan.config.errors import UserError

WHAT = """\
Show an experiment: what it tries, what the log recorded, what was wrong with that, its trainings and their settings.

The output is YAML that `flexdan train --config` reads: the full settings of one training, the first one unless --cell
names another; all else stands in comments."""
EXAMPLES = """\
  flexdan experiments show 7
  flexdan experiments show 3 --cell num_fcn_blocks=5,block_depth=1,first_layer_out_channels=64,block_pattern=double_run
  flexdan experiments show 7 > seven.yaml
  flexdan train --config seven.yaml --data.manifest data/manifest.csv -o runs/seven"""


def run(argv: Sequence[str]) -> int:
    """Show an experiment."""
    parser = argparse.ArgumentParser(prog="flexdan experiments show", **describe(WHAT, EXAMPLES))
    parser.add_argument("experiment", metavar="N", help="its name, see `flexdan experiments list`")
    parser.add_argument("--cell", default="", metavar="NAME", help="the training whose settings are shown")
    parser.add_argument("--scale", choices=("full", "smoke"), default="full", help="default: full")
    options = parser.parse_args(argv)
    from flexdan.config import to_yaml
    from flexdan.experiments import find_experiment, smoke

    experiment = find_experiment(options.experiment)
    cells = {cell.name: cell for cell in experiment.cells}
    first = next(cell for cell in experiment.cells if cell.start or all(not other.start for other in experiment.cells))
    if options.cell and options.cell not in cells:
        raise UserError(f"--cell is {options.cell!r}, which is none of: {'; '.join(cells)}")
    cell = cells[options.cell or first.name]
    print(f"# experiment {options.experiment}: {experiment.title}")
    for title, text in (("recorded", experiment.recorded), ("differs", experiment.fault)):
        if text:
            print(textwrap.fill(f"{title}: {text}", 118, initial_indent="# ", subsequent_indent="#   "))
    seeds = f", each with seeds {', '.join(map(str, experiment.seeds))}" if len(experiment.seeds) > 1 else ""
    print(f"# trainings ({len(cells)}{seeds}):")
    for one in cells.values():
        print(f"#   {one.name}" + (f"   from the SN of {one.start}" if one.start else ""))
    print(f"# settings of {cell.name}:")
    print(to_yaml(smoke(cell.config) if options.scale == "smoke" else cell.config), end="")
    return 0
