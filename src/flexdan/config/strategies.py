"""The strategies by name, and what the name says: parts that are joined by a plus learn together."""

from typing import Literal

Strategy = Literal[
    "supervised",
    "dan",
    "batch_norm_only",
    "mean_teacher",
    "fixmatch",
    "unimatch",
    "entropy_minimisation",
    "self_training",
    "cross_pseudo_supervision",
    "dan+mean_teacher",
    "dan+fixmatch",
    "dan+unimatch",
    "dan+en_confidence",
    "dan+entropy_minimisation",
    "dan+self_training",
]
# What learns from strong views of each unannotated image, and from how many.
STRONG_VIEWS = {"mean_teacher": 1, "fixmatch": 1, "unimatch": 2, "en_confidence": 1, "self_training": 1}
# What learns from labels, of the average of the weights or of the SN itself.
LABELLED = ("mean_teacher", "fixmatch", "unimatch", "en_confidence")
# Settings `unannotated`, by the beginning of their name, that not all use what learns from unannotated images.
_USERS = {
    "labels_from": ("fixmatch", "unimatch", "en_confidence"),
    "confidence": ("fixmatch", "unimatch"),
    "en_confidence": ("en_confidence",),
    "cutmix": (*STRONG_VIEWS, "cross_pseudo_supervision"),
    "feature_dropout": ("unimatch",),
    "uncertainty_passes": ("mean_teacher",),
    "uncertainty_noise": ("mean_teacher",),
    "generations": ("self_training",),
    "strong_": tuple(STRONG_VIEWS),
}


Averaging = Literal["none", "ema", "swa"]


def needs_average(strategy: str, labels_from: str) -> bool:
    """Tell whether an average of the SN's weights labels unannotated images."""
    return term_of(strategy) == "mean_teacher" or (term_of(strategy) in LABELLED and labels_from == "average")


def averaging(strategy: str, labels_from: str, wanted: Averaging | Literal["auto"]) -> Averaging:
    """Return the average of the SN's weights that is kept, where auto is wanted as the strategy needs it."""
    if wanted == "auto":
        return "ema" if needs_average(strategy, labels_from) else "none"
    return wanted


def unused_settings(strategy: str) -> tuple[str, ...]:
    """Return the beginnings of names of settings that a strategy does not use."""
    term, en = term_of(strategy), has_en(strategy)
    found = (("adversarial.sn_update",) if term else ()) if en else ("en.", "adversarial.", "init_en")
    found += () if term else ("unannotated.",)
    found += tuple(f"unannotated.{name}" for name, users in _USERS.items() if term not in users)
    found += () if term == "self_training" and en else ("unannotated.en_share",)
    return found + (("training.unannotated_batch_size",) if strategy == "supervised" else ())


def num_generations(strategy: str, generations: int) -> int:
    """Return how many trainings from the initial weights follow each other, of which the setting says how many."""
    return generations if term_of(strategy) == "self_training" else 1


def has_en(strategy: str) -> bool:
    """Tell whether an evaluation network (EN) takes part in a strategy."""
    return "dan" in strategy.split("+")


def term_of(strategy: str) -> str:
    """Return what the SN learns from unannotated images, beside the EN; empty for nothing."""
    return next((part for part in strategy.split("+") if part not in ("supervised", "dan", "batch_norm_only")), "")
