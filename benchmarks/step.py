"""Time and memory of one training step: the plain loop against ours, and both against the processor's matmul rate.

Each variant runs in a process of its own, on the same random batch, so that peak memory is its own. "plain" is the loop
of a tutorial: fp32, NCHW. "ours" is what `flexdan train` does: channels-last, bf16 where the processor has it, freed
memory kept for the next step.

    python benchmarks/step.py
    python benchmarks/step.py --batch-size 4 --steps 10
"""

import argparse
import multiprocessing
import resource
import statistics
import time
from typing import Any

VARIANTS = {  # name -> (precision, channels last, keep freed memory)
    "plain (fp32, NCHW)": ("fp32", False, False),
    "+ channels-last": ("fp32", True, False),
    "+ bf16, where there is": ("auto", True, False),
    "+ kept memory (ours)": ("auto", True, True),
}


def peak_mib() -> float:
    """Return the most memory this process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_step(precision: str, channels_last: bool, keep: bool, options: argparse.Namespace) -> dict[str, Any]:
    """Run one variant: seconds per image, its memory, and the floating-point operations per image."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from flexdan.engine import make_autocast, resolve_precision
    from flexdan.engine.allocator import keep_freed_memory
    from flexdan.losses import cross_entropy
    from flexdan.models import ConcatenationFCN
    from flexdan.strategies import Batch, Means, Player, Players, supervised_step

    if keep:
        keep_freed_memory()
    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    resolved = resolve_precision(precision, "cpu")
    network = ConcatenationFCN(num_fcn_blocks=5, block_depth=1, first_layer_out_channels=64).to(memory_format=layout)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    players = Players(sn=Player(network=network, bare=network, optimizer=optimizer))
    size = (options.batch_size, 3, *options.size)
    images = torch.randn(size).contiguous(memory_format=layout)
    targets = torch.randint(2, (size[0], *size[2:]))
    batches = [Batch(images=images, targets=targets)]
    means = Means(criterion=cross_entropy, autocast=make_autocast(resolved, "cpu"))
    before = peak_mib()

    def step() -> None:
        supervised_step(players, batches, means)

    with FlopCounterMode(display=False) as counter:
        step()
    step()
    seconds = []
    for _ in range(options.steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return {
        "precision": resolved,
        "seconds": statistics.median(seconds) / options.batch_size,
        "memory": peak_mib() - before,
        "gflop": counter.get_total_flops() / options.batch_size / 1e9,
        "rate": matmul_rate(resolved),
    }


def matmul_rate(precision: str, side: int = 3072, repeats: int = 6) -> float:
    """Return the best rate of a square matrix product, in GFLOP/s."""
    import torch

    matrix = torch.randn(side, side, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    matrix @ matrix
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best / 1e9


def in_own_process(function, *arguments):
    """Call a function in a fresh process and return what it returns."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--size", type=int, nargs=2, default=(224, 332), metavar=("H", "W"))
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each variant; the median counts")
    options = parser.parse_args()
    print(f"ConcatenationFCN (5, 1, 64, double_run), batch {options.batch_size}, {options.size[0]}x{options.size[1]}")
    print(f"{'variant':<28} {'s/image':>8} {'speed':>7} {'peak MiB':>9} {'GFLOP':>7} {'GFLOP/s':>8} {'of matmul':>10}")
    plain = None
    for name, variant in VARIANTS.items():
        got = in_own_process(measure_step, *variant, options)
        plain = plain or got
        speed, achieved = plain["seconds"] / got["seconds"], got["gflop"] / got["seconds"]
        print(
            f"{name:<28} {got['seconds']:>8.3f} {speed:>6.2f}x {got['memory']:>9.0f} {got['gflop']:>7.1f}"
            f" {achieved:>8.0f} {achieved / got['rate']:>9.0%}  ({got['precision']} matmul {got['rate']:.0f} GFLOP/s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
