"""What the planner says of a training step on the CPU, against the memory that the step really takes.

    python benchmarks/memory.py
    python benchmarks/memory.py --only 1 4

Each measurement runs in a process of its own. "estimated" and "measured" are how far one step grows above what stands
before it (weights, optimiser state): the live bytes of `trace_training`, and the resident memory, whose highest mark
the kernel keeps exactly. For that glibc is told to map every tensor by itself and to give it back when it is freed, and
one step is done before, so that libraries have what they need once.

"overhead" and "context" are what `flexdan.memory.devices` says of the device class cpu, measured as a training runs:
glibc keeps freed memory, and nothing is done before. context: resident before the networks are built; overhead: what
comes on top of it by the end of the last step, for each byte that is live at the estimated peak of the whole.

The exit code is 1 if fewer than six configurations (with --only: than all of these, where they are fewer) are
estimated to within 15 % of what is measured.
"""

import argparse
import ctypes
import gc
import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any

MIB = 2**20
TOLERANCE, NEEDED = 0.15, 6
UNET = {"spatial_dims": 2, "in_channels": 3, "out_channels": 2, "features": [32, 32, 64, 128, 256, 32]}
CONFIGURATIONS: dict[str, dict[str, Any]] = {  # settings apart from the defaults below
    "FCN 5x1, 64 wide": {},
    "FCN 3x1, 16 wide, single_run, batch 2": {
        "sn.num_fcn_blocks": 3,
        "sn.first_layer_out_channels": 16,
        "sn.block_pattern": "single_run",
        "training.batch_size": 2,
    },
    "FCN 4x2, 8 wide, batch 4, NCHW": {
        "data.image_size": (160, 240),
        "sn.num_fcn_blocks": 4,
        "sn.block_depth": 2,
        "sn.first_layer_out_channels": 8,
        "training.batch_size": 4,
        "training.channels_last": False,
    },
    "FCN 6x2, 48 wide, single_width, 2 batches": {
        "data.image_size": (160, 240),
        "sn.num_fcn_blocks": 6,
        "sn.block_depth": 2,
        "sn.first_layer_out_channels": 48,
        "sn.block_pattern": "single_width",
        "training.batch_size": 2,
        "training.gradient_accumulation_steps": 2,
    },
    "FCN 5x3, 32 wide, single_width, recomputing": {
        "sn.block_depth": 3,
        "sn.first_layer_out_channels": 32,
        "sn.block_pattern": "single_width",
        "training.batch_size": 2,
        "training.activation_checkpointing": True,
    },
    "FCN 5x1, 64 wide, batch 2, bf16": {"training.batch_size": 2, "training.precision": "bf16"},
    "ZhengSN": {"data.image_size": (96, 144), "sn.model_type": "ZhengSN"},
    "BasicUNet, batch 2, NCHW": {
        "data.image_size": (160, 240),
        "sn.model_type": "monai.networks.nets.BasicUNet",
        "sn.model_args": UNET,
        "training.batch_size": 2,
        "training.channels_last": False,
    },
    "BasicUNet, batch 3, bf16": {
        "data.image_size": (160, 240),
        "sn.model_type": "monai.networks.nets.BasicUNet",
        "sn.model_args": UNET,
        "training.batch_size": 3,
        "training.precision": "bf16",
    },
    "dan: FCN 4x1, 32 wide, FlexVGG, batch 2": {
        "strategy": "dan",
        "data.image_size": (160, 240),
        "sn.num_fcn_blocks": 4,
        "sn.first_layer_out_channels": 32,
        "en.first_layer_out_channels": 16,
        "en.head": "global_average",
        "training.batch_size": 2,
    },
    "dan: FCN 5x1, 64 wide, FlexVGG, batch 2, bf16": {
        "strategy": "dan",
        "data.image_size": (160, 240),
        "en.first_layer_out_channels": 32,
        "en.head": "global_average",
        "training.batch_size": 2,
        "training.precision": "bf16",
    },
    "dan: as 10, sgd, recomputing, NCHW": {
        "strategy": "dan",
        "data.image_size": (160, 240),
        "sn.num_fcn_blocks": 4,
        "sn.first_layer_out_channels": 32,
        "en.first_layer_out_channels": 16,
        "en.head": "global_average",
        "optimizer.optimizer_type": "sgd",
        "training.batch_size": 2,
        "training.channels_last": False,
        "training.activation_checkpointing": True,
    },
}
DEFAULTS = {
    "sn.input_channels": 3,
    "sn.output_channels": 2,
    "data.image_size": (224, 332),
    "training.batch_size": 1,
    "training.precision": "fp32",
    "optimizer.implementation": "for_loop",
}
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # of malloc.h


