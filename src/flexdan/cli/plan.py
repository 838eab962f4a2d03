"""`flexdan plan`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from flexdan.cli.parser import describe
from flexdan.config import RunConfig, UserError, add_settings, parse_command, setting_values

if TYPE_CHECKING:
    from flexdan.memory import Device, PlanRow

WHAT = """\
Tell what fits into the memory of a device, without that device and without allocating anything: the real training step
runs on tensors that have shapes and no data, and PyTorch's allocator is replayed over what it asks for.

CONFIG is a file of settings or a run folder, SWEEP a sweep file with `method: grid`; without both, the settings are
those of the options. Without a manifest in data.manifest, images of 3 channels, 2 classes and 224x332 pixels are
assumed. The verdict is "tight" where less than 5 % of the memory is left. For what does not fit, the cheapest change
with which it does is looked for and checked in the same way."""

USAGE = "flexdan plan [CONFIG | SWEEP] [--memory SIZE] [--device NAME] [--SECTION.SETTING VALUE ...]"
EXAMPLES = """\
  flexdan plan --memory 14.76GiB --sn_num_fcn_blocks 6 --sn_block_pattern single_run
  flexdan plan run.yaml --device t4
  flexdan plan sweep.yaml --device t4 --json > plan.json
  flexdan plan --experiment 5 --device t4
  flexdan plan runs/first --memory 24GiB --data.image_size '[512, 768]'
  flexdan plan --calibrate -o my_gpu.yaml
  flexdan plan run.yaml --device my_gpu.yaml"""


OWN_OPTIONS = ("--experiment", "--memory", "--device", "--json", "--calibrate", "--output", "--force")


def run(argv: Sequence[str]) -> int:
    """Print what fits."""
    parser = ArgumentParser(
        prog="flexdan plan", usage=USAGE, exit_on_error=False, **describe(WHAT, EXAMPLES, defaults=True)
    )
    add = parser.add_argument
    add("what", nargs="?", default="", metavar="CONFIG|SWEEP", help="settings, a run folder or a sweep file")
    add("--experiment", default="", metavar="N", help="plan every training of an experiment of the log")
    add("--memory", default="", metavar="SIZE", help="of the device, such as 14.76GiB; default: what the device has")
    add(
        "--device",
        default="",
        metavar="NAME",
        help="t4, gpu (any other), cpu, or a file that --calibrate wrote; default: gpu with --memory or where there "
        "is one, else cpu",
    )
    add("--json", action="store_true", help="print JSON, with the settings of the change and the breakdown; bytes")
    add("--calibrate", action="store_true", help="measure the GPU of this machine for --device, write it to -o")
    add("-o", "--output", default="", metavar="FILE", help="of --calibrate")
    add("--force", action="store_true", help="overwrite that file")
    add_settings(parser)
    arguments, _, notes = parse_command(parser, argv)
    if arguments.calibrate:
        return _calibrate(arguments.output, arguments.force)

    configs = _configs(parser, argv, arguments)
    from flexdan.cli.progress import track
    from flexdan.memory import plan_all, resolve_shape

    device, memory = _device(arguments.device, arguments.memory)
    resolved = []
    for name, config in configs:
        full, note = resolve_shape(config)
        resolved.append((name, full))
        notes = [*notes, note] if note and note not in notes else notes
    rows = list(plan_all(resolved, device, memory, lambda items: track(items, "planning")))
    if len(rows) == 1 and rows[0].note:
        raise UserError(rows[0].note)
    if arguments.json:
        found = {"device": device.name, "memory": memory, "notes": notes, "rows": [row.to_dict() for row in rows]}
        print(json.dumps(found, indent=2))
    else:
        _print(rows, notes, device)
    return 0


def _configs(parser: ArgumentParser, argv: Sequence[str], arguments: Any) -> list[tuple[str, RunConfig]]:
    """Return every configuration that is asked for, with the settings of the command line in each."""
    if arguments.what and arguments.experiment:
        raise UserError(f"{arguments.what} and --experiment {arguments.experiment} are both there: say one of them")
    _, given, _ = parse_command(parser, argv)
    path = Path(arguments.what)
    changed = any(token.startswith("--") and token.partition("=")[0] not in OWN_OPTIONS for token in argv)

    def with_options(config: RunConfig) -> RunConfig:
        return parse_command(parser, argv, base=setting_values(config))[1] if changed else config

    if arguments.experiment:
        from flexdan.experiments import find_experiment

        cells = [(cell.name, cell.config) for cell in find_experiment(arguments.experiment).cells]
        return [(name, with_options(config)) for name, config in cells]
    if not arguments.what:
        return [(given.sn.model_type, given)]
    file = path / "config.yaml" if path.is_dir() else path
    from flexdan.sweep import Space, cell_name, is_sweep, read_sweep

    if is_sweep(file):
        sweep, _ = read_sweep(file)
        if sweep.method != "grid":
            raise UserError(
                f"{file} has method {sweep.method}: only a grid can be listed in full; `flexdan sweep run` plans each "
                "trial before it begins"
            )
        space = Space(sweep)
        cells = [(cell_name(params) or file.stem, space.config(params)) for params in sweep.cells()]
        return [(name, with_options(config)) for name, config in cells]
    _, config, _ = parse_command(parser, [*argv, "--config", str(file)])
    return [(path.name if path.is_dir() else path.stem, config)]


def _device(name: str, memory: str) -> "tuple[Device, int]":
    import torch

    from flexdan.memory import DEVICES, find_device, parse_memory
    from flexdan.memory.guard import machine

    here, there = machine(RunConfig())
    device = find_device(name) if name else DEVICES["gpu"] if memory or torch.cuda.is_available() else here
    if memory:
        return device, parse_memory(memory)
    if device.memory:
        return device, device.memory
    if device.name == here.name:
        return device, there
    raise UserError(f"the memory of {device.name} is not known here: say it with --memory, such as --memory 24GiB")


def _calibrate(output: str, force: bool) -> int:
    import torch

    from flexdan.config.files import refuse_existing
    from flexdan.memory import as_gib, write_device
    from flexdan.memory.calibrate import device_from, probe_cuda, require_cuda

    require_cuda()
    path = Path(output or "device.yaml")
    refuse_existing(path, force)
    try:
        device = device_from(probe_cuda())
    except torch.OutOfMemoryError as error:
        raise UserError(f"the GPU is too full to be measured: end what else runs on it; {error}") from error
    write_device(device, path)
    print(f"{device.name}: {as_gib(device.memory)}, context {as_gib(device.context)}; use it with --device {path}")
    return 0


def _print(rows: "Sequence[PlanRow]", notes: Sequence[str], device: "Device") -> None:
    from flexdan.cli.tables import print_table
    from flexdan.memory import as_gib
    from flexdan.memory.text import HEADER, breakdown_lines, cells

    for note in notes:
        print(f"note: {note}")
    print(f"memory: {as_gib(rows[0].memory)}, device class: {device.name}\n")
    print_table(HEADER, [cells(row) for row in rows], numbers=range(1, 6))
    if len(rows) == 1:
        print("\n" + "\n".join(breakdown_lines(rows[0])))
    else:
        count = sum(row.verdict in ("fits", "tight") for row in rows)
        print(f"\n{count} of {len(rows)} fit")
