"""What stands in metrics.json: the figures of an evaluation, and how its objects came about."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from flexdan.config import PostprocessingConfig, UserError, read_postprocessing
from flexdan.data import file_sha256
from flexdan.metrics import Scores, reliability, summarize, summarize_groups


def describe_postprocessing(settings: PostprocessingConfig, source: str, folder: Path) -> dict[str, Any]:
    """Return the post-processing and where it comes from, for metrics.json."""
    stored = read_postprocessing(folder)
    tuning = asdict(stored[1]) if stored and stored[0] == settings else None
    return {"settings": asdict(settings), "source": source, "tuning": tuning}


def summarize_scores(scores: Scores, manifest: Path | None, options: argparse.Namespace) -> dict[str, Any]:
    """Return what follows from the counts, for metrics.json: figures with intervals, groups, calibration.

    Raises:
        UserError: if groups are to be resampled and there are none.
    """
    if options.clusters and not any(scores.groups):
        raise UserError("--clusters resamples groups, but the images that were measured have none: leave it out")
    statistics = {"resamples": options.resamples, "seed": options.seed, "clusters": options.clusters}
    figures: dict[str, Any] = {
        "images": len(scores.images),
        "manifest_sha256": file_sha256(manifest) if manifest else None,
        "spacing": options.spacing,
        "bootstrap": statistics,
        **summarize(scores, **statistics),
        "groups": summarize_groups(scores, **statistics),
    }
    if "calibration" in scores.levels:
        totals = {name: values.sum() for name, values in scores.level("calibration").items()}
        bins = zip(("pixels", "confidence", "accuracy"), reliability(totals), strict=True)
        figures["calibration"]["bins"] = {
            name: [float(value) if np.isfinite(value) else None for value in values] for name, values in bins
        }
    return figures
