"""Settings of adversarial training."""

from dataclasses import dataclass
from typing import Literal

from flexdan.config.errors import UserError


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig:
    """The adversarial part of the objective; the supervised strategy reads none of it.

    Args:
        sigma: weight of the EN's term in the SN's loss at the start (lambda in the paper).
        sigma_schedule: how sigma grows; epoch: sigma_t = sigma + epoch / sigma_weight, as in the log; paper: on a
            straight line from sigma to sigma_end over the first sigma_iterations updates against the EN, as in the
            paper.
        sigma_weight: how slowly sigma grows by epoch.
        sigma_end: sigma at the end of the paper's schedule.
        sigma_iterations: updates until then.
        gan_start_epoch: first epoch in which the EN takes part; before it only the SN trains.
        sn_update: separate: the SN has one update from the annotated images, the EN has its own, the SN a second one
            against the EN, as in the paper; joint: one update of the SN after the EN's, from both terms, as recorded,
            where sigma counts fully also with adam.
        en_input: what the EN sees; concatenate: the image and the foreground probabilities as further channels; mask:
            the image multiplied by the foreground probability; map: the probabilities without the image (Hung et al.
            2018). With more than two classes each foreground class has a channel, or a masked image, of its own.
        en_annotated: what counts as annotated for the EN; prediction: the SN's result on an annotated image, as in the
            paper; ground_truth: its mask, as recorded, which the EN tells apart without effort.
        unannotated_source: split: unannotated images, from a loader of their own; half_batch: half of each annotated
            batch plays their part and its masks go unused, as recorded: nothing is learnt from unannotated images.
        sigma_in_en_loss: multiply the EN's own loss by sigma too, as in the log's first runs.
        en_lr: learning rate of the EN; null: that of the SN.
        en_criterion: loss of the EN, and of the SN against it: binary_cross_entropy; least_squares (Mao et al. 2017),
            whose gradient does not vanish where the EN is sure; hinge (Lim and Ye 2017).
        en_steps: updates of the EN for each update of the SN, all on the same images.
        label_smoothing: the EN's own targets are this far from 1 and 0, which keeps it from growing too sure.
        freeze: a network that keeps its weights; sn: only the EN learns; en: only the SN does, against the EN of
            init_en.
    """

    sigma: float = 0.1
    sigma_schedule: Literal["epoch", "paper"] = "epoch"
    sigma_weight: float = 300.0
    sigma_end: float = 1.0
    sigma_iterations: int = 30000
    gan_start_epoch: int = 1
    sn_update: Literal["separate", "joint"] = "separate"
    en_input: Literal["concatenate", "mask", "map"] = "concatenate"
    en_annotated: Literal["prediction", "ground_truth"] = "prediction"
    unannotated_source: Literal["split", "half_batch"] = "split"
    sigma_in_en_loss: bool = False
    en_lr: float | None = None
    en_criterion: Literal["binary_cross_entropy", "least_squares", "hinge"] = "binary_cross_entropy"
    en_steps: int = 1
    label_smoothing: float = 0.0
    freeze: Literal["none", "sn", "en"] = "none"

    def __post_init__(self):
        for name in ("sigma", "sigma_end", "gan_start_epoch"):
            if getattr(self, name) < 0:
                raise UserError(f"adversarial.{name} is {getattr(self, name)}: it must be 0 or more")
        if self.sigma_weight <= 0:
            raise UserError(f"adversarial.sigma_weight is {self.sigma_weight}: it divides the epoch, so above 0")
        if self.en_lr is not None and self.en_lr <= 0:
            raise UserError(f"adversarial.en_lr is {self.en_lr}: it must be above 0, or null for the SN's")
        for name in ("sigma_iterations", "en_steps"):
            if getattr(self, name) < 1:
                raise UserError(f"adversarial.{name} is {getattr(self, name)}: it must be at least 1")
        if not 0 <= self.label_smoothing < 0.5:
            raise UserError(f"adversarial.label_smoothing is {self.label_smoothing}: it must be 0 or more, below 0.5")
        if self.label_smoothing and self.en_criterion == "hinge":
            raise UserError(
                f"adversarial.label_smoothing is {self.label_smoothing}, but adversarial.en_criterion is hinge, which "
                "has no labels to smooth: say 0"
            )
