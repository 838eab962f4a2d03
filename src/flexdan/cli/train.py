"""`flexdan train`."""

import os
import sys
from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from flexdan.cli.parser import describe
from flexdan.config import (
    RECOMMENDED_PIXELS,
    RunConfig,
    Strategy,
    UserError,
    add_settings,
    config_from_mapping,
    given_settings,
    parse_command,
    read_settings_file,
    recommended_settings,
    recommended_strategies,
    says_nothing_but_data,
    setting_values,
    term_of,
    unused_settings,
)
from flexdan.config.files import refuse_existing

WHAT = """\
Train a segmentation network on the annotated images of a manifest and, with --use_gan true (strategy dan), on its
unannotated ones too, against an evaluation network, or with --strategy mean_teacher and others (docs/strategies.md).

Settings come from --config and from options such as --sn.num_fcn_blocks 5; the names of the experiments log
(sn_num_fcn_blocks, lr, num_epochs, scheduler_factor, …) are understood too, and so is every way in which `wandb agent`
writes settings (lr=0.01, a JSON object, …). The run folder holds config.yaml, record.jsonl, best.ckpt, last.ckpt,
log.txt and TensorBoard events.

Where nothing but data is said, the settings are those that our studies found best (docs/results.md), and the command
prints them; with --recommended yes they are the ground for settings of your own, with no it is the defaults below."""

USAGE = "flexdan train [-o RUN | --resume RUN] [--config FILE] [--SECTION.SETTING VALUE ...]"
EXAMPLES = """\
  flexdan train --data.manifest data/manifest.csv -o runs/first
  flexdan train --config run.yaml --sn.num_fcn_blocks 5 --num_epochs 100 -o runs/deep
  flexdan train --data.manifest data/manifest.csv --sn_model_type ZhengSN --batch_size 2
  flexdan train --data.manifest data/manifest.csv --sn.model_type monai.networks.nets.BasicUNet \\
      --sn.model_args '{spatial_dims: 2, in_channels: 3, out_channels: 2}'
  flexdan train --data.manifest data/manifest.csv --data.annotated 9 --use_gan true --en.head global_average -o runs/dan
  flexdan train --config run.yaml --memory 8GiB -o runs/small
  flexdan train --resume runs/first
  flexdan train --data.manifest data/manifest.csv --init-sn runs/first --lr 0.0005 -o runs/tuned
  flexdan train --config run.yaml --training.wandb true -o runs/tracked
  torchrun --nproc_per_node 2 -m flexdan train --config run.yaml -o runs/two_gpus"""

FREE_ON_RESUME = (
    *("data.manifest", "data.cache_gib", "training.num_epochs", "training.num_workers", "training.pin_memory"),
    *("training.tensorboard", "training.wandb", "training.early_stopping_patience"),
)


def run(argv: Sequence[str]) -> int:
    """Train, or go on with a run."""
    parser = ArgumentParser(
        prog="flexdan train", usage=USAGE, exit_on_error=False, **describe(WHAT, EXAMPLES, defaults=True)
    )
    parser.add_argument("-o", "--output", default="", metavar="RUN", help="run folder; default: runs/DATE-TIME")
    parser.add_argument("--resume", default="", metavar="RUN", help="go on with the run in this folder")
    parser.add_argument(
        "--force", action="store_true", help="overwrite the run in the folder; train also what does not fit into memory"
    )
    parser.add_argument(
        "--memory",
        default="",
        metavar="SIZE",
        help="refuse a training that needs more, such as 14.76GiB, and recommend none; default: all of a GPU, no limit "
        "on the CPU, where a quarter is left to others if nothing but data is said",
    )
    parser.add_argument(
        "--recommended",
        choices=("auto", "yes", "no"),
        default="auto",
        help="settings that our studies found best, for what is not said; auto: if nothing but data is said",
    )
    add_settings(parser)
    arguments, config, notes = parse_command(parser, argv)
    for note in notes:
        print(f"note: {note}")

    if arguments.resume:
        folder = Path(arguments.resume)
        if arguments.output and Path(arguments.output) != folder:
            raise UserError(f"-o is {arguments.output}, but --resume goes on in {folder}: leave -o out")
        saved = _settings_to_resume(folder)
        _, given, _ = parse_command(parser, argv, base=saved)
        config = _resumed_config(folder, saved, given)
    else:
        folder = _new_folder(arguments.output, arguments.force)
        said = given_settings(parser, argv)
        plain = not arguments.config and says_nothing_but_data(said)
        if arguments.recommended == "yes" or (arguments.recommended == "auto" and plain):
            base = _recommended(config, parser, argv, arguments.memory)
            _, config, _ = parse_command(parser, argv, base=base)
            _tell_recommended(base)
        elif arguments.recommended == "auto" and not arguments.config:
            print("note: what is not said has its plain default; --recommended yes takes what our studies found best")
        if unused := [name for name in said if name.startswith(unused_settings(config.strategy))]:
            print(f"note: the {config.strategy} strategy does not use {', '.join(unused)}")

    from flexdan.memory import train_planned

    limit = _limit(arguments.memory)
    train_planned(config, folder, memory=limit, force=arguments.force, resume=bool(arguments.resume))
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # all is written, and torch's connections can abort the teardown
        sys.stdout.flush()
        os._exit(0)
    return 0


