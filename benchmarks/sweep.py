"""What a sweep costs beside its trainings: trials of an objective that takes no time, through the whole machinery.

Each trial is put into the storage, taken, checked, reported for three epochs with a question to the pruner, and closed;
its settings are built and its heartbeat runs. Only the training itself is left out.

    python benchmarks/sweep.py
    python benchmarks/sweep.py --storage postgresql://me@localhost/benchmark
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flexdan.config import RunConfig
from flexdan.experiments import Choice, Pruner, Range, Sweep
from flexdan.sweep import Definition, SweepStudy, Worker, create_sweep, open_storage, prepare, summarize_sweep

EPOCHS = 3
METHODS = ("grid", "random", "bayes")


def make_sweep(method: str, trials: int) -> Sweep:
    settings = {"training.num_epochs": EPOCHS}
    if method == "grid":
        parameters = {
            "seed": Choice(tuple(range(-(-trials // 10)))),
            "lr": Choice(tuple(0.1**power for power in range(10))),
        }
    else:
        parameters = {"lr": Range(low=1e-5, high=1, log=True), "batch_size": Range(low=1, high=64, integer=True)}
    pruner = Pruner(kind="median", min_epochs=1)
    return Sweep(parameters=parameters, settings=settings, method=method, run_cap=trials, pruner=pruner)  # type: ignore[arg-type]


class Clock:
    """Notes when a trial begins, and ends it at once."""

    def __init__(self):
        self.times: list[float] = []

    def train(self, config: RunConfig, folder: Path, watch: Any) -> Sequence[Mapping[str, Any]]:
        """Return three epochs, or fewer where the sweep says so."""
        self.times.append(time.perf_counter())
        history = []
        for epoch in range(1, EPOCHS + 1):
            history.append({"epoch": epoch, "iou_score": 1 - config.optimizer.lr + 0.001 * epoch, "seconds": 0.0})
            if watch(history[-1]):
                break
        return history


def measure(method: str, trials: int, url: str, folder: Path) -> dict[str, float]:
    """Return seconds: to create all trials, for each of the first and of the last hundred, and for a summary."""
    storage = open_storage(url, folder)
    name = f"benchmark-{method}-{time.time_ns()}"
    create_sweep(storage, name, Definition(sweep=make_sweep(method, trials), plan=False))
    study, start = SweepStudy(storage, name), time.perf_counter()
    prepare(study, 1)
    created = time.perf_counter() - start
    clock = Clock()
    Worker(study=study, folder=folder, name="benchmark", objective=clock.train, wait=False, say=lambda line: None).run()
    clock.times.append(time.perf_counter())
    steps = [after - before for before, after in zip(clock.times, clock.times[1:], strict=False)]
    start = time.perf_counter()
    summary = summarize_sweep(SweepStudy(open_storage(url, folder), name))
    summarized = time.perf_counter() - start
    assert len(summary.trials) == trials
    assert all(one.state in ("complete", "pruned") for one in summary.trials)
    count = min(100, trials)
    return {
        "create": created,
        "first": statistics.median(steps[:count]),
        "last": statistics.median(steps[-count:]),
        "all": sum(steps),
        "summary": summarized,
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--storage", default="", help="default: a journal file")
    options = parser.parse_args(argv)
    print("| storage | method | trials | create | first 100, median | last 100, median | all trials | summary |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for method in options.methods:
        for trials in options.trials:
            with tempfile.TemporaryDirectory() as folder:
                found = measure(method, trials, options.storage, Path(folder))
            kind = options.storage.partition(":")[0] or "journal"
            steps = f"{1e3 * found['first']:.1f} ms | {1e3 * found['last']:.1f} ms | {found['all']:.1f} s"
            print(
                f"| {kind} | {method} | {trials:,} | {found['create']:.2f} s | {steps} | {found['summary']:.2f} s |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
