"""What a report says in words and tables: the verdict, the facts of a run, epochs and evaluations, all as text."""

import shlex
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flexdan.report.run import Evaluation, Row, Run, pick

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
    "seconds": "seconds",
    "images_per_second": "images/s",
    "peak_memory_mib": "memory, MiB",
}
_FORMS = {"lr": ".3g", "seconds": ".1f", "images_per_second": ".2f", "peak_memory_mib": ",.0f", "epoch": ".0f"}
_MEASURES = {"iou": "IoU", "dice": "Dice", "accuracy": "accuracy", "precision": "precision", "recall": "recall"}
NONE = "-"


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
    by = "" if run.metric == "iou_score" else f" by {NAMES[run.metric]}"
    return (
        f"Best epoch{by} {best['epoch']:g} of {run.num_epochs}: validation IoU {number(best.get('iou_score'))}, "
        f"Dice {number(best.get('dice'))} ({run.status})"
    )


def facts(run: Run) -> list[tuple[str, str]]:
    """Return what was run, on what, where and when: label and text."""
    start = run.start
    settings, environment = start.get("config"), start.get("environment")
    packages = pick(environment, "packages") or {}
    versions = [f"flexdan {_text(start.get('flexdan'))}", f"Python {_text(pick(environment, 'python'))}"]
    versions += [f"{name} {version}" for name, version in packages.items() if version]
    parameters = start.get("parameters")
    size = pick(settings, "data", "image_size")
    return [
        ("Network", f"{_text(pick(settings, 'sn', 'model_type'))}, {_count(parameters)} parameters"),
        ("Strategy", _text(start.get("strategy") or pick(settings, "strategy"))),
        ("Training images", _training_images(run)),
        ("Validation images", _text(start.get("validation"))),
        (
            "Image size",
            f"{size[0]} x {size[1]} pixels (height x width)" if isinstance(size, list) and len(size) == 2 else NONE,
        ),
        ("Optimiser", _optimiser(settings)),
        ("Precision", _text(start.get("precision"))),
        ("Device", _device(start)),
        ("Seed", _text(start.get("seed"))),
        ("Started", _time(start.get("time"))),
        ("Duration", _duration(run)),
        ("Speed", _speed(run)),
        ("Peak memory", _memory(run)),
        ("Manifest", f"{_text(pick(settings, 'data', 'manifest'))}, SHA-256 {_text(start.get('manifest_sha256'))}"),
        ("Code", _code(start.get("git"))),
        ("Versions", ", ".join(versions)),
        ("Platform", _text(pick(environment, "platform"))),
        ("Command", _command(start.get("command"))),
    ]


def epoch_table(rows: Sequence[Row]) -> Table:
    """Return every number of every epoch."""
    found = dict.fromkeys(name for row in rows for name in row)
    columns = [name for name in NAMES if name in found] + [name for name in found if name not in NAMES]
    cells = [[number(row.get(name), _FORMS.get(name, ".4f")) for name in columns] for row in rows]
    header = [NAMES.get(name, name.replace("_", " ")) for name in columns]
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
        _many(figures["images"], "image"),
        f"{figures['weights']} weights of epoch {figures['epoch']}",
    ]
    parts += ["averaged over mirror images"] * bool(figures.get("tta"))
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
    """Tell that a run has a better epoch than the one that was measured; empty if it has none."""
    measured, best = evaluation.figures["epoch"], run.best
    if evaluation.figures["weights"] != "best" or best is None or best["epoch"] == measured:
        return ""
    return f"evaluation {evaluation.name} measured epoch {measured}, but the best one is now {best['epoch']:g}"


def _training_images(run: Run) -> str:
    annotated, unannotated = run.start.get("annotated"), run.start.get("unannotated")
    text = f"{len(annotated) if isinstance(annotated, list) else NONE} annotated, {_text(unannotated)} unannotated"
    unused = unannotated and pick(run.start, "config", "strategy") == "supervised"
    return f"{text} (not used by the supervised strategy)" if unused else text


def _optimiser(settings: Any) -> str:
    training, optimizer = pick(settings, "training"), pick(settings, "optimizer")
    return (
        f"{_text(pick(optimizer, 'optimizer_type'))}, learning rate {_text(pick(optimizer, 'lr'))}, scheduler "
        f"{_text(pick(settings, 'scheduler', 'scheduler_type'))}, batches of {_text(pick(training, 'batch_size'))}, "
        f"loss {_text(pick(settings, 'loss', 'criterion'))}"
    )


def _device(start: dict[str, Any]) -> str:
    environment, device = start.get("environment"), _text(start.get("device"))
    if device.startswith("cuda"):
        what = ", ".join(dict.fromkeys(map(str, pick(environment, "gpus") or [])))
    else:
        what = f"{_text(pick(environment, 'processor'))}, {_many(pick(environment, 'threads'), 'thread')}"
    processes = start.get("processes")
    return f"{device}: {what}" + (f", {processes} processes" if isinstance(processes, int) and processes > 1 else "")


def _duration(run: Run) -> str:
    training = sum(row.get("seconds") or 0 for row in run.rows)
    text = f"{_span(training)} of training steps in {_many(len(run.rows), 'epoch')}"
    if run.end and not run.resumes:
        begun, ended = _moment(run.start.get("time")), _moment(run.end.get("time"))
        text += f"; {_span((ended - begun).total_seconds())} with validation" if begun and ended else ""
    return text + (f"; resumed {_many(run.resumes, 'time')}" if run.resumes else "")


def _speed(run: Run) -> str:
    speeds = [speed for row in run.rows if (speed := row.get("images_per_second")) is not None]
    return f"{statistics.median(speeds):.2f} images/s in training (median over epochs)" if speeds else NONE


def _memory(run: Run) -> str:
    peaks = [peak for row in run.rows if (peak := row.get("peak_memory_mib")) is not None]
    of = "of the GPU" if _text(run.start.get("device")).startswith("cuda") else "of the process"
    return f"{max(peaks):,.0f} MiB {of}" if peaks else NONE


def _code(git: Any) -> str:
    if not pick(git, "commit"):
        return "an installed package, without a git commit"
    return f"git commit {git['commit']}" + (", with changes that are not committed" if git.get("dirty") else "")


def _command(command: Any) -> str:
    if not isinstance(command, list) or not command:
        return NONE
    name = Path(str(command[0])).name
    return shlex.join(["flexdan" if name == "__main__.py" else name, *map(str, command[1:])])


def _span(seconds: float) -> str:
    """Return a length of time in its two largest units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _moment(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None


def _time(text: Any) -> str:
    moment = _moment(text)
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if moment else NONE


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else _text(value)


def _many(count: Any, what: str) -> str:
    return f"{_text(count)} {what}{'s' * (count != 1)}"


def _text(value: Any) -> str:
    return NONE if value is None or value == "" else str(value)