def estimate(config) -> dict[str, Any]:
    """Return what the planner says: bytes of a step above what stands before it, of all, by kind, and the seconds."""
    from flexdan.memory import break_down, trace_training
    from flexdan.memory.trace import rounded

    start = time.perf_counter()
    trace = trace_training(config)
    before = sum(rounded(one.nbytes) for one in trace.alive(trace.starts[-1]))
    whole = break_down(trace)
    return {
        "growth": whole.peak - before,
        "live": whole.peak,
        "place": f"{whole.phase} of {whole.module or 'no module'}",
        "kinds": whole.kinds,
        "seconds": time.perf_counter() - start,
    }


def measure_growth(config, steps: int) -> dict[str, Any]:
    """Return how far the resident memory grows in each of some steps after the first, in bytes."""
    library = ctypes.CDLL("libc.so.6")
    for parameter, value in ((_M_MMAP_THRESHOLD, 2**16), (_M_MMAP_MAX, 2**16), (_M_TRIM_THRESHOLD, 0)):
        if not library.mallopt(parameter, value):
            raise SystemExit("the C library does not take these settings: this benchmark needs glibc")
    step = prepare(config)
    step()
    growths, lasting = [], []
    for _ in range(steps):
        gc.collect()
        library.malloc_trim(0)
        before = resident()
        reset_peak()
        step()
        growths.append(peak() - before)
        lasting.append(resident() - before)
    return {"growths": growths, "lasting": lasting}


def measure_whole(config, steps: int) -> dict[str, Any]:
    """Return the resident memory before the networks are built, and at its highest in a training, in bytes."""
    from flexdan.engine import loop
    from flexdan.engine.allocator import keep_freed_memory

    assert loop, "the libraries of a training count as its context"
    keep_freed_memory()
    context = resident()
    reset_peak()
    step = prepare(config)
    for _ in range(steps):
        step()
    return {"context": context, "peak": peak()}


def prepare(config):
    """Build the networks and optimisers of a configuration and return its training step, a function."""
    import torch

    from flexdan.config import network_shape
    from flexdan.engine.loaders import unannotated_batch_size, uses_unannotated
    from flexdan.engine.optimizers import build_optimizer
    from flexdan.engine.precision import make_autocast
    from flexdan.engine.setup import build_en, build_network
    from flexdan.losses import build_criterion
    from flexdan.strategies import Means, Player, Players, build_step, make_batch

    layout = torch.channels_last if config.training.channels_last else torch.contiguous_format
    dan = config.strategy == "dan"
    players = {}
    for name, build in {"sn": build_network, **({"en": build_en} if dan else {})}.items():
        network = build(config)
        if config.training.channels_last:
            network = network.to(memory_format=layout)
        players[name] = Player(network=network, bare=network, optimizer=build_optimizer(config.optimizer, network))
    means = Means(
        criterion=build_criterion(config.loss.criterion),
        autocast=make_autocast(config.training.precision, "cpu"),
        max_grad_norm=config.optimizer.max_grad_norm,
    )
    channels, classes, size = network_shape(config)
    count = config.training.batch_size
    others = unannotated_batch_size(config) if uses_unannotated(config) else 0
    update = build_step(config, 1, 1)

    def make():
        images = torch.randn(count + others, channels, *size).contiguous(memory_format=layout)
        targets = torch.randint(classes, (count + others, *size), dtype=torch.uint8)
        return make_batch(config, images, targets, count, adversarial=dan)

    def step() -> None:
        update(Players(**players), [make() for _ in range(config.training.gradient_accumulation_steps)], means)

    return step


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    return _status("VmRSS")


