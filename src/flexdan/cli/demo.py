"""`flexdan demo`: the main job end to end on synthetic data."""

import argparse
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from flexdan.cli.parser import describe
from flexdan.config.errors import UserError
from flexdan.config.files import refuse_existing

WHAT = """\
Run the main job end to end on synthetic data, in minutes on two cores: draw images of glands, annotated and
unannotated ones; train with both, a segmentation network against an evaluation network; evaluate; segment the
unannotated images; write a report. Every step is a command that is printed before it runs."""
EXAMPLES = """\
  flexdan demo -o demo
  flexdan demo -o demo --epochs 60 --force"""


def run(argv: Sequence[str]) -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(prog="flexdan demo", **describe(WHAT, EXAMPLES))
    parser.add_argument("-o", "--output", type=Path, default=Path("demo"), metavar="FOLDER", help="default: demo")
    parser.add_argument("--epochs", type=int, default=25, help="passes over the unannotated images; default: 25")
    parser.add_argument("--force", action="store_true", help="overwrite what is there")
    options = parser.parse_args(argv)
    folder: Path = options.output
    if options.epochs < 1:
        raise UserError(f"--epochs is {options.epochs}: it must be at least 1")
    refuse_existing(folder, options.force)

    from flexdan.cli.main import main

    manifest, model, predictions = folder / "data" / "manifest.csv", folder / "run", folder / "predictions"
    force = ["--force"] if options.force else []
    steps = [
        f"data synthesize -o {_word(folder / 'data')} --count 64 --size 160 240 --annotated 20",
        f"data inspect {_word(manifest)} -o {_word(folder / 'data.png')}",
        f"train --data.manifest {_word(manifest)} -o {_word(model)} --num_epochs {options.epochs}"
        " --sn.first_layer_out_channels 24 --use_gan true --en.num_fcn_blocks 5 --en.depth_fcn_block 1"
        " --en.first_layer_out_channels 16 --en.fcn_block_pattern single_width --en.head global_average --en_lr 0.0005",
        f"evaluate {_word(model)} --split test --tune-postprocessing",
        f"predict {_word(model)} {_word(manifest)} --split train -o {_word(predictions)}"
        " --save mask outlines instances",
        f"report {_word(model)} --predictions {_word(predictions)}",
    ]
    start = time.monotonic()
    for step in steps:
        print(f"\n$ flexdan {step}", flush=True)
        code = main([*shlex.split(step), *force])
        if code:
            return code
    minutes = (time.monotonic() - start) / 60
    sights = {
        folder / "data.png": "what the network had to learn from",
        model / "evaluation" / "test" / "examples.png": "annotation and prediction on images it has never seen",
        model / "report.html": "curves, figures and pictures on one page",
        predictions / "outlines": "the segmented training images, most of them never annotated",
    }
    width = max(len(str(path)) for path in sights)
    print(f"\nThe demo took {minutes:.1f} minutes. Look at")
    for path, what in sights.items():
        print(f"  {path!s:<{width}}  {what}")
    print("The same commands work on images of your own: start with `flexdan data import --help`.")
    return 0


def _word(path: Path) -> str:
    return shlex.quote(str(path))
