"""A learning curve: strategies over the number of annotated images, with equal updates of the SN."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from flexdan.config import RunConfig, Strategy, UserError, changed_settings, with_settings
from flexdan.experiments.scarce import NO_SIGMA
from flexdan.experiments.sweep import Choice, Range, Sweep

CONTROL = "dan_without_sigma"
CURVES: dict[str, Mapping[str, Any]] = {  # curve -> its settings, above those that all have in common
    **{name: {"strategy": name} for name in get_args(Strategy)},
    CONTROL: {"strategy": "dan", **NO_SIGMA},
}
SWEPT = ("strategy", "data.annotated", "seed")


def curve_base() -> RunConfig:
    """Return the settings of a learning curve where nothing else is said: joint updates, as many as supervised ones."""
    return with_settings(RunConfig(), {"adversarial.sn_update": "joint"})


def annotated_sweep(
    config: RunConfig, cells: Sequence[Mapping[str, Any]], annotated: int, curves: Sequence[str] = tuple(CURVES)
) -> Sweep:
    """Return the sweep of a learning curve.

    Args:
        config: what all trainings have in common; the updates of an epoch are a number, the same whatever is annotated.
        cells: strategy, number of annotated images and seed of each training, see `curve_cells`; more may come later.
        annotated: images of the training split that have masks.
        curves: that its cells may have; of a study that is there those it began with, which must stay.
    """
    return Sweep(
        parameters={  # all that a cell may have, so that a study can grow
            "strategy": Choice(tuple(curves), {name: CURVES[name] for name in curves if name in CURVES}),
            "data.annotated": Range(low=1, high=annotated, integer=True),
            "seed": Range(low=0, high=2**31 - 1, integer=True),
        },
        settings={name: value for name, value in changed_settings(config).items() if name not in SWEPT},
        metric=config.training.best_metric,
        listed=tuple(cells),
    )


def curve_cells(counts: Iterable[int], strategies: Iterable[str], seeds: int) -> list[dict[str, Any]]:
    """Return the cells of a learning curve: whole curves of one seed after the other, so that a part tells most.

    Args:
        counts: of annotated images.
        strategies: names in `CURVES`.
        seeds: how many; they are 0, 1, ….

    Raises:
        UserError: for an unknown strategy, a count below 1, or without seeds.
    """
    counts, strategies = sorted(set(counts)), list(dict.fromkeys(strategies))
    if unknown := [name for name in strategies if name not in CURVES]:
        raise UserError(f"there is no strategy {unknown[0]!r}: a learning curve has some of {', '.join(CURVES)}")
    if counts and counts[0] < 1:
        raise UserError(f"a count of annotated images is {counts[0]}, but must be at least 1")
    if seeds < 1:
        raise UserError(f"the number of seeds is {seeds}, but must be at least 1")
    return [
        {"strategy": strategy, "data.annotated": count, "seed": seed}
        for seed, count, strategy in itertools.product(range(seeds), counts, strategies)
    ]


def lacks_unannotated(cell: Mapping[str, Any], config: RunConfig, images: int) -> bool:
    """Tell whether a cell cannot be trained, since none of the training images would be left unannotated.

    Args:
        cell: of a learning curve.
        config: what all trainings have in common.
        images: of the training split, annotated or not.
    """
    alone = cell["strategy"] in ("dan", CONTROL) and config.adversarial.unannotated_source == "half_batch"
    return cell["strategy"] != "supervised" and not alone and cell["data.annotated"] >= images


def one_pass(count: int, config: RunConfig) -> int:
    """Return how many updates a pass over so many annotated images has."""
    return math.ceil(count / (config.training.batch_size * config.training.gradient_accumulation_steps))


def sn_updates(config: RunConfig) -> int:
    """Return how many updates of the SN a training has in all, unless it ends early.

    Args:
        config: of the training; the updates of an epoch are a number.
    """
    training, adversarial = config.training, config.adversarial
    assert training.updates_per_epoch != "auto", "the updates of an epoch must be known"
    if config.strategy != "dan":  # of all others each step has one
        return training.updates_per_epoch * training.num_epochs
    without_en = max(adversarial.gan_start_epoch, 1) - 1
    idle = adversarial.sigma_schedule == "paper" and adversarial.sigma == adversarial.sigma_end == 0
    each = 2 if adversarial.sn_update == "separate" and not idle else 1  # the step leaves out an update that is nothing
    each = 0 if adversarial.freeze == "sn" else each
    return training.updates_per_epoch * (without_en + each * (training.num_epochs - without_en))