def peak() -> int:
    """Return the highest mark of the resident memory of this process since `reset_peak`, in bytes."""
    return _status("VmHWM")


def reset_peak() -> None:
    """Let the kernel forget the highest mark; proc(5), clear_refs."""
    Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"/proc/self/status has no {name}: this benchmark needs Linux")


def in_own_process(function, *arguments):
    """Call a function in a fresh process and return what it returns."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def main() -> int:
    """Print the table and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--only", type=int, nargs="+", metavar="N", help="numbers of the configurations (default: all)")
    parser.add_argument("--steps", type=int, default=2, help="measured after the first; the largest counts")
    parser.add_argument("--details", action="store_true", help="where the estimated peak stands, and all that is in it")
    options = parser.parse_args()

    import torch

    from flexdan.config import RunConfig, with_settings
    from flexdan.engine import resolve_precision

    bf16 = resolve_precision("auto", "cpu") == "bf16"
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; MiB; ratio: estimated to measured")
    print(
        f"{'configuration':<50} {'estimated':>9} {'measured':>9} {'ratio':>6} {'live':>7} {'resident':>8} "
        f"{'overhead':>8} {'context':>7}"
    )
    ratios, overheads, contexts = [], [], []
    for number, (name, changes) in enumerate(CONFIGURATIONS.items(), start=1):
        config = with_settings(RunConfig(), DEFAULTS | changes)
        if options.only and number not in options.only:
            continue
        if config.training.precision == "bf16" and not bf16:
            print(f"{number:>2} {name:<47} left out: the processor does not compute in bf16")
            continue
        told = in_own_process(estimate, config)
        found = in_own_process(measure_growth, config, options.steps)
        whole = in_own_process(measure_whole, config, options.steps + 1)
        growth, on_top = max(found["growths"]), whole["peak"] - whole["context"]
        ratios.append(told["growth"] / growth)
        overheads.append(on_top / told["live"])
        contexts.append(whole["context"])
        print(
            f"{number:>2} {name:<47} {told['growth'] / MIB:>9.1f} {growth / MIB:>9.1f} {ratios[-1]:>6.3f} "
            f"{told['live'] / MIB:>7.1f} {on_top / MIB:>8.1f} {overheads[-1]:>8.3f} {whole['context'] / MIB:>7.1f}",
            flush=True,
        )
        if options.details:
            kinds = ", ".join(f"{kind} {size / MIB:.1f}" for kind, size in told["kinds"].items())
            steps = ", ".join(f"{one / MIB:.1f}" for one in found["growths"])
            stays = ", ".join(f"{one / MIB:.1f}" for one in found["lasting"])
            print(f"   {told['place']}: {kinds}; growth by step: {steps}; stays: {stays}; {told['seconds']:.1f} s")
    if not ratios:
        print("no configuration has such a number")
        return 1
    good = sum(abs(ratio - 1) <= TOLERANCE for ratio in ratios)
    worst = max(ratios, key=lambda ratio: abs(ratio - 1)) - 1
    print(f"{good} of {len(ratios)} within {TOLERANCE:.0%}; the worst is {worst:+.1%}")
    print(f"overhead: {min(overheads):.2f} to {max(overheads):.2f}; context: at most {max(contexts) / MIB:.0f} MiB")
    return 0 if good >= (min(NEEDED, len(ratios)) if options.only else NEEDED) else 1


if __name__ == "__main__":
    sys.exit(main())
