"""The `flexdan` command: finds the subcommand, imports only its file, and turns a user's mistake into exit code 2."""

import importlib
import os
import sys
from collections.abc import Sequence

from flexdan import __version__
from flexdan.config.errors import RunError, UserError

COMMANDS = {  # subcommand -> (module, what it does)
    "demo": ("flexdan.cli.demo", "run the main job end to end on synthetic data"),
    "data import": ("flexdan.cli.data_import", "make a manifest from folders of images and masks"),
    "data inspect": ("flexdan.cli.data_inspect", "show what is in a manifest, and check it for leaks"),
    "data split": ("flexdan.cli.data_split", "divide a manifest into splits, and choose annotated images"),
    "data synthesize": ("flexdan.cli.data_synthesize", "draw a synthetic set of gland images with masks"),
    "config show": ("flexdan.cli.config_show", "print the full settings of a training as YAML"),
    "experiments list": ("flexdan.cli.experiments_list", "list the experiments of the log, and ours"),
    "experiments show": ("flexdan.cli.experiments_show", "show the settings of an experiment and what was recorded"),
    "experiments run": ("flexdan.cli.experiments_run", "run experiments and print a table"),
    "plan": ("flexdan.cli.plan", "tell what fits into the memory of a device, before it is paid for"),
    "train": ("flexdan.cli.train", "train a network"),
    "sweep run": ("flexdan.cli.sweep_run", "try many settings, on one machine or many"),
    "sweep worker": ("flexdan.cli.sweep_worker", "take trials of a sweep, here or on another machine"),
    "sweep status": ("flexdan.cli.sweep_status", "show how a sweep stands"),
    "sweep stop": ("flexdan.cli.sweep_stop", "ask all workers of a sweep to stop"),
    "sweep resume": ("flexdan.cli.sweep_resume", "go on with a sweep that was stopped"),
    "sweep best": ("flexdan.cli.sweep_best", "show the best trials of a sweep, or their settings"),
    "sweep report": ("flexdan.cli.sweep_report", "write a page about a sweep"),
    "sweep export": ("flexdan.cli.sweep_export", "write all trials of a sweep as CSV"),
    "study annotated": ("flexdan.cli.study_annotated", "draw a learning curve over the number of annotated images"),
    "evaluate": ("flexdan.cli.evaluate", "measure a trained network on a split"),
    "compare": (
        "flexdan.cli.compare",
        "compare configurations over seeds and images, with intervals and a fairness check",
    ),
    "baseline": ("flexdan.cli.baseline", "train the matching supervised-only run of a run, and compare the two"),
    "predict": ("flexdan.cli.predict", "segment images with a trained network"),
    "report": ("flexdan.cli.report", "write a page about a run"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return the exit code: 0, 1 for a failure, 2 for a user's mistake, 130 for Ctrl-C."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["--version"]:
        print(f"flexdan {__version__}")
        return 0
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())
        return 0
    name = " ".join(argv[:2]) if " ".join(argv[:2]) in COMMANDS else argv[0]
    if name not in COMMANDS:
        group = [command for command in COMMANDS if command.startswith(f"{name} ")]
        if group and (not argv[1:] or argv[1] in ("-h", "--help")):
            print(_overview(group))
            return 0
        print(_unknown(" ".join(argv[:2]) if group else name), file=sys.stderr)
        return 2
    try:
        command = importlib.import_module(COMMANDS[name][0])
        return command.run(argv[len(name.split()) :]) or 0
    except UserError as error:
        print(f"flexdan {name}: error: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"flexdan {name}: failed: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.filename is None:
            raise
        print(f"flexdan {name}: error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"flexdan {name}: stopped", file=sys.stderr)
        return 130


def _overview(commands: Sequence[str] = tuple(COMMANDS)) -> str:
    width = max(map(len, commands))
    lines = [f"  flexdan {name:<{width}}  {COMMANDS[name][1]}" for name in commands]
    return "\n".join(
        [
            "FlexDAN segments biomedical images when annotations are scarce.",
            "",
            *lines,
            "",
            "examples:",
            "  flexdan data import images/ --masks masks/ -o data/manifest.csv --split train=0.8 val=0.2",
            "  flexdan train --data.manifest data/manifest.csv -o runs/first",
            "  flexdan predict runs/first new_images/ -o predictions/",
            "",
            "`flexdan COMMAND --help` tells more about each; `flexdan --version` prints the version.",
        ]
    )


def _unknown(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, COMMANDS, n=2)
    hint = f"did you mean {' or '.join(near)}?" if near else f"the commands are {', '.join(COMMANDS)}"
    return f"flexdan: error: unknown command {name!r}: {hint}"
