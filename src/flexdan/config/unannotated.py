"""Settings of learning from unannotated images without, or beside, an evaluation network."""

from dataclasses import dataclass
from typing import Literal

from flexdan.config.errors import UserError


@dataclass(frozen=True, kw_only=True)
class UnannotatedConfig:
    """What strategies other than supervised and dan make of unannotated images.

    Args:
        weight: weight of their term in the SN's loss; auto: 1, but 1.5 for cross_pseudo_supervision, 0.1 for
            en_confidence and 0.001 for entropy_minimisation, as in their papers.
        ramp_up: share of the updates (self_training: of a generation's) over which the weight rises from almost 0, as
            exp(-5 (1 - t)^2) (Laine and Aila 2017); 0: the full weight from the start.
        labels_from: fixmatch, unimatch and dan+en_confidence: who labels unannotated images; average: the average of
            the weights (training.weight_averaging), the only one for mean_teacher; student: the SN itself, as in their
            papers.
        confidence: a pixel counts where its label has at least this probability; fixmatch and unimatch.
        en_confidence: dan+en_confidence: a pixel counts where the EN's score, as a share, is above this (Hung et al.
            2018): where it would take the SN's result for one on an annotated image.
        en_share: dan+self_training: share of the pixels of all unannotated images whose labels count: those where the
            EN's score is highest, after each generation; 1: all of them.
        cutmix: probability that a rectangle of half its area is pasted into an image from another one of the batch,
            into its labels alike (French et al. 2020); 0 is off; entropy_minimisation has none.
        feature_dropout: unimatch: share of the channels of the encoder's maps that are left out in one of its three
            views.
        uncertainty_passes: mean_teacher: passes of the teacher over images with noise, by which pixels that it is
            uncertain about are left out (Yu et al. 2019, who take 8); 0 is off: every pixel counts.
        uncertainty_noise: standard deviation of that noise, in units of the normalised images; it is cut off at twice
            that.
        generations: self_training: how many trainings follow each other, each from the initial weights, of equal length
            and with a learning-rate schedule of its own; all but the first learn from labels that the network of the
            one before gives. The updates of all of them together are those of the training.
        strong_brightness: the image that the SN sees has other colours than the one that is labelled, except for
            cross_pseudo_supervision and entropy_minimisation; brightness is multiplied by a factor from 1 +- this.
        strong_contrast: contrast is, alike.
        strong_saturation: saturation is, alike; of RGB images only.
        strong_hue: the hue is turned by up to this share of the colour circle; of RGB images only.
        strong_blur: and the image is blurred, by a standard deviation of up to so many pixels.
    """

    weight: float | Literal["auto"] = "auto"
    ramp_up: float = 0.25
    labels_from: Literal["average", "student"] = "average"
    confidence: float = 0.95
    en_confidence: float = 0.2
    en_share: float = 0.8
    cutmix: float = 0.5
    feature_dropout: float = 0.5
    uncertainty_passes: int = 0
    uncertainty_noise: float = 0.1
    generations: int = 2
    strong_brightness: float = 0.5
    strong_contrast: float = 0.5
    strong_saturation: float = 0.5
    strong_hue: float = 0.1
    strong_blur: float = 1.0

    def __post_init__(self):
        for name in (
            *("weight", "uncertainty_passes", "uncertainty_noise"),
            *("strong_brightness", "strong_contrast", "strong_saturation", "strong_blur"),
        ):
            value = getattr(self, name)
            if value != "auto" and value < 0:
                raise UserError(f"unannotated.{name} is {value}: it must be 0 or more")
        for name in ("ramp_up", "cutmix"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"unannotated.{name} is {getattr(self, name)}: it must be 0 to 1")
        for name in ("confidence", "en_confidence", "feature_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"unannotated.{name} is {getattr(self, name)}: it must be at least 0 and below 1")
        if not 0 < self.en_share <= 1:
            raise UserError(f"unannotated.en_share is {self.en_share}: it must be above 0, and 1 at most")
        if self.generations < 2:
            raise UserError(
                f"unannotated.generations is {self.generations}: it must be 2 or more, a teacher and a student"
            )
        if not 0 <= self.strong_hue <= 0.5:
            raise UserError(f"unannotated.strong_hue is {self.strong_hue}: it must be 0 to 0.5")
