"""The workers of this machine at work: started, shown while they run, and dismissed."""

import signal
import socket
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from flexdan.cli.sweeps import (
    ENVIRONMENT,
    STATUS_HEADER,
    best_line,
    duration,
    headline,
    params_text,
    status_rows,
    value_text,
)
from flexdan.config.trials import FINISHED, SweepSummary, Trial

if TYPE_CHECKING:
    from flexdan.sweep import SweepStudy

EVERY = 1.0  # seconds between two looks at the trials
SHOWN = 8  # finished trials in the live table, the latest


def run_crew(study: "SweepStudy", folder: Path, storage: str, workers: int | None) -> int:
    """Plan what is not planned, run the trials of a sweep with the workers of this machine, and show how they go on.

    Args:
        study: the sweep.
        folder: of the sweep.
        storage: its address; empty: in the folder.
        workers: at once; None: one on each GPU, or one on the CPU; 0: the trials are only planned.

    Returns:
        1 if a trial has failed, else 0.
    """
    import psutil

    from flexdan.cli.progress import track
    from flexdan.sweep import Crew, places, prepare, summarize_sweep, visible_gpus

    where = places(workers or None, visible_gpus(), psutil.cpu_count() or 1, socket.gethostname().partition(".")[0])
    rows = prepare(study, where[0].share, lambda items: track(items, "planning"))
    if rows:
        _print_plan(rows, study)
    study.stop("")
    if workers == 0:
        print(f"{study.name} waits for workers: flexdan sweep worker {folder}")
        return 0
    crew = Crew(folder=folder, environment={ENVIRONMENT: storage} if storage else {})
    told = {one.number for one in summarize_sweep(study).trials if one.state in FINISHED}
    print(_begin(study, where, folder), flush=True)
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    crew.start(where)
    try:
        summary = _show(study, crew, told)
    except KeyboardInterrupt:
        print("stopping after the current epochs; once more ends it at once", flush=True)
        study.stop("epoch")
        crew.dismiss()
        print(f"stopped: flexdan sweep resume {folder}")
        raise
    print(headline(summary, None))
    print(best_line(summary))
    if study.stopping:
        print(f"stopped: flexdan sweep resume {folder}")
    else:
        print(f"report: flexdan sweep report {folder}")
    return 1 if crew.failed or any(one.state == "failed" for one in summary.trials) else 0


def _begin(study: "SweepStudy", where: list, folder: Path) -> str:
    on = f"{len(where)} GPUs" if len({place.gpu for place in where if place.gpu}) > 1 else "this machine"
    threads = "" if where[0].gpu else f" with {where[0].threads} threads" + " each" * (len(where) > 1)
    cap = "" if study.sweep.method == "grid" or study.sweep.run_cap else "; it goes on until `flexdan sweep stop`"
    workers = "1 worker" if len(where) == 1 else f"{len(where)} workers"
    return f"{study.sweep.method} sweep {study.name} in {folder}: {workers} on {on}{threads}{cap}"


def _print_plan(rows: list, study: "SweepStudy") -> None:
    from flexdan.cli.tables import print_table
    from flexdan.memory import as_gib
    from flexdan.memory.text import cells

    print(f"memory of a trial: {as_gib(rows[0].memory)}\n")
    columns = (0, 1, 2, 4)
    header = ("trial", "needs", "verdict", "parameters")
    print_table(header, [tuple(cells(row)[column] for column in columns) for row in rows], numbers=(1, 3))
    out = sum(row.verdict == "does not fit" for row in rows)
    print(f"\n{len(rows) - out} of {len(rows)} fit" + f"; {out} are recorded as infeasible and left out" * bool(out))


def _show(study: "SweepStudy", crew, told: set[int]) -> SweepSummary:
    """Show the trials while the workers are at work: a live table on a terminal, else a line for each that is done."""
    from rich.live import Live

    from flexdan.sweep import seconds_left, summarize_sweep

    terminal = sys.stdout.isatty()
    with Live(refresh_per_second=4) if terminal else nullcontext() as live:
        while True:
            working = crew.working()
            summary = summarize_sweep(study)
            left = seconds_left(summary.trials)
            news = [one for one in summary.trials if one.state in FINISHED and one.number not in told]
            told |= {one.number for one in news}
            if live:
                live.update(status_view(summary, left))
            else:
                for one in news:
                    print(_line(one, summary, left), flush=True)
            if not working:
                return summary
            time.sleep(EVERY)


def _line(trial: Trial, summary: SweepSummary, left: float | None) -> str:
    done = sum(one.state in FINISHED for one in summary.trials)
    time_left = f", about {duration(left)} left" if left is not None else ""
    text = (
        f"{summary.metric} {value_text(trial)}, {duration(trial.seconds)}" if trial.value is not None else trial.error
    )
    params = f" ({params_text(trial.params)})" if trial.params else ""
    return f"[{done}/{len(summary.trials)}{time_left}] trial {trial.number}{params}: {trial.state}, {text}"


def status_view(summary: SweepSummary, left: float | None):
    """Return what a terminal shows of a sweep that runs: bar, best trial, running and latest trials."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    done = [one for one in summary.trials if one.state in FINISHED]
    running = [one for one in summary.trials if one.state == "running"]
    table = Table(*STATUS_HEADER, box=None, pad_edge=False)
    for row in status_rows([*running, *done[-SHOWN:]]):
        table.add_row(*map(Text, row))
    return Group(
        Text(headline(summary, left)),
        ProgressBar(total=max(len(summary.trials), 1), completed=len(done), width=60),
        Text(best_line(summary)),
        table,
    )
