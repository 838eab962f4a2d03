"""Choosing the step of a strategy; the one place of this room that reads a configuration."""

import math
from collections.abc import Callable
from functools import partial

from torch import Tensor

from flexdan.config import STRONG_VIEWS, AdversarialConfig, RunConfig, has_en, term_of
from flexdan.strategies.batch_norm_only import batch_norm_only_step
from flexdan.strategies.cross_pseudo_supervision import cross_pseudo_supervision_step
from flexdan.strategies.dan import DanOptions, dan_step
from flexdan.strategies.en_confidence import EnConfidence
from flexdan.strategies.entropy_minimisation import entropy_minimisation
from flexdan.strategies.fixmatch import FixMatch
from flexdan.strategies.lesson import Term, Weighted
from flexdan.strategies.mean_teacher import MeanTeacher
from flexdan.strategies.self_training import SelfTraining
from flexdan.strategies.step import Batch, Step
from flexdan.strategies.supervised import supervised_step
from flexdan.strategies.unimatch import UniMatch

WEIGHTS = {  # of a term, where the settings say auto
    "cross_pseudo_supervision": 1.5,
    "en_confidence": 0.1,
    "entropy_minimisation": 0.001,
}


def build_step(config: RunConfig, epoch: int, iteration: int, share: float = 1.0) -> Step:
    """Return the step of a strategy in its state at one update.

    Args:
        config: the settings.
        epoch: 1 for the first one.
        iteration: updates against the EN so far.
        share: 0..1, of all updates of the training (or of its generation) that are done; 1, where nothing rises any
            more, for a trial.
    """
    return STRATEGIES[config.strategy](config, epoch, iteration, share)


def en_takes_part(config: RunConfig, epoch: int) -> bool:
    """Tell whether the EN takes part in an epoch."""
    return has_en(config.strategy) and epoch >= config.adversarial.gan_start_epoch


def takes_unannotated(config: RunConfig, epoch: int) -> bool:
    """Tell whether the steps of an epoch use unannotated images, or what plays their part."""
    return en_takes_part(config, epoch) or _term_takes_part(config, epoch) or config.strategy == "batch_norm_only"


def _term_takes_part(config: RunConfig, epoch: int) -> bool:
    term = term_of(config.strategy)
    if term == "self_training":
        return config.generation_at(epoch) > 0
    return en_takes_part(config, epoch) if term == "en_confidence" else bool(term)


def strong_views(config: RunConfig) -> int:
    """Return how many views of each unannotated image, with other colours, the steps need."""
    return STRONG_VIEWS.get(term_of(config.strategy), 0)


def make_batch(
    config: RunConfig,
    images: Tensor,
    targets: Tensor,
    annotated: int,
    *,
    unannotated: bool,
    strong: tuple[Tensor, ...] = (),
    seed: int = 0,
) -> Batch:
    """Divide what was loaded for one pass.

    Args:
        config: the settings.
        images: (N, C, H, W), those with masks first.
        targets: classes (N, H, W), of those without masks what a network has labelled them with, or `IGNORE`.
        annotated: images with masks.
        unannotated: whether the step uses others; half of the images with masks play their part, where the settings say
            so.
        strong: views of the others with other colours.
        seed: of what the step draws.
    """
    if unannotated and has_en(config.strategy) and config.adversarial.unannotated_source == "half_batch":
        annotated -= annotated // 2
    others, labels = (images[annotated:], targets[annotated:]) if unannotated else (None, None)
    return Batch(
        images=images[:annotated],
        targets=targets[:annotated],
        unannotated=others,
        labels=labels,
        strong=strong,
        seed=seed,
    )


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


def rise(share: float, length: float = 1.0) -> float:
    """Return exp(-5 (1 - t)^2), which rises from 0.0067 to 1 (Laine and Aila 2017), t being the share of the length."""
    return math.exp(-5 * (1 - (min(share / length, 1.0) if length else 1.0)) ** 2)


def weight_at(config: RunConfig, share: float) -> float:
    """Return the weight of the term on unannotated images, after a share of all updates."""
    weight = config.unannotated.weight
    full = WEIGHTS.get(term_of(config.strategy), 1.0) if weight == "auto" else weight
    return full * rise(share, config.unannotated.ramp_up)


def _mean_teacher(config: RunConfig, share: float) -> Term:
    settings = config.unannotated
    return MeanTeacher(
        cutmix=settings.cutmix,
        passes=settings.uncertainty_passes,
        noise=settings.uncertainty_noise,
        certainty=0.75 + 0.25 * rise(share),  # Yu et al. 2019, section 3.1
    )


