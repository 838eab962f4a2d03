"""A progress bar with the time left, for work that takes longer than two seconds."""

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
PATIENCE = 2.0  # seconds before a bar appears


def track(items: Sequence[Item], what: str) -> Iterator[Item]:
    """Go through items; after two seconds a bar on standard error shows how many are done, and the time left."""
    start = time.monotonic()
    bar = task = None
    try:
        for done, item in enumerate(items):
            if bar is None and time.monotonic() - start > PATIENCE:
                bar = _make_bar()
                bar.start()
                task = bar.add_task(what, total=len(items), completed=done)
            yield item
            if bar is not None and task is not None:
                bar.update(task, completed=done + 1)
    finally:
        if bar is not None:
            bar.stop()


def _make_bar():
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
