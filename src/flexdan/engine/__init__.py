"""The engine: training loop, checkpoints, records."""

from flexdan.config.record import read_record
from flexdan.engine.checkpoint import LoadedRun, load_run
from flexdan.engine.loop import best_epoch, train
from flexdan.engine.precision import make_autocast, resolve_precision
from flexdan.engine.setup import count_all_parameters

__all__ = [
    "LoadedRun",
    "best_epoch",
    "count_all_parameters",
    "load_run",
    "make_autocast",
    "read_record",
    "resolve_precision",
    "train",
]
