"""Experiment 7 of the log: both networks from the first epoch on."""

from flexdan.config import with_settings
from flexdan.experiments.common import FAULTS, GAN, GAN_FAULTS
from flexdan.experiments.experiment import Cell, Experiment
from flexdan.experiments.experiment6 import NOT_RECORDED, PLAIN_EN_LOSS

FROM_THE_START = with_settings(GAN, PLAIN_EN_LOSS)


def experiment7() -> Experiment:
    """Return experiment 7, GAN optimization 3."""
    return Experiment(
        title="GAN optimization 3: as 6b, but SN and EN train together from epoch 1",
        cells=(Cell(name="dan", config=FROM_THE_START),),
        recorded=NOT_RECORDED,
        fault=f"{FAULTS} {GAN_FAULTS}",
    )
