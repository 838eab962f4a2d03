"""One epoch: a pass over the training images, and one over the validation images."""

import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import psutil
import torch
from accelerate.utils import broadcast, gather_object
from torch import Tensor

from flexdan.config import RunConfig, network_shape
from flexdan.data.dataset import epoch_seed
from flexdan.data.tensors import to_tensor
from flexdan.engine.progress import TrainingProgress
from flexdan.engine.setup import TrainingParts
from flexdan.inference import evaluate_batches
from flexdan.strategies import supervised_step


def train_epoch(parts: TrainingParts, config: RunConfig, epoch: int, progress: TrainingProgress) -> dict[str, Any]:
    """Pass once over the annotated training images and return what the record says of it."""
    rank, accumulate = parts.accelerator.process_index, config.training.gradient_accumulation_steps
    parts.train_loader.set_epoch(epoch)  # accelerate counts passes itself otherwise, and a resumed run starts at 0
    torch.manual_seed(epoch_seed(config.seed, epoch, rank))  # for networks that draw, such as by dropout
    parts.network.train()
    start, losses, images_seen, lr = time.perf_counter(), [], 0, 0.0
    total = len(parts.train_loader)
    for position, (pixels, classes) in enumerate(parts.train_loader):
        generator = torch.Generator().manual_seed(epoch_seed(config.seed, epoch, rank, position))
        images, targets = _to_input(parts, config, pixels, classes, generator)
        first = position - position % accumulate
        update = position + 1 == min(first + accumulate, total)
        with nullcontext() if update else parts.accelerator.no_sync(parts.network):
            step = supervised_step(
                parts.network,
                parts.optimizer,
                images,
                targets,
                criterion=parts.criterion,
                autocast=parts.autocast,
                backward=parts.accelerator.backward,
                accumulate=min(accumulate, total - first),
                update=update,
            )
        lr = parts.optimizer.param_groups[0]["lr"]
        if update and isinstance(parts.scheduler, torch.optim.lr_scheduler.LambdaLR):
            parts.scheduler.step()
        losses.append((step["train_loss"], len(images)))
        images_seen += len(images)
        progress.advance(f"train_loss {step['train_loss']:.4f}")
    losses = gather_object(losses)
    seconds = time.perf_counter() - start
    return {
        "epoch": epoch,
        "train_loss": sum(loss * count for loss, count in losses) / sum(count for _, count in losses),
        "lr": lr,
        "seconds": round(seconds, 3),
        "images_per_second": round(images_seen * parts.accelerator.num_processes / seconds, 3),
        "peak_memory_mib": _peak_memory_mib(parts.accelerator.device),
    }


def _to_input(
    parts: TrainingParts, config: RunConfig, pixels: Tensor, classes: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Turn bytes (N, h, w, C) and classes (N, h, w) into augmented, normalised network input (N, C, h, w)."""
    images, targets = parts.augmentation(pixels.movedim(-1, 1), classes, generator)
    images = (images - config.data.mean) / config.data.std
    layout = torch.channels_last if config.training.channels_last else torch.contiguous_format
    return images.contiguous(memory_format=layout), targets


def validate(parts: TrainingParts, config: RunConfig, progress: TrainingProgress) -> dict[str, float]:
    """Return loss and pooled metrics over the validation images of all processes."""
    device = parts.accelerator.device
    for buffer in parts.bare.buffers():  # each process has its own batch-norm statistics; the first one's are saved
        broadcast(buffer)
    layout = torch.channels_last if config.training.channels_last else torch.contiguous_format

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for pixels, targets in parts.val_loader:
            images = to_tensor(pixels.to(device), config.data.mean, config.data.std)
            yield images.contiguous(memory_format=layout), targets.long()
            progress.advance()

    result = evaluate_batches(
        parts.bare,
        batches(),
        num_classes=network_shape(config)[1],
        loss=parts.criterion,
        autocast=parts.autocast,
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


def _peak_memory_mib(device: torch.device) -> float:
    """Return the most memory used so far, in MiB: of the GPU by torch, else of this process."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    if sys.platform == "win32":
        return round(psutil.Process().memory_info().peak_wset / 2**20, 1)
    import resource  # of Unix

    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)
