"""Where the metrics of each epoch go beside the record."""

from pathlib import Path
from typing import Any

from flexdan.config import RunConfig
from flexdan.engine.tensorboard import TensorBoard
from flexdan.engine.wandb import WandbRun, require_wandb


class Trackers:
    """TensorBoard and W&B, as the settings say; closed also when a training fails.

    Args:
        config: the settings.
        folder: the run folder, with its record.
        done: epochs that are finished.
        enabled: whether anything is written (the main process of a distributed training writes).
    """

    def __init__(self, config: RunConfig, folder: Path, done: int, enabled: bool):
        self._wandb = WandbRun(config, folder) if config.training.wandb and enabled else None  # may refuse
        self._board = TensorBoard(folder, done, enabled=config.training.tensorboard and enabled)

    def __enter__(self) -> "Trackers":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._board.close()
        if self._wandb is not None:
            self._wandb.close(failed=kind is not None)

    def write(self, row: dict[str, Any]) -> None:
        """Add the metrics of one epoch."""
        self._board.write(row)
        if self._wandb is not None:
            self._wandb.write(row)


def check_trackers(config: RunConfig) -> None:
    """Raise a `UserError` if what the settings ask for is not installed."""
    if config.training.wandb:
        require_wandb()
