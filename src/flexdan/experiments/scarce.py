"""Our own question: do unannotated images help where few are annotated?"""

from flexdan.config import RunConfig, with_settings
from flexdan.experiments.experiment import Cell, Experiment

NO_SIGMA = {"adversarial.sigma": 0.0, "adversarial.sigma_schedule": "paper", "adversarial.sigma_end": 0.0}
EPOCHS, UPDATES = 10, 40  # 400 updates of the SN in all


def scarce() -> Experiment:
    """Return the comparison of supervised and adversarial training with 9 annotated images, over three seeds.

    All have the same number of updates of the SN, from as many annotated images: the adversarial ones are joint, and
    those that start from a trained SN have half of the epochs, since that SN had the other half. Without sigma the SN
    sees the unannotated images, so that its batch norm takes their statistics in, but learns nothing from the EN: what
    it gains then is not due to the adversarial part.
    """
    supervised = with_settings(
        RunConfig(),
        {
            "data.annotated": 9,
            "data.image_size": (224, 332),
            "sn.first_layer_out_channels": 32,
            "training.num_epochs": EPOCHS,
            "training.updates_per_epoch": UPDATES,
            "training.batch_size": 2,
            "training.tensorboard": False,
        },
    )
    dan = with_settings(
        supervised,
        {
            "strategy": "dan",
            "adversarial.sn_update": "joint",
            "adversarial.en_lr": 0.0002,
            "en.num_fcn_blocks": 5,
            "en.depth_fcn_block": 1,
            "en.first_layer_out_channels": 32,
            "en.fcn_block_pattern": "single_width",
            "en.head": "global_average",
        },
    )
    half = {"training.num_epochs": EPOCHS // 2}
    trained = "trained_sn"
    return Experiment(
        title="9 annotated images, the rest of the training images unannotated: supervised against DAN",
        cells=(
            Cell(name=trained, config=with_settings(supervised, half)),
            Cell(name="supervised", config=supervised),
            Cell(name="supervised_from_trained", config=with_settings(supervised, half), start=trained),
            Cell(name="dan", config=dan),
            Cell(name="dan_without_sigma", config=with_settings(dan, NO_SIGMA)),
            Cell(name="dan_from_trained", config=with_settings(dan, half), start=trained),
        ),
        seeds=(0, 1, 2),
    )
