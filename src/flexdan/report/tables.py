"""What a report says of epochs and evaluations: verdicts and tables, all as text."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from flexdan.config import read_postprocessing, usual_postprocessing, views_text
from flexdan.report.facts import NONE, many
from flexdan.report.run import Evaluation, Run, pick

NAMES = {  # of the numbers of an epoch, in the order of the table
    "epoch": "epoch",
    "train_loss": "training loss",
    "val_loss": "validation loss",
    "iou_score": "IoU",
    "dice": "Dice",
    "val_acc": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "lr": "learning rate",
    "sn_updates": "SN updates",
    "seconds": "seconds",
    "images_per_second": "images/s",
    "peak_memory_mib": "memory, MiB",
    "sigma": "sigma",
    "en_accuracy_annotated": "EN accuracy, annotated",
    "en_accuracy_unannotated": "EN accuracy, unannotated",
    "en_loss_annotated": "EN loss, annotated",
    "en_loss_unannotated": "EN loss, unannotated",
    "adversarial_loss": "adversarial loss",
    "en_score_spread": "spread of EN scores",
    "sn_grad_norm_segmentation": "SN gradient, segmentation",
    "sn_grad_norm_adversarial": "SN gradient, adversarial",
    "grad_ratio": "gradient ratio",
    "en_grad_norm": "EN gradient",
    "en_lr": "EN learning rate",
    "unannotated_loss": "loss without masks",
    "unannotated_weight": "its weight",
    "confident_share": "confident pixels",
    "certain_share": "certain pixels",
    "agreement": "agreement",
    "second_loss": "second SN, loss",
    "second_lr": "second SN, learning rate",
}
_FORMS = {"seconds": ".1f", "images_per_second": ".2f", "peak_memory_mib": ",.0f"}
_FORMS |= dict.fromkeys(("epoch", "sn_updates"), ".0f") | dict.fromkeys(
    ("lr", "en_lr", "second_lr", "sigma", "unannotated_weight"), ".3g"
)
_FORMS |= dict.fromkeys((name for name in NAMES if "grad" in name), ".3g")
_MEASURES = {"iou": "IoU", "dice": "Dice", "accuracy": "accuracy", "precision": "precision", "recall": "recall"}


@dataclass(frozen=True, kw_only=True)
class Table:
    """Header cells and rows of cells, all text; the first `text_columns` columns are words, the others numbers."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1
    note: str = ""


def number(value: float | None, form: str = ".4f") -> str:
    """Return a number as text, and a dash for none."""
    return NONE if value is None else format(value, form)


def verdict(run: Run) -> str:
    """Return one line: the best epoch, its figures on the validation images, and how the run stands."""
    best = run.best
    if best is None:
        return f"No epoch has been measured yet: {run.status}"
    if run.metric == "epoch" and best.get("iou_score") is None:
        return f"Epoch {best['epoch']:g} of {run.num_epochs}, not validated ({run.status})"
    by = {"iou_score": "", "epoch": ", the last one,"}.get(run.metric, f" by {NAMES[run.metric]}")
    return (
        f"Best epoch{by} {best['epoch']:g} of {run.num_epochs}: validation IoU {number(best.get('iou_score'))}, "
        f"Dice {number(best.get('dice'))} ({run.status})"
    )


def health_verdict(run: Run) -> str:
    """Return one line: in how many epochs the EN was in which state, and what the last one says; empty without any."""
    if not run.health:
        return ""
    epoch, state = list(run.health.items())[-1]
    (first, often), *others = Counter(run.health.values()).most_common()
    counts = [
        f"{first} in {often} of {many(len(run.health), 'epoch')}",
        *(f"{name} in {count}" for name, count in others),
    ]
    return f"EN {', '.join(counts)}. Last, in epoch {epoch}, {state}" + (f": {run.advice}" if run.advice else "")


def epoch_table(run: Run) -> Table:
    """Return every number of every epoch, and how the EN stood."""
    found = dict.fromkeys(name for row in run.rows for name in row)
    columns = [name for name in NAMES if name in found] + [name for name in found if name not in NAMES]
    cells = [[number(row.get(name), _FORMS.get(name, ".4f")) for name in columns] for row in run.rows]
    header = [NAMES.get(name, name.replace("_", " ")) for name in columns]
    if run.health:
        header.append("EN health")
        cells = [
            [*line, run.health.get(int(row["epoch"] or 0), NONE)] for line, row in zip(cells, run.rows, strict=True)
        ]
    return Table(title="Every epoch in numbers", header=header, rows=cells, text_columns=0)


def evaluation_table(evaluation: Evaluation, run: Run) -> Table:
    """Return the figures of one evaluation: two sizes, each pooled over pixels and as the mean over images."""
    figures = evaluation.figures
    small = figures["network_size"]
    rows = []
    for level, size in (
        ("network_size", f"network size, {small['height']} x {small['width']}"),
        ("full_resolution", "full resolution"),
    ):
        ways = {"pooled over all pixels": figures[level]["pooled"], "mean over images": figures[level]["image_mean"]}
        classes = figures[level]["classes_pooled"]
        if len(classes) > 2:
            ways |= {f"class {label}, pooled": values for label, values in enumerate(classes)}
        rows += [[size, way, *(number(values.get(name)) for name in _MEASURES)] for way, values in ways.items()]
    several = len(figures["full_resolution"]["classes_pooled"]) > 2
    return Table(
        title=_evaluation_title(evaluation),
        header=["size", "figure", *_MEASURES.values()],
        rows=rows,
        text_columns=2,
        note=_evaluation_note(evaluation, run, several),
    )


def _evaluation_title(evaluation: Evaluation) -> str:
    figures = evaluation.figures
    parts = [
        f"split {figures['split']}",
        many(figures["images"], "image"),
        f"{figures['weights']} weights of epoch {figures['epoch']}",
    ]
    parts += [f"averaged over {views_text(tta)}"] if (tta := figures.get("tta")) else []
    parts += [f"with {many(len(ensemble), 'more network')}"] if (ensemble := figures.get("ensemble")) else []
    parts += [f"scale {figures['scale']:g}"] if isinstance(figures.get("scale"), int | float) else []
    return f"{evaluation.name}: {', '.join(parts)}"


def _evaluation_note(evaluation: Evaluation, run: Run, several: bool) -> str:
    figures = evaluation.figures
    of = "the mean over the classes except the background" if several else "those of the foreground"
    notes = [f"IoU, Dice, precision and recall are {of}. Manifest: {figures['manifest']}."]
    if left := figures.get("unannotated_left_out"):
        notes.append(f"{left} unannotated images of the split were left out.")
    if old := outdated(evaluation, run):
        notes.append(f"{old}.")
    return " ".join(notes)


def outdated(evaluation: Evaluation, run: Run) -> str:
    """Tell that a run has a better epoch or another post-processing than what was measured; empty if it has not."""
    measured, best = evaluation.figures["epoch"], run.best
    if evaluation.figures["weights"] == "best" and best is not None and best["epoch"] != measured:
        return f"evaluation {evaluation.name} measured epoch {measured}, but the best one is now {best['epoch']:g}"
    used = evaluation.figures.get("postprocessing")
    if not isinstance(used, dict) or used.get("source") not in ("default", "run"):  # it was asked for by options
        return ""
    kept, contours = read_postprocessing(run.folder), bool(pick(run.start, "config", "sn", "contour_width"))
    if asdict(kept[0] if kept else usual_postprocessing(contours)) == used["settings"]:
        return ""
    return f"evaluation {evaluation.name} has objects of another post-processing than the run keeps now"
