"""The scores of an evaluation by name, such as `objects.f1.pooled`: a level, a metric, and how images are totalled."""

from collections.abc import Mapping, Sequence
from typing import Any

from flexdan.config.errors import UserError
from flexdan.config.trials import is_number
from flexdan.report.evaluation_tables import CHALLENGE, METRIC_NAMES

LEVELS = {  # of an evaluation, in words
    "objects": "objects",
    "full_resolution": "full resolution",
    "network_size": "network's size",
    "calibration": "calibration",
}
WAYS = {"pooled": "pooled", "image_mean": "mean over images"}
DEFAULT = ("objects.f1", "objects.object_dice", "objects.object_hausdorff", "full_resolution.dice")


def read_scores(figures: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite scores of an evaluation by name, level by level, both ways of adding up beside each other."""
    found = {}
    for level in LEVELS:
        ways = {way: figures.get(level, {}).get(way, {}) for way in WAYS}
        for name in dict.fromkeys(name for values in ways.values() for name in values):
            scores = {f"{level}.{name}.{way}": values.get(name) for way, values in ways.items()}
            found |= {key: value for key, value in scores.items() if is_number(value)}
    return found


def choose_scores(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return scores by their full names: `objects.f1` is `objects.f1.pooled`, or the mean over images without that.

    Args:
        names: as a user wrote them.
        known: the full names of all that there are.

    Raises:
        UserError: for a name that is none.
    """
    chosen = []
    for name in names:
        level, _, metric = name.partition(".")
        fulls = [name] if metric.rpartition(".")[2] in WAYS else [f"{name}.{way}" for way in WAYS]
        found = [one for one in fulls if one in known]
        if not found:
            stems = [one.rpartition(".")[0] for one in known if one.startswith(f"{level}.")]
            near = f"; of {level} there are {', '.join(dict.fromkeys(one.partition('.')[2] for one in stems))}"
            raise UserError(
                f"there is no metric {name!r}: it must be LEVEL.METRIC, such as {DEFAULT[0]} or {DEFAULT[3]}, and with "
                f".image_mean for the mean over images, with a level of {', '.join(LEVELS)}{near * bool(stems)}"
            )
        chosen.append(found[0])
    return list(dict.fromkeys(chosen))


def score_name(score: str) -> str:
    """Return a score in words, such as `object F1 (pooled)`."""
    level, name, way = score.split(".")
    words = METRIC_NAMES.get(name, name.replace("_", " "))
    if level == "objects" and name in CHALLENGE:
        return f"object {words.removeprefix('object ')} ({WAYS[way]})"
    return f"{words} ({LEVELS[level]}, {WAYS[way]})"
