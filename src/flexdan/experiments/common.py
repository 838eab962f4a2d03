"""What the experiments of the log have in common."""

from flexdan.config import RunConfig, with_settings

LOG = with_settings(  # no augmentation is recorded; the learning rate falls on a plateau of the validation loss
    RunConfig(),
    {
        "augmentation.horizontal_flip": False,
        "augmentation.vertical_flip": False,
        "augmentation.quarter_turns": False,
        "data.image_size": (224, 332),
        "optimizer.optimizer_type": "adam",
        "scheduler.scheduler_type": "ReduceLROnPlateau",
        "scheduler.factor": 0.75,
        "scheduler.patience": 5,
        "scheduler.plateau_metric": "val_loss",
        "training.batch_size": 2,
        "training.num_workers": 8,
        "training.pin_memory": True,
    },
)

AS_RECORDED = {  # the adversarial part as the recorded system had it, but for what was plainly wrong
    "strategy": "dan",
    "adversarial.sn_update": "joint",
    "adversarial.en_annotated": "ground_truth",
    "adversarial.unannotated_source": "half_batch",
}

AS_IN_THE_PAPER = {
    "adversarial.sn_update": "separate",
    "adversarial.en_annotated": "prediction",
    "adversarial.unannotated_source": "split",
}

SMALL_SN = {  # that of experiments 5 to 9
    "sn.num_fcn_blocks": 5,
    "sn.block_depth": 2,
    "sn.first_layer_out_channels": 8,
    "sn.block_pattern": "double_run",
}

GAN = with_settings(  # experiments 5 to 9
    LOG,
    AS_RECORDED
    | SMALL_SN
    | {
        "en.num_fcn_blocks": 5,
        "en.depth_fcn_block": 2,
        "en.first_layer_out_channels": 64,
        "en.fcn_block_pattern": "double_run",
        "en.depth_linear_block": 1,
        "en.first_linear_layer_out_features": 128,
        "adversarial.sigma": 0.1,
        "adversarial.sigma_weight": 300.0,
        "adversarial.sigma_in_en_loss": True,
        "optimizer.lr": 0.001,
        "scheduler.factor": 0.8,
        "scheduler.patience": 10,
        "scheduler.min_lr": 0.00001,
        "training.batch_size": 4,
        "training.num_epochs": 100,
        "training.num_workers": 0,
        "training.pin_memory": False,
    },
)

FAULTS = (
    "Recorded with cross-entropy of softmax outputs, which cannot fall below 0.3133, and with an IoU averaged over "
    "batches by a wrong denominator."
)
GAN_FAULTS = (
    "Recorded without ever setting the EN's gradients to zero, and with the background channel as its unannotated "
    "input. Still as recorded, since these are settings: the EN compares masks with predictions, and half of each "
    "annotated batch plays the unannotated part. --method paper changes both."
)
