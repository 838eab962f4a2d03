"""One epoch: its updates, and a pass over the validation images."""

import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import torch
from accelerate.utils import broadcast, gather_object
from torch import Tensor

from flexdan.config import RunConfig, network_shape
from flexdan.data.contours import contour_targets
from flexdan.data.dataset import epoch_seed
from flexdan.data.tensors import to_tensor
from flexdan.engine.progress import TrainingProgress
from flexdan.engine.setup import TrainingParts
from flexdan.inference import evaluate_batches
from flexdan.strategies import (
    Batch,
    average_share,
    build_step,
    en_takes_part,
    make_batch,
    strong_views,
    takes_unannotated,
    update_average,
)


def train_epoch(parts: TrainingParts, config: RunConfig, epoch: int, progress: TrainingProgress) -> dict[str, Any]:
    """Train for one epoch and return what the record says of it."""
    adversarial, unannotated = en_takes_part(config, epoch), takes_unannotated(config, epoch)
    length = config.training.num_epochs // config.generations  # each of which is a training of its own
    before, total = (epoch - 1) % length * parts.updates_per_epoch, length * parts.updates_per_epoch
    torch.manual_seed(epoch_seed(config.seed, epoch, parts.accelerator.process_index))  # for networks that draw
    for _, player in parts.players.items():
        player.network.train()
    done = (epoch - max(config.adversarial.gan_start_epoch, 1)) * parts.updates_per_epoch
    start, numbers, images_seen, lr = time.perf_counter(), [], 0, {}
    for position, batches in enumerate(_updates(parts, config, epoch, unannotated, progress)):
        step = build_step(config, epoch, done + position, (before + position) / total)
        result = step(parts.players, batches, parts.means)
        _update_average(parts, config, before + position, total)
        count = sum(len(batch.images) for batch in batches)
        numbers.append((count, result))
        images_seen += count + sum(len(batch.unannotated) for batch in batches if batch.unannotated is not None)
        lr = _step_schedulers(parts, adversarial)
        progress.live(f"train_loss {result['train_loss']:.4f}")
    seconds = time.perf_counter() - start
    updates = sum(result.pop("sn_updates") for _, result in numbers)
    return {
        "epoch": epoch,
        **_mean(gather_object(numbers)),
        "sn_updates": int(updates),
        **lr,
        "seconds": round(seconds, 3),
        "images_per_second": round(images_seen * parts.accelerator.num_processes / seconds, 3),
        "peak_memory_mib": peak_memory_mib(parts.accelerator.device),
    }


def _updates(
    parts: TrainingParts, config: RunConfig, epoch: int, takes_others: bool, progress: TrainingProgress
) -> Iterator[list[Batch]]:
    """Yield the batches of every update of an epoch."""
    for loader in parts.loaders:
        loader.set_epoch(epoch)  # accelerate counts passes itself otherwise, and a resumed run starts at 0
    unannotated = iter(parts.unannotated_loader or ()) if takes_others else iter(())
    batches: list[Batch] = []
    for position, (pixels, classes) in enumerate(parts.train_loader):
        more, labels = next(unannotated, (pixels[:0], classes[:0]))
        seed = epoch_seed(config.seed, epoch, parts.accelerator.process_index, position)
        images, targets, strong = _to_input(parts, config, torch.cat([pixels, more]), classes, labels, seed)
        batches.append(
            make_batch(config, images, targets, len(pixels), unannotated=takes_others, strong=strong, seed=seed)
        )
        progress.advance()
        if len(batches) == parts.accumulate or position + 1 == len(parts.train_loader):
            yield batches
            batches = []


