"""The engine: training loop, checkpoints, records."""

from flexdan.engine.checkpoint import LoadedRun, load_run
from flexdan.engine.loop import best_epoch, train
from flexdan.engine.precision import make_autocast, resolve_precision
from flexdan.engine.record import read_record

__all__ = ["LoadedRun", "best_epoch", "load_run", "make_autocast", "read_record", "resolve_precision", "train"]
