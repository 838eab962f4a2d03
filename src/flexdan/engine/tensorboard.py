"""TensorBoard events of a run."""

from pathlib import Path
from typing import Any


class TensorBoard:
    """Writes the metrics of each epoch into the folder `tensorboard` of a run.

    Args:
        folder: the run folder.
        done: epochs that are finished; what an interrupted run wrote beyond them is hidden.
        enabled: whether anything is written.
    """

    def __init__(self, folder: Path, done: int, enabled: bool):
        self._writer = None
        if enabled:
            from torch.utils.tensorboard import SummaryWriter  # slow to import

            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1)

    def write(self, row: dict[str, Any]) -> None:
        """Add one point to every curve, and what is said in words as text."""
        if self._writer is not None:
            for name, value in row.items():
                if isinstance(value, str):
                    self._writer.add_text(name, value, row["epoch"])
                elif name != "epoch":
                    self._writer.add_scalar(name, value, row["epoch"])
            self._writer.flush()

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()
