"""Experiment 1 of the log: ZhengSN alone."""

from flexdan.config import with_settings
from flexdan.experiments.common import FAULTS, LOG
from flexdan.experiments.experiment import Experiment, grid


def experiment1() -> Experiment:
    """Return experiment 1: the paper's SN over learning rate and scheduler factor."""
    config = with_settings(LOG, {"sn.model_type": "ZhengSN", "training.num_epochs": 30})
    return Experiment(
        title="ZhengSN alone, over learning rate and scheduler factor",
        cells=grid(config, {"optimizer.lr": (0.001, 0.0001), "scheduler.factor": (0.75, 0.5)}),
        recorded=(
            "Epoch 30: train_loss 0.404, val_loss 0.4311, val_acc 0.8763, iou_score 0.1959 (after 100 epochs its IoU "
            "was 0.815). 0.001 slightly better than 0.0001; too little to tell the factors apart."
        ),
        fault=FAULTS,
    )
