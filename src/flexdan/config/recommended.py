"""What the studies found best: the settings of a training for which nothing but data is said.

Network and augmentation are those of the final network in docs/results.md (with all images annotated), the strategy and
its settings those of its trainings with few: the two were not measured together. Stain jitter and crops are left out,
since the ablation there shows no gain from them.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from flexdan.config.strategies import Strategy, term_of

Machine = Literal["cpu", "gpu"]
RECOMMENDED_PIXELS = 384 * 576

COMMON: Mapping[str, Any] = {
    "sn.model_type": "EncoderUNet",
    "sn.encoder": "efficientnet_lite2",
    "loss.criterion": "cross_entropy_dice",
    "optimizer.optimizer_type": "adamw",
    "optimizer.lr": 0.002,
    "optimizer.encoder_lr": 0.0005,
    "optimizer.weight_decay": 0.01,
    "augmentation.quarter_turns": False,
    "augmentation.rotation": 180.0,
    "augmentation.scale": (0.7, 1.5),
    "augmentation.shift": 0.1,
    "augmentation.elastic": 0.05,
    "augmentation.brightness": 0.2,
    "augmentation.contrast": 0.2,
    "data.max_pixels": RECOMMENDED_PIXELS,
    "training.batch_size": 4,
    "training.updates_per_epoch": 50,
    "training.weight_averaging": "ema",
    "training.ema_decay": 0.98,
}
COLOUR: Mapping[str, Any] = {"augmentation.saturation": 0.2, "augmentation.hue": 0.04}  # of images with 3 channels
UNANNOTATED: Mapping[str, Any] = {  # where the strategy learns from images without masks
    "unannotated.ramp_up": 0.0,
    "unannotated.strong_brightness": 0.25,
    "unannotated.strong_contrast": 0.25,
    "unannotated.strong_saturation": 0.25,
    "unannotated.strong_hue": 0.05,
}
NUM_EPOCHS: Mapping[Machine, int] = {"cpu": 30, "gpu": 60}
ABOUT_DATA = (  # beginnings of settings that say what is trained on, where and with what records, and not how
    *("data.", "seed", "sn.input_channels", "sn.output_channels"),
    *("training.num_workers", "training.pin_memory", "training.device", "training.precision"),
    *("training.tensorboard", "training.wandb"),
)


def says_nothing_but_data(changed: Iterable[str]) -> bool:
    """Tell whether settings, by dotted name, leave open how to train."""
    return all(name.startswith(ABOUT_DATA) for name in changed)


def recommended_strategies(annotated: int, unannotated: int) -> list[Strategy]:
    """Return the strategies for so many training images with masks, and without: the best, then what needs less memory.

    Where the others are more, they are learnt from, as in all cells of the study in which that helped (5 + 80, 9 + 76,
    17 + 68); where they are fewer, they are left alone (43 + 42). What is best between these was not measured.
    """
    return ["unimatch", "self_training"] if unannotated > annotated else ["supervised"]


def recommended_settings(machine: Machine, channels: int, diameter: float, strategy: Strategy) -> dict[str, Any]:
    """Return what the studies found best, by dotted name.

    Args:
        machine: cpu: a training of about the length of those measured; gpu: with twice the updates, never measured.
        channels: of the images.
        diameter: of a typical object, in pixels of an image that has been reduced to `data.max_pixels`. Contours are
            3 pixels wide for glands of 70 pixels, as studied, and narrower for what would be all contour.
        strategy: of the training; with self_training a first network labels the unannotated images for a second one of
            as many updates.
    """
    return {
        **COMMON,
        "strategy": strategy,
        "sn.contour_width": min(max(round(diameter / 25), 1), 3),
        **(COLOUR if channels == 3 else {}),
        **(UNANNOTATED if term_of(strategy) else {}),
        "training.num_epochs": NUM_EPOCHS[machine] * (2 if term_of(strategy) == "self_training" else 1),
    }