def _fixmatch(config: RunConfig, share: float) -> Term:
    settings = config.unannotated
    return FixMatch(
        labels_from=settings.labels_from,
        confidence=settings.confidence,
        cutmix=settings.cutmix,
        contours=config.sn.contour_width > 0,
    )


def _unimatch(config: RunConfig, share: float) -> Term:
    settings = config.unannotated
    return UniMatch(
        labels_from=settings.labels_from,
        confidence=settings.confidence,
        cutmix=settings.cutmix,
        feature_dropout=settings.feature_dropout,
        contours=config.sn.contour_width > 0,
    )


def _en_confidence(config: RunConfig, share: float) -> Term:
    settings = config.unannotated
    return EnConfidence(
        labels_from=settings.labels_from,
        confidence=settings.en_confidence,
        cutmix=settings.cutmix,
        en_input=config.adversarial.en_input,
        en_criterion=config.adversarial.en_criterion,
        contours=config.sn.contour_width > 0,
    )


def _entropy_minimisation(config: RunConfig, share: float) -> Term:
    return entropy_minimisation


def _self_training(config: RunConfig, share: float) -> Term:
    return SelfTraining(cutmix=config.unannotated.cutmix)


TERMS: dict[str, Callable[[RunConfig, float], Term]] = {
    "mean_teacher": _mean_teacher,
    "fixmatch": _fixmatch,
    "unimatch": _unimatch,
    "en_confidence": _en_confidence,
    "entropy_minimisation": _entropy_minimisation,
    "self_training": _self_training,
}


def _extra(config: RunConfig, share: float) -> Weighted:
    return Weighted(term=TERMS[term_of(config.strategy)](config, share), weight=weight_at(config, share))


def _supervised(config: RunConfig, epoch: int, iteration: int, share: float) -> Step:
    return supervised_step


def _with_term(config: RunConfig, epoch: int, iteration: int, share: float) -> Step:
    if not _term_takes_part(config, epoch):
        return supervised_step
    return partial(supervised_step, extra=_extra(config, share))


def _cross_pseudo_supervision(config: RunConfig, epoch: int, iteration: int, share: float) -> Step:
    weight, cutmix, contours = weight_at(config, share), config.unannotated.cutmix, config.sn.contour_width > 0
    return partial(cross_pseudo_supervision_step, weight=weight, cutmix=cutmix, contours=contours)


def _batch_norm_only(config: RunConfig, epoch: int, iteration: int, share: float) -> Step:
    return batch_norm_only_step


def _dan(config: RunConfig, epoch: int, iteration: int, share: float) -> Step:
    if not en_takes_part(config, epoch):
        return supervised_step
    return partial(dan_step, options=_dan_options(config, epoch, iteration))


def _dan_with_term(config: RunConfig, epoch: int, iteration: int, share: float) -> Step:
    """Return a step whose one update of the SN has all terms, also where `dan` alone would have two."""
    extra = _extra(config, share) if _term_takes_part(config, epoch) else None
    if not en_takes_part(config, epoch):
        return partial(supervised_step, extra=extra)
    return partial(dan_step, options=_dan_options(config, epoch, iteration), extra=extra)


def _dan_options(config: RunConfig, epoch: int, iteration: int) -> DanOptions:
    settings = config.adversarial
    return DanOptions(
        sigma=sigma_at(settings, epoch, iteration),
        sn_update=settings.sn_update if config.strategy == "dan" else "joint",
        en_input=settings.en_input,
        en_annotated=settings.en_annotated,
        sigma_in_en_loss=settings.sigma_in_en_loss,
        en_steps=settings.en_steps,
        en_criterion=settings.en_criterion,
        label_smoothing=settings.label_smoothing,
        freeze=settings.freeze,
    )


STRATEGIES: dict[str, Callable[[RunConfig, int, int, float], Step]] = {
    "supervised": _supervised,
    "dan": _dan,
    "batch_norm_only": _batch_norm_only,
    "mean_teacher": _with_term,
    "fixmatch": _with_term,
    "unimatch": _with_term,
    "entropy_minimisation": _with_term,
    "self_training": _with_term,
    "cross_pseudo_supervision": _cross_pseudo_supervision,
    "dan+mean_teacher": _dan_with_term,
    "dan+fixmatch": _dan_with_term,
    "dan+unimatch": _dan_with_term,
    "dan+en_confidence": _dan_with_term,
    "dan+entropy_minimisation": _dan_with_term,
    "dan+self_training": _dan_with_term,
}
