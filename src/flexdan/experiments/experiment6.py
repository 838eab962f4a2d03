"""Experiments 6a and 6b of the log: a slower EN, and its loss without sigma."""

from typing import Any

from flexdan.config import with_settings
from flexdan.experiments.common import FAULTS, GAN_FAULTS
from flexdan.experiments.experiment import Cell, Experiment
from flexdan.experiments.experiment5 import FROM_TRAINED, SIGMA_NOTE, TRAINED, going_on

NOT_RECORDED = "The log has no result."
SLOW_EN = {"adversarial.en_lr": 0.0001}
PLAIN_EN_LOSS = SLOW_EN | {"adversarial.sigma_in_en_loss": False}


def _experiment(title: str, changes: dict[str, Any]) -> Experiment:
    dan = Cell(name="dan", config=going_on(with_settings(FROM_TRAINED, changes)), start=TRAINED.name)
    return Experiment(
        title=title, cells=(TRAINED, dan), recorded=NOT_RECORDED, fault=f"{FAULTS} {GAN_FAULTS} {SIGMA_NOTE}"
    )


def experiment6a() -> Experiment:
    """Return experiment 6, GAN optimization 1: the EN learns at 10 % of the SN's rate."""
    title = "GAN optimization 1: the EN learns at a tenth of the SN's rate, from an SN trained for 40 epochs"
    return _experiment(title, SLOW_EN)


def experiment6b() -> Experiment:
    """Return experiment 6, GAN optimization 2: sigma taken out of the EN's own loss."""
    return _experiment("GAN optimization 2: as 6a, and the EN's own loss without sigma", PLAIN_EN_LOSS)
