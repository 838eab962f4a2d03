"""`flexdan config show`."""

from collections.abc import Sequence

from jsonargparse import ArgumentParser

from flexdan.cli.parser import describe
from flexdan.config import add_settings, parse_command, to_yaml

USAGE = "flexdan config show [--config FILE] [--SECTION.SETTING VALUE ...]"
EXAMPLES = """\
  flexdan config show > run.yaml
  flexdan config show --config run.yaml --sn_num_fcn_blocks 6
  flexdan config show --config runs/first/config.yaml"""


def run(argv: Sequence[str]) -> int:
    """Print the settings that a training with these arguments would have."""
    what = (
        "Print the full settings of a training as YAML: defaults, then the file, then the options. What stands as auto "
        "is found from the images when the training starts; the run's config.yaml has it."
    )
    parser = ArgumentParser(
        prog="flexdan config show", usage=USAGE, exit_on_error=False, **describe(what, EXAMPLES, defaults=True)
    )
    add_settings(parser)
    _, config, notes = parse_command(parser, argv)
    print("".join(f"# note: {note}\n" for note in notes) + to_yaml(config), end="")
    return 0
