"""Every figure of a part with its interval, in total and by group."""

import math
from typing import Any

import numpy as np
import torch

from flexdan.metrics.bootstrap import RESAMPLES, interval, resample
from flexdan.metrics.pixel import class_metrics
from flexdan.metrics.scores import Scores

WAYS = ("pooled", "image_mean")
PIXEL_LEVELS = ("network_size", "full_resolution")


def summarize(
    scores: Scores, *, resamples: int = RESAMPLES, seed: int = 0, clusters: bool = False
) -> dict[str, dict[str, Any]]:
    """Return the figures of every level.

    Args:
        scores: of at least one image.
        resamples: of the bootstrap.
        seed: of its draw.
        clusters: draw whole groups instead of single images.

    Returns:
        For each level `pooled` and `image_mean`, name to figure, and `pooled_interval` and `image_mean_interval`, name
        to the ends of the 95 % interval over images; None where there is no figure, or a single image. Levels of pixels
        have `classes_pooled` too, what `class_metrics` says.
    """
    weights = resample(len(scores.images), resamples, seed, scores.groups if clusters else ())
    several = len(set(scores.groups) if clusters else scores.images) > 1
    levels: dict[str, dict[str, Any]] = {}
    for level in scores.levels:
        figures = levels[level] = {
            "pooled": _plain(scores.pooled(level)),
            "image_mean": _plain(scores.image_mean(level)),
        }
        for way, drawn in zip(WAYS, scores.resampled(level, weights if several else weights[:1]), strict=True):
            figures[f"{way}_interval"] = {
                name: _ends(values) if several and figures[way][name] is not None else None
                for name, values in drawn.items()
            }
        if level in PIXEL_LEVELS:
            figures["classes_pooled"] = class_metrics(_confusion(scores, level))
    return levels


def summarize_groups(scores: Scores, **options: Any) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the figures of the images of each grade and of each group, where there are at least two.

    Args:
        scores: of all images.
        options: of `summarize`.

    Returns:
        `grade` and `group`: its name to `images`, their number, and what `summarize` returns for them.
    """
    kinds: dict[str, tuple[str, ...]] = {"grade": scores.grades, "group": scores.groups}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for kind, names in kinds.items():
        members = {
            name: [at for at, one in enumerate(names) if one == name] for name in sorted(set(names), key=_natural)
        }
        if len(members) > 1:
            found[kind] = {
                name or "(none)": {"images": len(at), **summarize(scores.select(at), **options)}
                for name, at in members.items()
            }
    return found


def _confusion(scores: Scores, level: str) -> torch.Tensor:
    """Return pixels by image, true and predicted class, int64 (N, K, K)."""
    counts = np.stack(list(scores.level(level).values()), axis=-1)
    classes = math.isqrt(counts.shape[-1])
    return torch.from_numpy(counts.reshape(-1, classes, classes)).long()


def _plain(figures: dict[str, float]) -> dict[str, float | None]:
    return {name: float(value) if math.isfinite(value) else None for name, value in figures.items()}


def _ends(values: np.ndarray) -> list[float] | None:
    finite = values[np.isfinite(values)]
    return list(interval(finite)) if len(finite) else None


def _natural(name: str) -> Any:
    return (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)
