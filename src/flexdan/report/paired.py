"""Paired differences of two configurations, and how sure they are: over seeds, over images, and over both.

Both sides were trained with the same seeds and measured on the same images, so that what an image or a seed does to
both cancels out. Three intervals answer three questions, and none stands for another (Bouthillier et al. 2021,
"Accounting for variance in machine learning benchmarks", MLSys):

    over seeds    Student's t over the differences d_s of the seeds, mean +- t(0.975, n - 1) s / sqrt(n): would other
                  trainings give it too, on these very images? It is wide for few seeds: t is 12.7 for 2, 4.30 for 3,
                  2.78 for 5.
    over images   percentiles of the difference over resampled images (Efron and Tibshirani 1993, "An introduction to
                  the bootstrap", chapters 6 and 13), the same ones on both sides and for all seeds, averaged over
                  seeds: would these very networks show it on other images of the same kind too?
    over both     the same, with the seeds resampled too, crossed with the images: would other trainings show it on
                  other images? Seeds are few, and a plain bootstrap of n of them shrinks the variance of their mean by
                  (n - 1) / n and knows nothing of Student's t: so what drawing them changes is expanded, by
                  sqrt(n / (n - 1)) t(0.975, n - 1) / 1.96 (Hesterberg 2015, "What teachers should know about the
                  bootstrap", The American Statistician 69, on expanded percentile intervals).

A difference counts as shown only if all three lie on one side of zero.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from flexdan.metrics import LOWER_IS_BETTER, WAYS, Scores, interval

Interval = tuple[float, float]
Metric = tuple[str, str]  # level and name
Figures = dict[tuple[str, str, str], np.ndarray]  # by level, name and way
NOTHING = "no difference shown"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How much one configuration has of a metric more than another.

    Args:
        level: of the metric.
        metric: its name.
        way: pooled or image_mean.
        by_seed: the difference of each seed that both have.
        over_seeds: 95 % interval, see above; None for fewer than two seeds.
        over_images: 95 % interval; None where there is only one image, or one group of images that is resampled whole.
        over_both: 95 % interval; None where one of the others is.
        better: images on which the mean over seeds is better, whatever direction that is.
        worse: images on which it is worse.
        equal: the other images, those without a value included.
    """

    level: str
    metric: str
    way: str
    by_seed: Mapping[int, float]
    over_seeds: Interval | None
    over_images: Interval | None
    over_both: Interval | None
    better: int
    worse: int
    equal: int

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return float(np.mean(list(self.by_seed.values())))

    @property
    def verdict(self) -> str:
        """Better or worse, where all three intervals lie on one side of zero."""
        if math.isnan(self.mean):
            return "no figure"
        if self.over_seeds is None:
            return f"{NOTHING} (1 seed)"
        if self.over_images is None or self.over_both is None:
            return f"{NOTHING} (1 image or group)"
        found = (self.over_seeds, self.over_images, self.over_both)
        sign = -1 if self.metric in LOWER_IS_BETTER else 1
        if all(low > 0 for low, _ in found):
            return "better" if sign > 0 else "worse"
        if all(high < 0 for _, high in found):
            return "worse" if sign > 0 else "better"
        return NOTHING


def t_interval(values: Sequence[float], level: float = 0.95) -> Interval | None:
    """Return the interval of the mean of a few values after Student; None for fewer than two."""
    count = len(values)
    if count < 2:
        return None
    mean, reach = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(count)
    reach *= float(stdtrit(count - 1, (1 + level) / 2))
    return mean - reach, mean + reach


def draw_seeds(num_seeds: int, resamples: int, seed: int) -> np.ndarray:
    """Return how often each seed was drawn, int64 (B, S), independently of the images that the same number draws."""
    generator = np.random.default_rng([seed, 1])
    return generator.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=resamples)


def seed_shares(drawn: np.ndarray, level: float = 0.95) -> np.ndarray:
    """Return the share of each seed in the mean of a resample, (B, S), expanded for few seeds; shares add up to 1.

    Args:
        drawn: how often each seed was drawn, (B, S).
        level: of the interval that is to be made.
    """
    count = drawn.shape[1]
    if count < 2:
        return np.ones(drawn.shape)
    reach = float(stdtrit(count - 1, (1 + level) / 2)) / float(ndtri((1 + level) / 2))
    return (1 + math.sqrt(count / (count - 1)) * reach * (drawn - 1)) / count


def resampled_figures(scores: Scores, metrics: Sequence[Metric], weights: np.ndarray) -> Figures:
    """Return some figures of a run, (B,) each, for images that count so often as `weights` (B, N) say."""
    found: Figures = {}
    for level in dict.fromkeys(level for level, _ in metrics):
        ways = dict(zip(WAYS, scores.resampled(level, weights), strict=True))
        names = [name for its, name in metrics if its == level]
        found |= {(level, name, way): figures[name] for way, figures in ways.items() for name in names}
    return found


def differences(
    ours: Mapping[int, Scores],
    theirs: Mapping[int, Scores],
    metrics: Sequence[Metric],
    weights: np.ndarray,
    seed: int = 0,
) -> list[Difference]:
    """Return the difference of each metric, pooled and as the mean over images: ours minus theirs.

    Args:
        ours: by seed, all of the same images in the same order.
        theirs: of the configuration that is compared with; the seeds that both have are taken.
        metrics: level and name.
        weights: how often each image was drawn in each resample, (B, N).
        seed: of the draw of the seeds.
    """
    seeds = sorted(set(ours) & set(theirs))
    whole = np.ones((1, weights.shape[1]))
    measured = _subtract(ours, theirs, seeds, metrics, whole)  # (S, 1)
    resampled = _subtract(ours, theirs, seeds, metrics, weights)  # (S, B)
    drawn = seed_shares(draw_seeds(len(seeds), len(weights), seed)).T  # (S, B)
    several_seeds, several_images = len(seeds) > 1, bool((weights != weights[0]).any())
    found = []
    for level, metric in metrics:
        images = _count_images(ours, theirs, seeds, level, metric)
        for way in WAYS:
            key = (level, metric, way)
            by_seed = measured[key][:, 0].tolist()
            both = (resampled[key] * drawn).sum(0) if several_seeds and several_images else None
            found.append(
                Difference(
                    level=level,
                    metric=metric,
                    way=way,
                    by_seed=dict(zip(seeds, by_seed, strict=True)),
                    over_seeds=t_interval(by_seed),
                    over_images=interval(resampled[key].mean(0)) if several_images else None,
                    over_both=None if both is None else interval(both),
                    **images,
                )
            )
    return found


def _subtract(
    ours: Mapping[int, Scores],
    theirs: Mapping[int, Scores],
    seeds: Sequence[int],
    metrics: Sequence[Metric],
    weights: np.ndarray,
) -> Figures:
    """Return the differences of each metric, (S, B)."""
    rows = []
    for one in seeds:
        mine, other = (resampled_figures(side[one], metrics, weights) for side in (ours, theirs))
        rows.append({key: values - other[key] for key, values in mine.items()})
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}


def _count_images(
    ours: Mapping[int, Scores], theirs: Mapping[int, Scores], seeds: Sequence[int], level: str, metric: str
) -> dict[str, int]:
    each = np.mean([ours[one].per_image(level)[metric] - theirs[one].per_image(level)[metric] for one in seeds], axis=0)
    sign = -1 if metric in LOWER_IS_BETTER else 1
    better, worse = (int((way * sign * each > 1e-12).sum()) for way in (1, -1))
    return {"better": better, "worse": worse, "equal": len(each) - better - worse}
