"""Experiment 8 of the log: the SN's map as a mask on the image."""

from flexdan.config import with_settings
from flexdan.experiments.common import FAULTS, GAN_FAULTS
from flexdan.experiments.experiment import Cell, Experiment
from flexdan.experiments.experiment6 import NOT_RECORDED
from flexdan.experiments.experiment7 import FROM_THE_START

MASKED = with_settings(FROM_THE_START, {"adversarial.en_input": "mask"})


def experiment8() -> Experiment:
    """Return experiment 8, GAN optimization 4."""
    return Experiment(
        title="GAN optimization 4: as 7, but the EN sees the image multiplied by the SN's map",
        cells=(Cell(name="dan", config=MASKED),),
        recorded=NOT_RECORDED,
        fault=f"{FAULTS} {GAN_FAULTS}",
    )
