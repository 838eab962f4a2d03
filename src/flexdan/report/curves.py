"""Which numbers of the epochs are drawn together, and how."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from markupsafe import Markup

from flexdan.report.figures import Series, line_chart
from flexdan.report.run import Run, pick
from flexdan.report.tables import NAMES


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawn figure with its heading, the names of its curves, and the states of the EN in the band above them."""

    title: str
    unit: str
    drawing: Markup
    names: Sequence[str] = ()
    states: Sequence[str] = ()


@dataclass(frozen=True)
class Plot:
    """What a figure shows.

    Args:
        title: of the figure.
        unit: of the values.
        curves: numbers of an epoch, each with the name of its curve.
        within: values that the upright axis holds in any case.
        levels: names and values of level lines.
        health: show the state of the EN above the curves.
    """

    title: str
    unit: str
    curves: Mapping[str, str]
    within: Sequence[float] = ()
    levels: Mapping[str, float] = field(default_factory=dict)
    health: bool = False


def _named(*names: str) -> dict[str, str]:
    return {name: NAMES.get(name, name.replace("_", " ")) for name in names}


_EPOCHS = (
    Plot("Loss", "mean over images", _named("train_loss", "val_loss")),
    Plot("Validation: IoU, Dice, accuracy", "pooled over all pixels, 0 to 1", _named("iou_score", "dice", "val_acc")),
    Plot("Learning rate", "at the end of the epoch", _named("lr", "en_lr")),
    Plot(
        "Unannotated images",
        "share of their pixels that count, or on which two networks agree",
        {"confident_share": "confident", "certain_share": "certain", "agreement": "agreement"},
        within=(0, 1),
    ),
    Plot("Speed of training", "images per second", _named("images_per_second")),
)
_EN = (
    Plot(
        "EN accuracy",
        "share of images judged rightly; above, its health",
        {"en_accuracy_annotated": "annotated", "en_accuracy_unannotated": "unannotated"},
        within=(0, 1),
        health=True,
    ),
    Plot(
        "EN losses",
        "binary cross-entropy, mean over images",
        {
            "en_loss_annotated": "EN, annotated",
            "en_loss_unannotated": "EN, unannotated",
            "adversarial_loss": "SN, adversarial",
        },
        levels={"undecided: ln 2": math.log(2)},
    ),
    Plot(
        "Gradient norms of the SN",
        "mean over updates",
        {"sn_grad_norm_segmentation": "segmentation term", "sn_grad_norm_adversarial": "EN's term, with sigma"},
        within=(0,),
    ),
    Plot("Sigma", "weight of the EN's term in the loss of the SN", _named("sigma")),
)


def epoch_figures(run: Run) -> list[Figure]:
    """Draw what every training has, and losses that no figure knows."""
    drawn = {name for plot in (*_EPOCHS, *_EN) for name in plot.curves}
    further = dict.fromkeys(name for row in run.rows for name in row if name.endswith("loss") and name not in drawn)
    return _figures(run, (*_EPOCHS, Plot("Further losses", "mean over images", _named(*further))))


def en_figures(run: Run) -> list[Figure]:
    """Draw how the EN and its part in the training of the SN went; nothing where no EN took part."""
    criterion = pick(run.start, "config", "adversarial", "en_criterion") or "binary_cross_entropy"
    if criterion == "binary_cross_entropy":
        return _figures(run, _EN)
    unit = f"{criterion.replace('_', ' ')}, mean over images"
    return _figures(run, [replace(plot, unit=unit, levels={}) if plot.title == "EN losses" else plot for plot in _EN])


def _figures(run: Run, plots: Sequence[Plot]) -> list[Figure]:
    return [figure for plot in plots if (figure := _figure(run, plot))]


def _figure(run: Run, plot: Plot) -> Figure | None:
    series = [Series(name=name, values=[row.get(key) for row in run.rows]) for key, name in plot.curves.items()]
    series = [one for one in series if any(value is not None for value in one.values)]
    if not series:
        return None
    states = run.health if plot.health else {}
    drawing = line_chart(
        f"{plot.title}, {plot.unit},",
        [int(row["epoch"] or 0) for row in run.rows],
        series,
        int(run.best["epoch"] or 0) if run.best else None,
        within=plot.within,
        levels=plot.levels,
        states=states,
    )
    return Figure(
        title=plot.title,
        unit=plot.unit,
        drawing=drawing,
        names=[one.name for one in series],
        states=list(dict.fromkeys(states.values())),
    )
