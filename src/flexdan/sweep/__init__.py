"""Sweeps: trials whose settings a method chooses, in a storage from which any number of workers take them."""

from flexdan.sweep.definition import Definition, create_sweep
from flexdan.sweep.files import is_sweep, read_sweep
from flexdan.sweep.guard import device_of
from flexdan.sweep.heartbeat import SIGNS
from flexdan.sweep.launch import Crew, Place, places, visible_gpus
from flexdan.sweep.prepare import prepare
from flexdan.sweep.space import Space, cell_name
from flexdan.sweep.storage import hide_password, is_out_of_reach, open_storage
from flexdan.sweep.study import SweepStudy
from flexdan.sweep.summary import count_states, seconds_left, summarize_sweep
from flexdan.sweep.worker import Worker, trial_folder

__all__ = [
    "SIGNS",
    "Crew",
    "Definition",
    "Place",
    "Space",
    "SweepStudy",
    "Worker",
    "cell_name",
    "count_states",
    "create_sweep",
    "device_of",
    "hide_password",
    "is_out_of_reach",
    "is_sweep",
    "open_storage",
    "places",
    "prepare",
    "read_sweep",
    "seconds_left",
    "summarize_sweep",
    "trial_folder",
    "visible_gpus",
]
