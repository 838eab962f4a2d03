"""The facts of a run in words: what was run, on what, where and when."""

import shlex
import statistics
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flexdan.config import AdversarialConfig, has_en
from flexdan.report.run import Run, pick

NONE = "-"
_SEEN = {
    "concatenate": "sees the image and the foreground probabilities",
    "mask": "sees the image multiplied by the foreground probability",
    "map": "sees the foreground probabilities",
}
_VARIANTS = ("sn_update", "en_annotated", "sigma_in_en_loss", "en_steps", "label_smoothing", "freeze")


def facts(run: Run) -> list[tuple[str, str]]:
    """Return what was run, on what, where and when: label and text."""
    start = run.start
    settings, environment = start.get("config"), start.get("environment")
    packages = pick(environment, "packages") or {}
    versions = [f"flexdan {_text(start.get('flexdan'))}", f"Python {_text(pick(environment, 'python'))}"]
    versions += [f"{name} {version}" for name, version in packages.items() if version]
    parameters = start.get("parameters")
    return [
        ("Network", f"{_text(pick(settings, 'sn', 'model_type'))}, {_count(parameters)} parameters"),
        ("Strategy", _strategy(settings)),
        *([("Evaluation network", _evaluation_network(start))] if _adversarial(settings) else []),
        ("Training images", _training_images(run)),
        ("Validation images", _text(start.get("validation"))),
        ("Image size", _image_size(pick(settings, "data"))),
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


def many(count: Any, what: str) -> str:
    """Return a count with its word, such as 1 image or 2 images."""
    return f"{_text(count)} {what}{'s' * (count != 1)}"


def _adversarial(settings: Any) -> bool:
    return has_en(str(pick(settings, "strategy")))


def _strategy(settings: Any) -> str:
    """Name the strategy, since when the EN takes part, and where its step differs from the usual one."""
    strategy, usual = _text(pick(settings, "strategy")), AdversarialConfig()
    averaged = pick(settings, "training", "weight_averaging")
    if averaged in ("ema", "swa"):
        strategy += f", {averaged} of the weights"
    if not _adversarial(settings):
        return strategy
    chosen = {name: pick(settings, "adversarial", name) for name in _VARIANTS}
    variants = [f"{name} {value}" for name, value in chosen.items() if value not in (None, getattr(usual, name))]
    return ", ".join([f"{strategy}, with the EN{_since(settings)}", *variants])


def _evaluation_network(start: dict[str, Any]) -> str:
    settings = start.get("config")
    adversarial = pick(settings, "adversarial")
    en_input = pick(adversarial, "en_input")
    sigma = f"sigma {_short(pick(adversarial, 'sigma'))}"
    if pick(adversarial, "sigma_schedule") == "paper":
        iterations = _count(pick(adversarial, "sigma_iterations"))
        sigma += f" to {_short(pick(adversarial, 'sigma_end'))} over the first {iterations} updates against the EN"
    else:
        sigma += f" + epoch / {_short(pick(adversarial, 'sigma_weight'))}"
    return (
        f"{_text(pick(settings, 'en', 'model_type'))}, {_count(start.get('en_parameters'))} parameters, "
        f"{_SEEN.get(en_input, f'input {_text(en_input)}')}; {sigma}"
    )


def _since(settings: Any) -> str:
    first = pick(settings, "adversarial", "gan_start_epoch")
    return f" from epoch {max(first, 1)} on" if isinstance(first, int) else ""


def _image_size(data: Any) -> str:
    size = pick(data, "image_size")
    if not isinstance(size, list) or len(size) != 2:
        return NONE
    windows = f", windows of images reduced by {_short(pick(data, 'reduce'))}" if pick(data, "crop") else ""
    return f"{size[0]} x {size[1]} pixels (height x width){windows}"


def _training_images(run: Run) -> str:
    annotated, unannotated, settings = run.start.get("annotated"), run.start.get("unannotated"), run.start.get("config")
    strategy = pick(settings, "strategy")
    text = f"{len(annotated) if isinstance(annotated, list) else NONE} annotated, {_text(unannotated)} unannotated"
    if _adversarial(settings):
        if pick(settings, "adversarial", "unannotated_source") == "half_batch":
            return f"{text} (not used: half of each annotated batch plays their part)"
        return f"{text} (used by {'dan' if strategy == 'dan' else 'the EN'}{_since(settings)})"
    if strategy == "supervised":
        return f"{text} (not used by the supervised strategy)" if unannotated else text
    return f"{text} (used by {strategy})" if strategy else text


def _optimiser(settings: Any) -> str:
    training, optimizer = pick(settings, "training"), pick(settings, "optimizer")
    en_lr = pick(settings, "adversarial", "en_lr") if _adversarial(settings) else None
    return (
        f"{_text(pick(optimizer, 'optimizer_type'))}, learning rate {_text(pick(optimizer, 'lr'))}"
        f"{'' if en_lr is None else f' (EN: {en_lr})'}, scheduler "
        f"{_text(pick(settings, 'scheduler', 'scheduler_type'))}, batches of {_text(pick(training, 'batch_size'))}, "
        f"loss {_text(pick(settings, 'loss', 'criterion'))}"
    )


def _device(start: dict[str, Any]) -> str:
    environment, device = start.get("environment"), _text(start.get("device"))
    if device.startswith("cuda"):
        what = ", ".join(dict.fromkeys(map(str, pick(environment, "gpus") or [])))
    else:
        what = f"{_text(pick(environment, 'processor'))}, {many(pick(environment, 'threads'), 'thread')}"
    processes = start.get("processes")
    return f"{device}: {what}" + (f", {processes} processes" if isinstance(processes, int) and processes > 1 else "")


def _duration(run: Run) -> str:
    training = sum(row.get("seconds") or 0 for row in run.rows)
    text = f"{_span(training)} of training steps in {many(len(run.rows), 'epoch')}"
    if run.end and not run.resumes:
        begun, ended = _moment(run.start.get("time")), _moment(run.end.get("time"))
        text += f"; {_span((ended - begun).total_seconds())} with validation" if begun and ended else ""
    return text + (f"; resumed {many(run.resumes, 'time')}" if run.resumes else "")


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


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else _text(value)


def _text(value: Any) -> str:
    return NONE if value is None or value == "" else str(value)