def _limit(memory: str) -> int | None:
    """Return the bytes that --memory allows, if it says any; it loads torch, which mistakes need not wait for."""
    from flexdan.memory import parse_memory

    return parse_memory(memory) if memory else None


def _recommended(config: RunConfig, parser: ArgumentParser, argv: Sequence[str], memory: str) -> dict[str, Any]:
    """Return what the studies found best for this machine, the images of a configuration and the strategy it names."""
    import torch

    from flexdan.data.summary import typical_diameter
    from flexdan.engine.setup import gather_data
    from flexdan.memory import has_room

    data = gather_data(config)
    gpu = config.training.device == "auto" and torch.accelerator.current_accelerator(check_available=True) is not None
    diameter = typical_diameter(data.annotated, RECOMMENDED_PIXELS)
    usual = recommended_strategies(len(data.annotated), len(data.unannotated))
    # Where the command or its file names a strategy, that is what all of these are.
    named: list[Strategy] = [parse_command(parser, argv, base={"strategy": one})[1].strategy for one in usual]
    *others, last = [
        recommended_settings("gpu" if gpu else "cpu", data.channels, diameter, strategy)
        for strategy in dict.fromkeys(named)
    ]
    for settings in others:
        if has_room(parse_command(parser, argv, base=settings)[1], _limit(memory)):
            return settings
        _say_once(
            f"note: {settings['strategy']}, which our studies found best, needs more memory than there is to spare"
        )
    return last


def _tell_recommended(settings: Mapping[str, Any]) -> None:
    said = ", ".join(f"{name} {value}" for name, value in settings.items())
    _say_once(
        f"taking the settings that our studies found best (docs/results.md; --recommended no leaves them): {said}"
    )


def _say_once(text: str) -> None:
    """Print a line, of several processes the first."""
    if os.environ.get("RANK", "0") == "0":
        print(text)


def _new_folder(output: str, force: bool) -> Path:
    """Return the folder of a new run; what an older run left in it goes away only when the new one has begun."""
    if not output and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("several processes train together, and each would make a folder of its own: say -o RUN")
    agent = f"-{os.environ.get('WANDB_RUN_ID', '')}" * ("WANDB_SWEEP_ID" in os.environ)  # several start at once
    folder = Path(output or f"runs/{datetime.now():%Y%m%d-%H%M%S}{agent}")
    if os.environ.get("RANK", "0") != "0":
        return folder  # of several processes the first looks after the files
    refuse_existing(folder, force)
    refuse_other_things(folder)
    return folder


def refuse_other_things(folder: Path) -> None:
    """Raise a `UserError` if a folder for a run is a file, or holds things that are not those of a run."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / "record.jsonl").is_file()):
        raise UserError(f"{folder} holds other things than a run: name another folder with -o, or empty this one")


def saved_settings(folder: Path) -> dict[str, Any]:
    """Return the settings of the run in a folder, as plain values by dotted name."""
    return setting_values(config_from_mapping(read_settings_file(folder / "config.yaml"))[0])


def differing_settings(saved: Mapping[str, Any], wanted: Mapping[str, Any], free: Container[str]) -> list[str]:
    """Return the settings, by dotted name, that are wanted otherwise than they are; `auto` agrees with what it became.

    Args:
        saved: of a run.
        wanted: for it now.
        free: names that may differ.
    """
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in wanted.items()}
    return [name for name, value in plain.items() if value not in ("auto", saved[name]) and name not in free]


def _settings_to_resume(folder: Path) -> dict[str, Any]:
    if not (folder / "config.yaml").is_file():
        raise UserError(f"--resume is {folder}, which is no run folder: there is no config.yaml in it")
    if not (folder / "last.ckpt").is_file():
        raise UserError(f"{folder} has no finished epoch to go on from: start it anew with -o {folder} --force")
    return saved_settings(folder)


def _resumed_config(folder: Path, saved: Mapping[str, Any], given: RunConfig) -> RunConfig:
    """Return the settings of a run with those changed that may change on the way; refuse any other change.

    The manifest may have moved: its content is compared later.
    """
    wanted = {name: saved[name] if value == "auto" else value for name, value in setting_values(given).items()}
    planned = (  # for the whole training, so its length is fixed
        saved["scheduler.scheduler_type"] in ("OneCycle", "Cosine")
        or saved["training.weight_averaging"] == "swa"
        or term_of(saved["strategy"])  # its weight rises, or its generations follow each other
    )
    free = set(FREE_ON_RESUME) - ({"training.num_epochs"} if planned else set())
    if fixed := differing_settings(saved, wanted, free):
        raise UserError(
            f"{fixed[0]} is {wanted[fixed[0]]!r}, but the run in {folder} has {saved[fixed[0]]!r}: a resumed run keeps "
            f"its settings (free are {', '.join(sorted(free))}); for a new run say --init-sn {folder}"
        )
    return config_from_mapping(wanted)[0]
