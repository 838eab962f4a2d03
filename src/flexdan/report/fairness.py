"""Whether a comparison is fair: what must be the same on all sides, checked in the records.

What a record does not tell is unknown, and never passes.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flexdan.config.trials import params_text
from flexdan.report.checks import AGAIN, MISSING, Check, State, label_of, members, same, shared_seeds, short, some
from flexdan.report.configurations import Configuration
from flexdan.report.contestants import Contestant, stale
from flexdan.report.fairness_notes import NOTES
from flexdan.report.run import pick
from flexdan.report.updates import ancestors, updates_before, updates_done, updates_planned


def check_fairness(configurations: Sequence[Configuration]) -> list[Check]:
    """Return every line of the check, first what must be the same, then what differs by intention, perhaps."""
    found = [check(configurations) for check in (*_CHECKS, *NOTES)]
    return [one for one in found if one is not None]


def _training_data(configurations: Sequence[Configuration]) -> Check:
    values = {label_of(one): short(one.run.start.get("manifest_sha256")) for one in members(configurations)}
    return same("same training data", values, "train all on one manifest: its content differs", "manifest ")


def _annotated_images(configurations: Sequence[Configuration]) -> Check:
    name, odd, sizes = "same annotated images", [], set()
    for seed in sorted({seed for one in configurations for seed in one.members}):
        told = [one.members[seed].run.start.get("annotated") for one in configurations if seed in one.members]
        lists = [images for images in told if isinstance(images, list)]
        if len(lists) < len(told):
            return Check(name=name, state="unknown", found=f"seed {seed}: {MISSING}", remedy=AGAIN)
        sizes |= {len(images) for images in lists}
        if len({tuple(sorted(images)) for images in lists}) > 1:
            odd.append(f"seed {seed}: {' and '.join(str(len(images)) for images in lists)} images, not the same ones")
    if not odd and not shared_seeds(configurations) and len(sizes) > 1:
        odd.append(f"{' and '.join(map(str, sorted(sizes)))} images, with other seeds")
    if odd:
        remedy = "train all with the same data.annotated, seed and manifest"
        return Check(name=name, state="FAILS", found=some(odd), remedy=remedy)
    return Check(name=name, state="pass", found=f"{' or '.join(map(str, sorted(sizes)))} for each seed")


def _splits(configurations: Sequence[Configuration]) -> Check:
    values = {label_of(one): _splits_of(one) for one in members(configurations)}
    return same("same splits", values, "train with the same data.train_split and data.val_split")


def _splits_of(one: Contestant) -> str | None:
    splits = [pick(one.run.start, "config", "data", f"{name}_split") for name in ("train", "val")]
    return None if None in splits else f"{' / '.join(splits)} / {one.evaluation.figures['split']}"


def _evaluated_images(configurations: Sequence[Configuration]) -> Check:
    shas = {label_of(one): short(one.evaluation.figures.get("manifest_sha256")) for one in members(configurations)}
    count = len(next(members(configurations)).scores.images)
    return same("same evaluated images", shas, "measure all with `flexdan evaluate --manifest`", f"{count}, manifest ")


def _updates(configurations: Sequence[Configuration]) -> Check:
    done = {label_of(one): _sum(updates_before(one.run), updates_done(one.run)) for one in members(configurations)}
    plan = {label_of(one): _sum(updates_before(one.run), updates_planned(one.run)) for one in members(configurations)}
    remedy = "set training.updates_per_epoch and num_epochs so that the totals agree, as `flexdan baseline` does"
    if len(set(plan.values())) == 1 < len(set(done.values())) and None not in done.values():
        remedy = "planned were equally many: train all to the end, with training.early_stopping_patience 0"
    check = same("same number of SN updates", done, remedy)
    before = sorted({updates_before(one.run) or 0 for one in members(configurations)} - {0})
    more = f", of them {' or '.join(map(str, before))} before, in the SN that some started from" if before else ""
    planned = ", ".join(sorted({MISSING if value is None else str(value) for value in plan.values()}))
    return replace(check, found=f"{check.found}{more}; planned {planned}")


def _finished(configurations: Sequence[Configuration]) -> Check:
    name = "finished, and measured at its best"
    odd = [f"{label_of(one)}: {one.run.status}" for one in members(configurations) if not one.run.finished]
    if odd:
        return Check(name=name, state="FAILS", found=some(odd), remedy="go on with `flexdan train --resume`")
    told = {label_of(one): stale(one.evaluation, one.run) for one in members(configurations)}
    if odd := [f"{label}: {old}" for label, old in told.items() if old]:
        return Check(name=name, state="FAILS", found=some(odd), remedy="leave --no-evaluate out")
    return Check(name=name, state="pass", found="all")


def _resolution(configurations: Sequence[Configuration]) -> Check:
    values = {label_of(one): _size(pick(one.run.start, "config", "data")) for one in members(configurations)}
    return same("same resolution", values, "train with the same data.image_size, data.crop and data.reduce")


def _selection(configurations: Sequence[Configuration]) -> Check:
    name = "selection on validation only"
    found = {label_of(one): _selected(one) for one in members(configurations)}
    odd: dict[State, list[str]] = {"FAILS": [], "unknown": [], "pass": []}
    for label, (state, text) in found.items():
        odd[state].append(f"{label}: {text}")
    if odd["FAILS"]:
        remedy = "measure a split that no training saw, such as --split test"
        return Check(name=name, state="FAILS", found=some(odd["FAILS"]), remedy=remedy)
    if odd["unknown"]:
        remedy = "measure with the manifest of the training"
        return Check(name=name, state="unknown", found=some(odd["unknown"]), remedy=remedy)
    ways = {label: text for label, (_, text) in found.items()}
    return same(name, ways, "choose all weights alike: the same training.best_metric, the same --weights")


def _selected(one: Contestant) -> tuple[State, str]:
    """Return whether the measured images had no part in a training, and in words what chose its weights."""
    figures, settings = one.evaluation.figures, pick(one.run.start, "config") or {}
    data, training = pick(settings, "data") or {}, pick(settings, "training") or {}
    if not {"train_split", "val_split"} <= set(data) or "best_metric" not in training:
        return "unknown", f"splits or best_metric {MISSING}"
    best = figures["weights"] == "best" and training["best_metric"] != "epoch"  # that one is the last
    patience = training.get("early_stopping_patience")
    end = f"last epoch, as {data['val_split']} ended it" if patience else "last epoch, nothing chosen"
    chosen = f"best epoch by {training['best_metric']} on {data['val_split']}" if best else end
    if figures.get("manifest_sha256") != one.run.start.get("manifest_sha256") or not figures.get("manifest_sha256"):
        return "unknown", "measured on another manifest than that of the training"
    if figures["split"] == data["train_split"]:
        return "FAILS", "measured on the images that it was trained on"
    for start in ancestors(one.run):
        its = pick(start.start, "config", "data") if start else None
        if start is None or start.start.get("manifest_sha256") != one.run.start.get("manifest_sha256") or not its:
            return "unknown", "it started from an SN whose training is not recorded, or had other data"
        if figures["split"] in (its.get("train_split"), its.get("val_split")):
            return "FAILS", f"it started from an SN that saw the measured images ({start.folder})"
    if figures["split"] != data["val_split"]:
        return "pass", chosen
    if best:
        return "FAILS", "measured on the images that chose the weights"
    steered = str(pick(settings, "scheduler", "plateau_metric")) != "train_loss"
    plateau = pick(settings, "scheduler", "scheduler_type") == "ReduceLROnPlateau" and steered
    if plateau or patience:
        return "FAILS", "measured on the images that steered the learning rate or the end of the training"
    return "pass", chosen


def _prediction(configurations: Sequence[Configuration]) -> Check:
    values = {}
    for one in members(configurations):
        figures = one.evaluation.figures
        told = {"weights", "tta", "scale"} <= set(figures)
        views, scale = figures.get("tta", False), figures.get("scale") or "as trained"
        tta = {True: "on", False: "off"}.get(views, views)
        text = f"{figures['weights']} weights, tta {tta}, scale {scale}"
        if ensemble := figures.get("ensemble"):
            text += f", averaged with {len(ensemble)} more"
        if spacing := figures.get("spacing"):
            text += f", pixels of {spacing[0]:g} x {spacing[1]:g}"
        values[label_of(one)] = text if told else None
    return same(
        "predicted alike", values, "measure all with the same --weights, --tta, --ensemble, --scale and --spacing"
    )


def _postprocessing(configurations: Sequence[Configuration]) -> Check:
    name = "post-processing tuned alike"
    values: dict[str, Any] = {}
    for one in members(configurations):
        found, split = one.evaluation.figures.get("postprocessing"), one.evaluation.figures["split"]
        tuning = pick(found, "tuning") or {}
        remedy = "tune it on validation images: `flexdan evaluate --tune-postprocessing`"
        if tuning.get("split") == split:
            where = f"{label_of(one)}: on the measured split, {split}"
            return Check(name=name, state="FAILS", found=where, remedy=remedy)
        if tuning and tuning.get("manifest_sha256") != one.run.start.get("manifest_sha256"):
            where = f"{label_of(one)}: on another manifest than that of the training"
            return Check(name=name, state="FAILS", found=where, remedy=remedy)
        values[label_of(one)] = _tuned(found) if isinstance(found, dict) else None
    return same(name, values, "tune all of them alike, or none")


def _tuned(found: dict[str, Any]) -> str:
    """Say how a post-processing came about."""
    if tuning := found.get("tuning"):
        ways = [f"{name} {tuning[name]}" for name in ("metric", "weights", "tta", "scale") if tuning.get(name)]
        ways += [f"{tuning['networks']} networks"] if tuning.get("networks", 1) > 1 else []
        return ", ".join([f"on {tuning['split']}", *ways])
    how = "set by options" if "options" in str(found.get("source")) else "not tuned"
    settings = found.get("settings")
    return f"{how}: {params_text(settings)}" if settings else how


def _size(data: Any) -> str | None:
    size = pick(data, "image_size")
    if not isinstance(size, list) or len(size) != 2:
        return None
    return f"{size[0]}x{size[1]}" + (f" windows, reduced by {pick(data, 'reduce'):g}" if pick(data, "crop") else "")


def _sum(*numbers: int | None) -> int | None:
    return None if None in numbers else sum(number or 0 for number in numbers)


_CHECKS = (
    *(_training_data, _annotated_images, _splits, _evaluated_images, _updates, _finished, _resolution, _selection),
    *(_prediction, _postprocessing),
)
