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
    "cross_pseudo_supervision",
    "dan+mean_teacher",
    "dan+fixmatch",
    "dan+unimatch",
    "dan+entropy_minimisation",
]
STRONG_VIEWS = {"mean_teacher": 1, "fixmatch": 1, "unimatch": 2}  # of each unannotated image, by what learns from them
LABELLED = ("mean_teacher", "fixmatch", "unimatch")  # by the average of the weights, or by the SN itself


def has_en(strategy: str) -> bool:
    """Tell whether an evaluation network (EN) takes part in a strategy."""
    return "dan" in strategy.split("+")


def term_of(strategy: str) -> str:
    """Return what the SN learns from unannotated images, beside the EN; empty for nothing."""
    return next((part for part in strategy.split("+") if part not in ("supervised", "dan", "batch_norm_only")), "")
