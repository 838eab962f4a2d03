"""What a person sees of a training: a bar with the time left and live metrics, a line per epoch, and the log file."""

import logging
from collections.abc import Iterable, Iterator
from operator import length_hint
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

UNDECIDED = 1.386  # the EN's two losses together, by binary cross-entropy


class TrainingProgress:
    """A progress bar over all updates and validation batches, and a log of lines on the console and in a file.

    Args:
        shown: whether anything is printed (the main process of a distributed training prints).
        quiet: print the bar, but no lines.
    """

    def __init__(self, shown: bool = True, quiet: bool = False):
        self._quiet = quiet
        self._console = Console(quiet=not shown, highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[live]}"),
            console=self._console,
            transient=True,
            disable=not shown or not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, live="", visible=False)
        self._logger = logging.Logger("flexdan.training")

    def __enter__(self) -> "TrainingProgress":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()
        for handler in list(self._logger.handlers):
            handler.close()

    def log_to(self, file: Path) -> None:
        """Append every line from now on to a file, with the time."""
        handler = logging.FileHandler(file, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        self._logger.addHandler(handler)

    def say(self, line: str) -> None:
        """Print a line above the bar and log it."""
        if not self._quiet:
            self._console.print(line, markup=False)
        self._logger.info(line)

    def track(self, items: Iterable, what: str) -> Iterator:
        """Go through items under a bar of their own."""
        task = self._bar.add_task(what, total=length_hint(items), live="")
        for item in items:
            yield item
            self._bar.advance(task)
        self._bar.remove_task(task)

    def begin(self, total: int, done: int) -> None:
        """Show the bar of a training of so many batches in all."""
        self._bar.update(self._task, total=total, completed=done, visible=True)

    def begin_epoch(self, epoch: int, num_epochs: int) -> None:
        """Name the epoch beside the bar."""
        self._bar.update(self._task, description=f"epoch {epoch}/{num_epochs}")

    def advance(self) -> None:
        """Count one batch."""
        self._bar.advance(self._task)

    def live(self, text: str) -> None:
        """Show the latest number behind the bar."""
        self._bar.update(self._task, live=text)


def epoch_lines(row: dict[str, Any], num_epochs: int, best: bool, undecided: float = UNDECIDED) -> list[str]:
    """Return the line that sums up one epoch and, where an EN takes part, one about its health."""
    names = ("train_loss", "val_loss", "val_acc", "iou_score", "dice")
    metrics = "  ".join(f"{name} {row[name]:.4f}" for name in names if name in row)
    lines = [
        f"epoch {row['epoch']:>{len(str(num_epochs))}}/{num_epochs}  {metrics}  lr {row['lr']:.2g}"
        f"  {row['images_per_second']:.2f} images/s  {row['seconds']:.0f} s{'  best' if best else ''}"
    ]
    if "en_health" in row:
        losses = (
            f"losses {row['en_loss_annotated']:.3f} + {row['en_loss_unannotated']:.3f} (undecided: {undecided:.4g})"
        )
        ratio = f", gradients {row['grad_ratio']:.1%}" if "grad_ratio" in row else ""
        lines.append(f"  EN {row['en_health']}: {row['en_advice']}; {losses}, sigma {row['sigma']:.3g}{ratio}")
    return lines
