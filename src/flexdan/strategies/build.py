"""Choosing the step of a strategy; the one place of this room that reads a configuration."""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from flexdan.config import AdversarialConfig, RunConfig
from flexdan.strategies.dan import DanOptions, dan_step
from flexdan.strategies.step import Batch, Step
from flexdan.strategies.supervised import supervised_step


def build_step(config: RunConfig, epoch: int, iteration: int) -> Step:
    """Return the step of a strategy in its state at one update.

    Args:
        config: the settings.
        epoch: 1 for the first one.
        iteration: updates against the EN so far.
    """
    return STRATEGIES[config.strategy](config, epoch, iteration)


def en_takes_part(config: RunConfig, epoch: int) -> bool:
    """Tell whether the EN takes part in an epoch, and with it the unannotated images."""
    return config.strategy == "dan" and epoch >= config.adversarial.gan_start_epoch


def make_batch(config: RunConfig, images: Tensor, targets: Tensor, annotated: int, *, adversarial: bool) -> Batch:
    """Divide what was loaded for one pass.

    Args:
        config: the settings.
        images: (N, C, H, W), those with masks first.
        targets: classes (N, H, W).
        annotated: images with masks.
        adversarial: whether the EN takes part; half of the images with masks play its unannotated ones, where the
            settings say so.
    """
    if adversarial and config.adversarial.unannotated_source == "half_batch":
        annotated -= annotated // 2
    unannotated = images[annotated:] if adversarial else None
    return Batch(images=images[:annotated], targets=targets[:annotated], unannotated=unannotated)


def sigma_at(settings: AdversarialConfig, epoch: int, iteration: int) -> float:
    """Return sigma, the weight of the EN's term in the SN's loss.

    Args:
        settings: the `adversarial` section.
        epoch: 1 for the first one of the run, whether or not the EN takes part in it.
        iteration: updates against the EN so far.
    """
    if settings.sigma_schedule == "paper":
        share = min(iteration / settings.sigma_iterations, 1.0)
        return settings.sigma + (settings.sigma_end - settings.sigma) * share
    return settings.sigma + epoch / settings.sigma_weight


def _supervised(config: RunConfig, epoch: int, iteration: int) -> Step:
    return supervised_step


def _dan(config: RunConfig, epoch: int, iteration: int) -> Step:
    if not en_takes_part(config, epoch):
        return supervised_step
    settings = config.adversarial
    options = DanOptions(
        sigma=sigma_at(settings, epoch, iteration),
        sn_update=settings.sn_update,
        en_input=settings.en_input,
        en_annotated=settings.en_annotated,
        sigma_in_en_loss=settings.sigma_in_en_loss,
        en_steps=settings.en_steps,
        label_smoothing=settings.label_smoothing,
        freeze=settings.freeze,
    )
    return partial(dan_step, options=options)


STRATEGIES: dict[str, Callable[[RunConfig, int, int], Step]] = {"supervised": _supervised, "dan": _dan}
