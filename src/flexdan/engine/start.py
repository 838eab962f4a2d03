"""The start of a run, new or resumed: weights, record, and what the user is told."""

import math
from pathlib import Path
from typing import Any

from flexdan.config import RunConfig, network_shape, to_yaml
from flexdan.config.files import atomic_path
from flexdan.config.record import read_record
from flexdan.engine.checkpoint import load_checkpoint, load_initial_weights
from flexdan.engine.progress import TrainingProgress
from flexdan.engine.record import resume_event, rewrite_record, start_event
from flexdan.engine.setup import TrainingData, TrainingParts, cached_gib
from flexdan.models import count_parameters


def training_state(parts: TrainingParts) -> dict[str, Any]:
    """Return the state that a resumed training needs beside the weights and the history."""
    scheduler = {} if parts.scheduler is None else parts.scheduler.state_dict()
    return {"optimizer": parts.optimizer.state_dict(), "scheduler": scheduler}


def start_run(parts: TrainingParts, config: RunConfig, data: TrainingData, folder: Path) -> list[dict[str, Any]]:
    """Load the initial weights where the settings name some, and write config.yaml and the first line of the record."""
    if config.init_sn:
        load_initial_weights(parts.bare, Path(config.init_sn))
    if parts.accelerator.is_main_process:
        with atomic_path(folder / "config.yaml") as temporary:
            temporary.write_text(to_yaml(config), encoding="utf-8")
        facts = {
            "parameters": count_parameters(parts.bare),
            "annotated": [str(record.image) for record in data.annotated],
            "unannotated": len(data.unannotated),
            "validation": len(data.validation),
            "precision": parts.precision,
            "device": str(parts.accelerator.device),
            "processes": parts.accelerator.num_processes,
        }
        rewrite_record(folder / "record.jsonl", [start_event(config, **facts)])
    return []


def restore_run(parts: TrainingParts, folder: Path) -> list[dict[str, Any]]:
    """Load the state after the last finished epoch, and bring the record to it, whatever a crash left behind."""
    content = load_checkpoint(folder / "last.ckpt")
    parts.bare.load_state_dict(content["sn"])
    parts.optimizer.load_state_dict(content["training"]["optimizer"])
    if parts.scheduler is not None:
        parts.scheduler.load_state_dict(content["training"]["scheduler"])
    history = content["history"]
    if parts.accelerator.is_main_process:
        path = folder / "record.jsonl"
        kept = [
            event for event in read_record(path) if event["event"] != "end" and event.get("epoch", 0) <= len(history)
        ]
        recorded = {event["epoch"] for event in kept if event["event"] == "epoch"}
        missing = [{"event": "epoch", **row} for row in history if row["epoch"] not in recorded]
        rewrite_record(path, [*kept, *missing, resume_event(len(history))])
    return history


def describe_run(
    progress: TrainingProgress, parts: TrainingParts, config: RunConfig, data: TrainingData, folder: Path, done: int
) -> None:
    """Tell the user what is trained on what, and what is kept in memory."""
    _, _, size = network_shape(config)
    sets = parts.train_loader.dataset, parts.val_loader.dataset
    cached = sum(dataset.num_cached for dataset in sets)  # type: ignore[attr-defined]
    gib = sum(cached_gib(dataset) for dataset in sets)  # type: ignore[arg-type]
    images = len(data.annotated) + len(data.validation)
    progress.say(
        f"{config.sn.model_type}, {count_parameters(parts.bare):,} parameters, on {parts.accelerator.device} in "
        f"{parts.precision}; {len(data.annotated)} annotated and {len(data.validation)} validation images at "
        f"{size[0]}x{size[1]}"
    )
    if data.unannotated:
        progress.say(f"{len(data.unannotated)} unannotated training images: the supervised strategy does not use them")
    limit = f"data.cache_gib {config.data.cache_gib}"
    kept = f"{cached} of {images} images kept in memory, {math.ceil(gib * 1024)} MiB ({limit})"
    progress.say(kept if cached == images else f"{kept}; the others are decoded in each epoch")
    if done:
        progress.say(f"going on after epoch {done} in {folder}")