def _to_input(
    parts: TrainingParts, config: RunConfig, pixels: Tensor, classes: Tensor, labels: Tensor, seed: int
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Turn bytes (N, h, w, C) and classes, of the first n true ones, into augmented, normalised network input.

    With it come strong views of the others, (N - n, C, H, W) each, where the strategy learns from them.

    All images of a batch, annotated or not, are augmented together: where a batch turns as a whole, no network can tell
    the kinds apart by that.
    """
    generator = torch.Generator().manual_seed(seed)
    images, targets = parts.augmentation(pixels.movedim(-1, 1), torch.cat([classes, labels]), generator)
    if config.sn.contour_width:
        targets = contour_targets(targets, network_shape(config)[1])
    layout = torch.channels_last if config.training.channels_last else torch.contiguous_format

    def normalise(intensities: Tensor) -> Tensor:
        return ((intensities - config.data.mean) / config.data.std).contiguous(memory_format=layout)

    others = images[len(classes) :]
    strong = tuple(parts.strong(others, generator) for _ in range(strong_views(config) if len(others) else 0))
    return normalise(images), targets, tuple(map(normalise, strong))


def _update_average(parts: TrainingParts, config: RunConfig, done: int, total: int) -> None:
    """Let the average of the SN's weights follow, after so many of all updates before this one."""
    players, training = parts.players, config.training
    if players.average is not None:
        exponential = config.weight_averaging == "ema"
        decay, start = (training.ema_decay, 0) if exponential else (1.0, round(training.swa_start * total))
        update_average(players.average, players.sn.bare, average_share(done, decay, start))


def _step_schedulers(parts: TrainingParts, adversarial: bool) -> dict[str, float]:
    """Step the schedules that go by update, and return the learning rates of the update before."""
    rates = {}
    for name, player in parts.players.items():
        if name != "en" or adversarial:
            rates[{"sn": "lr", "second": "second_lr", "en": "en_lr"}[name]] = player.optimizer.param_groups[0]["lr"]
            if isinstance(scheduler := parts.schedulers.get(name), torch.optim.lr_scheduler.LambdaLR):
                scheduler.step()
    return rates


def _mean(numbers: list[tuple[int, dict[str, float]]]) -> dict[str, float]:
    """Return the mean of each number over the updates of all processes, weighted by their images."""
    total = sum(count for count, _ in numbers)
    return {name: sum(result[name] * count for count, result in numbers) / total for name in numbers[0][1]}


def validate(parts: TrainingParts, config: RunConfig, progress: TrainingProgress) -> dict[str, float]:
    """Return loss and pooled metrics over the validation images of all processes; nothing where there are none."""
    device = parts.accelerator.device
    for network in parts.players.networks().values():
        for buffer in network.buffers():  # batch norm's, of each process its own: the first one's are saved, and label
            broadcast(buffer)
    if not config.data.validates:
        return {}
    layout = torch.channels_last if config.training.channels_last else torch.contiguous_format

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for pixels, targets in parts.val_loader:
            images = to_tensor(pixels.to(device), config.data.mean, config.data.std)
            yield images.contiguous(memory_format=layout), targets.long()
            progress.advance()

    result = evaluate_batches(
        parts.players.evaluated,
        batches(),
        num_classes=network_shape(config)[1],
        loss=parts.means.criterion,
        contours=config.sn.contour_width > 0,
        autocast=parts.means.autocast,
        device=device,
    )
    joined = parts.accelerator.reduce(
        {"counts": result.counts.sum(0).to(device), "loss": _double(result.loss_sum, device)}
    )
    pooled = type(result)(joined["counts"][None].cpu(), float(joined["loss"]))
    metrics = pooled.metrics()
    names = {"val_acc": "accuracy", "iou_score": "iou", "dice": "dice", "precision": "precision", "recall": "recall"}
    return {"val_loss": pooled.loss} | {ours: metrics[theirs] for ours, theirs in names.items()}


def _double(value: float, device: torch.device) -> Tensor:
    return torch.tensor(value, dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)


def reset_peak_memory() -> None:
    """Count the most memory used from now on, so that one training after another in a process has its own.

    Of the process that is possible on Linux only; elsewhere its peak remains that of all trainings before.
    """
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, see proc(5)


def peak_memory_mib(device: torch.device) -> float:
    """Return the most memory used so far, in MiB: of the GPU by torch, else of this process."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text()
        return round(int(status.partition("VmHWM:")[2].split()[0]) / 2**10, 1)
    if sys.platform == "win32":
        return round(psutil.Process().memory_info().peak_wset / 2**20, 1)
    import resource  # of Unix

    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)
