"""Settings of adversarial training."""

from dataclasses import dataclass
from typing import Literal

from flexdan.config.errors import UserError


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig:
    """The adversarial part of the objective; the supervised strategy reads none of it.

    Args:
        sigma: weight of the EN's term in the SN's loss at the start (lambda in the paper).
        sigma_weight: how slowly sigma grows: sigma_t = sigma + epoch / sigma_weight.
        gan_start_epoch: first epoch in which the EN takes part.
        en_lr: learning rate of the EN; null: that of the SN.
        en_criterion: loss of the EN: binary cross-entropy.
    """

    sigma: float = 0.1
    sigma_weight: float = 300.0
    gan_start_epoch: int = 1
    en_lr: float | None = None
    en_criterion: Literal["binary_cross_entropy"] = "binary_cross_entropy"

    def __post_init__(self):
        if self.sigma < 0:
            raise UserError(f"adversarial.sigma is {self.sigma}: it must be 0 or more")
        if self.sigma_weight <= 0:
            raise UserError(f"adversarial.sigma_weight is {self.sigma_weight}: it divides the epoch, so above 0")
        if self.gan_start_epoch < 0:
            raise UserError(f"adversarial.gan_start_epoch is {self.gan_start_epoch}: it must be 0 or more")
        if self.en_lr is not None and self.en_lr <= 0:
            raise UserError(f"adversarial.en_lr is {self.en_lr}: it must be above 0, or null for the SN's")
