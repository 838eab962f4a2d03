"""A run on Weights & Biases."""

import importlib
import os
from pathlib import Path
from typing import Any

from flexdan.config import RunConfig, UserError, to_dict
from flexdan.config.record import read_record
from flexdan.engine.record import append_event


def require_wandb() -> Any:
    """Return the module of W&B, which is no dependency.

    Raises:
        UserError: if it is not installed or broken; a folder `wandb`, as W&B leaves it behind, does not count.
    """
    try:
        wandb = importlib.import_module("wandb")
    except ImportError as error:
        if error.name != "wandb":
            raise UserError(f"training.wandb is true, but wandb cannot be imported: {error}") from error
        wandb = None
    if not hasattr(wandb, "init"):
        raise UserError("training.wandb is true, but wandb is not installed: pip install 'flexdan[wandb]'")
    return wandb


class WandbRun:
    """Logs the settings and the metrics of each epoch as a run of W&B, whose files lie in the run folder.

    Mode, project and account are W&B's own affair (WANDB_MODE, WANDB_PROJECT, `wandb login`). What `wandb agent` starts
    is the run of the agent; otherwise a resumed training goes on with the W&B run whose id is in its record.

    Args:
        config: the settings.
        folder: the run folder, with its record.

    Raises:
        UserError: if W&B does not start.
    """

    def __init__(self, config: RunConfig, folder: Path):
        wandb = require_wandb()
        ids = [event["id"] for event in read_record(folder / "record.jsonl") if event["event"] == "wandb"]
        known = {"id": ids[-1], "resume": "allow"} if ids and "WANDB_SWEEP_ID" not in os.environ else {}
        try:
            self._run = wandb.init(
                dir=str(folder.absolute()),
                name=folder.absolute().name,
                config=to_dict(config),
                reinit="create_new",  # an open run of the caller stays as it is
                **known,
            )
        except wandb.Error as error:
            reason = str(error).rstrip(".")
            raise UserError(
                f"training.wandb is true, but W&B does not start: {reason}; run `wandb login`, set WANDB_MODE=offline, "
                "or say --training.wandb false"
            ) from error
        append_event(folder / "record.jsonl", {"event": "wandb", "id": self._run.id})

    def write(self, row: dict[str, Any]) -> None:
        """Log the metrics of an epoch under their names in the record; W&B's step is the epoch."""
        self._run.log(row, step=row["epoch"])

    def close(self, failed: bool) -> None:
        """End the run of W&B, and wait until what it has is stored."""
        self._run.finish(exit_code=int(failed))
