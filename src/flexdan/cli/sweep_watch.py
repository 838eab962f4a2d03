"""The workers of this machine at work: started, shown while they run, and dismissed."""

import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flexdan.cli.sweeps import (
    ENVIRONMENT,
    STATUS_HEADER,
    best_line,
    duration,
    headline,
    params_text,
    score_text,
    status_rows,
)
from flexdan.config.errors import UserError
from flexdan.config.trials import FINISHED, SweepSummary, Trial

if TYPE_CHECKING:
    from rich.console import Group

    from flexdan.memory import PlanRow
    from flexdan.sweep import Crew, Place, SweepStudy

EVERY = {"file": 1.0, "server": 5.0}  # seconds between two looks at the trials
SHOWN = 8  # finished trials in the live table, the latest
BAR = 50  # characters
FAREWELL = 30.0  # seconds for a worker that is to end at once


def local_places(workers: int | None) -> "list[Place]":
    """Return where the workers of this machine compute; see `flexdan.sweep.places`, and 0 for none."""
    from flexdan.sweep import places, visible_gpus

    if workers is not None and workers < 0:
        raise UserError(f"--workers is {workers}, but must be 0 (none) or more")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    host = f"{socket.gethostname().partition('.')[0]}-{os.getpid()}"
    return [] if workers == 0 else places(workers, visible_gpus(), cores, host)


def run_crew(study: "SweepStudy", folder: Path, storage: str, where: "Sequence[Place]", again: str = "") -> int:
    """Plan what is not planned, run the trials of a sweep with the workers of this machine, and show how they go on.

    Args:
        study: the sweep.
        folder: of the sweep.
        storage: its address; empty: in the folder.
        where: the workers compute; nowhere: the trials are only planned.
        again: the command that goes on; empty: that of the sweep.

    Returns:
        1 if a trial has failed, else 0.
    """
    from flexdan.cli.progress import track
    from flexdan.sweep import Crew, prepare, summarize_sweep

    again = again or f"flexdan sweep resume {folder}"
    study.stop("")
    planning, adding = (partial(track, what=what) for what in ("planning", "adding trials"))
    rows = prepare(study, where[0].share if where else 1, planning, adding)
    if rows:
        print_plan(rows)
    if not where:
        print(f"{study.name} waits for workers: flexdan sweep worker {folder}")
        return 0
    told = {one.number for one in summarize_sweep(study).trials if one.state in FINISHED}
    print(_begin(study, where, folder), flush=True)
    crew = Crew(folder=folder, environment={ENVIRONMENT: storage} if storage else {})
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    try:
        crew.start(where)
        summary = _show(study, crew, told, EVERY["server" if storage else "file"])
    except KeyboardInterrupt:
        _dismiss(crew)
        print(f"stopped: {again}")
        raise
    except BaseException:
        crew.end()
        raise
    print(headline(summary, None))
    print(best_line(summary))
    print(f"stopped: {again}" if study.stopping else f"report: flexdan sweep report {folder}")
    return 1 if crew.failed or any(one.state == "failed" for one in summary.trials) else 0


def _dismiss(crew: "Crew") -> None:
    """Let the workers finish their epochs, or, on another Ctrl-C, end at once."""
    print("the workers end after their current epochs; Ctrl-C once more ends them at once", flush=True)
    crew.end()
    try:
        crew.wait()
    except KeyboardInterrupt:
        crew.end()
        crew.wait(FAREWELL)


def _begin(study: "SweepStudy", where: "Sequence[Place]", folder: Path) -> str:
    on = f"{len(where)} GPUs" if len({place.gpu for place in where if place.gpu}) > 1 else "this machine"
    threads = "" if where[0].gpu else f" with {where[0].threads} threads" + " each" * (len(where) > 1)
    cap = "" if study.sweep.method == "grid" or study.sweep.run_cap else "; it goes on until `flexdan sweep stop`"
    workers = "1 worker" if len(where) == 1 else f"{len(where)} workers"
    return f"{study.sweep.method} sweep {study.name} in {folder}: {workers} on {on}{threads}{cap}"


def print_plan(rows: "Sequence[PlanRow]") -> None:
    """Print which trials fit into memory."""
    from flexdan.cli.tables import print_table
    from flexdan.memory import as_gib
    from flexdan.memory.text import cells

    print(f"memory of a trial: {as_gib(rows[0].memory)}\n")
    columns = (0, 1, 2, 4)
    header = ("trial", "needs", "verdict", "weights")
    print_table(header, [tuple(cells(row)[column] for column in columns) for row in rows], numbers=(1, 3))
    out = sum(row.verdict == "does not fit" for row in rows)
    print(f"\n{len(rows) - out} of {len(rows)} fit" + f"; {out} are recorded as infeasible and left out" * bool(out))


def _show(study: "SweepStudy", crew: "Crew", told: set[int], every: float) -> SweepSummary:
    """Show the trials while the workers are at work: a live table on a terminal, else a line for each that is done."""
    from rich.live import Live

    from flexdan.sweep import is_out_of_reach, seconds_left, summarize_sweep

    with Live(refresh_per_second=4) if sys.stdout.isatty() else nullcontext() as live:
        while True:
            working = crew.working()
            try:
                summary = summarize_sweep(study)
            except Exception as error:
                if not is_out_of_reach(error):
                    raise
                time.sleep(every)
                continue
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
            time.sleep(every)


def _line(trial: Trial, summary: SweepSummary, left: float | None) -> str:
    done = sum(one.state in FINISHED for one in summary.trials)
    time_left = f", about {duration(left)} left" if left is not None else ""
    valued = f"{summary.metric} {score_text(trial)}, {duration(trial.seconds)}"
    text = trial.error if trial.value is None else valued
    params = f" ({params_text(trial.params)})" if trial.params else ""
    return f"[{done}/{len(summary.trials)}{time_left}] trial {trial.number}{params}: {trial.state}, {text}"


def status_view(summary: SweepSummary, left: float | None) -> "Group":
    """Return what a terminal shows of a sweep that runs: bar, best trial, running and latest trials."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    done = [one for one in summary.trials if one.state in FINISHED]
    running = [one for one in summary.trials if one.state == "running"]
    share = round(BAR * len(done) / max(len(summary.trials), 1))
    table = Table(box=None, pad_edge=False)
    for name in STATUS_HEADER:
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for row in status_rows([*running, *done[-SHOWN:]]):
        table.add_row(*map(Text, row))
    return Group(
        Text(headline(summary, left)),
        Text("━" * share + "╌" * (BAR - share)),
        Text(best_line(summary)),
        table,
    )
