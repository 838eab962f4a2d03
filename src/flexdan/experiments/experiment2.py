"""Experiment 2 of the log: ZhengSN against ZhengEN."""

from flexdan.config import with_settings
from flexdan.experiments.common import AS_RECORDED, FAULTS, GAN_FAULTS, LOG
from flexdan.experiments.experiment import Cell, Experiment


def experiment2() -> Experiment:
    """Return experiment 2: the paper's SN and EN, from the first epoch on."""
    config = with_settings(
        LOG,
        AS_RECORDED
        | {
            "sn.model_type": "ZhengSN",
            "en.model_type": "ZhengEN",
            "adversarial.sigma": 0.1,
            "adversarial.sigma_weight": 300.0,
            "adversarial.sigma_in_en_loss": True,
            "optimizer.lr": 0.001,
            "training.batch_size": 4,
            "training.num_epochs": 100,
        },
    )
    return Experiment(
        title="ZhengSN against ZhengEN, sigma 0.1, sigma_weight 300",
        cells=(Cell(name="dan", config=config),),
        recorded=(
            "Epoch 100: d_train_annotated_loss 8.938, d_train_unannotated_loss 22.292, d_train_loss 0.6444, "
            "g_train_loss 0.3519, val_loss 0.4105, val_acc 0.8979, iou_score 0.2028. The EN's loss grew with every "
            "epoch; no real improvement of the SN."
        ),
        fault=(
            f"{FAULTS} {GAN_FAULTS} The log names no batch size here; it is 4, since of one image and one other "
            "batch norm makes plus and minus one, which teaches the SN nothing."
        ),
    )
