"""Measuring a network on annotated images: one path for validation during training and for the final command."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from flexdan.config import IGNORE
from flexdan.data import ImageRecord
from flexdan.data.dataset import SegmentationDataset, Track, load_pair, make_loader
from flexdan.data.tensors import to_tensor
from flexdan.inference.predict import evaluation_mode
from flexdan.metrics import confusion_counts, pixel_metrics

Visit = Callable[[ImageRecord, np.ndarray, np.ndarray, np.ndarray], None]


@dataclass(frozen=True)
class EvaluationResult:
    """What was counted. Results of several processes join by stacking the counts and adding the sums.

    Args:
        counts: pixels by image, true and predicted class, int64 (N, K, K) on the CPU.
        loss_sum: the loss of each batch times its counted pixels, added up; 0 without a loss.
    """

    counts: Tensor
    loss_sum: float = 0.0

    @property
    def loss(self) -> float:
        """Mean loss, weighted by counted pixels: a cross-entropy does not depend on how the images were batched."""
        return self.loss_sum / max(int(self.counts.sum()), 1)

    def metrics(self) -> dict[str, float]:
        """Return what `pixel_metrics` makes of the counts."""
        return pixel_metrics(self.counts)


def evaluate_batches(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    num_classes: int,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    device: torch.device | str = "cpu",
) -> EvaluationResult:
    """Run a network over annotated batches and count.

    Args:
        network: images (N, C, H, W) to logits (N, K, H, W); in evaluation mode meanwhile, as before afterwards.
        batches: normalised images, float (N, C, H, W), and classes, long (N, H, W) with `IGNORE`.
        num_classes: K, background included.
        loss: of logits and classes, a scalar; it sees float32 logits, outside of autocast.
        autocast: makes the context of each forward pass.
        device: where the network is.

    Returns:
        Counts of each image, in the order of the batches, and the loss.
    """
    counts: list[Tensor] = []
    loss_sum = 0.0
    with evaluation_mode(network):
        for images, targets in batches:
            targets = targets.to(device, non_blocking=True)
            with autocast():
                logits = network(images.to(device, non_blocking=True))  # (N, K, H, W)
            logits = logits.float()
            batch = confusion_counts(logits.argmax(1), targets, num_classes, IGNORE).cpu()
            counts.append(batch)
            if loss is not None and (pixels := int(batch.sum())):
                loss_sum += float(loss(logits, targets)) * pixels
    return EvaluationResult(_stack(counts, num_classes), loss_sum)


def evaluate_network_size(
    network: nn.Module,
    records: Sequence[ImageRecord],
    *,
    image_size: tuple[int, int],
    channels: int,
    intensity: Literal["range", "percentile"],
    mean: float,
    std: float,
    num_classes: int,
    batch_size: int,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    device: torch.device | str = "cpu",
    track: Track = iter,
) -> EvaluationResult:
    """Measure annotated images at the size of the network's input, as validation during training does.

    Images and masks are resized to `image_size`, masks by nearest neighbour.

    Args:
        network: images (N, C, H, W) to logits (N, K, H, W), on `device`.
        records: annotated images.
        image_size: height and width of the network's input.
        channels: of the network's input.
        intensity: how types other than 8 bit become bytes.
        mean: subtracted from the intensities 0..1.
        std: divides them after that.
        num_classes: K, background included.
        batch_size: images per forward pass.
        autocast: makes the context of each forward pass.
        device: where the network is.
        track: wraps the sequence of batches, for a progress bar.
    """
    dataset = SegmentationDataset(records, image_size=image_size, channels=channels, intensity=intensity)
    loader = make_loader(dataset, batch_size=batch_size)
    batches = ((to_tensor(images.to(device), mean, std), targets.long()) for images, targets in track(loader))
    return evaluate_batches(network, batches, num_classes=num_classes, autocast=autocast, device=device)


def evaluate_full_size(
    segment: Callable[[np.ndarray], np.ndarray],
    records: Sequence[ImageRecord],
    *,
    channels: int,
    intensity: Literal["range", "percentile"],
    num_classes: int,
    track: Track = iter,
    visit: Visit | None = None,
) -> EvaluationResult:
    """Measure annotated images at full resolution, against their masks as they stand in the files.

    Args:
        segment: image uint8 (H, W, C) to probabilities (K, H, W), such as `predict_image` with its settings bound.
        records: annotated images.
        channels: of the network's input.
        intensity: how types other than 8 bit become bytes.
        num_classes: K, background included.
        track: wraps the records, for a progress bar.
        visit: is given each record, its image (H, W, C), its classes (H, W) and the predicted ones.

    Raises:
        UserError: if a mask has another size than its image.
    """
    counts = []
    for record in track(records):
        pixels, target = load_pair(record, channels, intensity)
        predicted = torch.from_numpy(segment(pixels)).argmax(0, keepdim=True)  # (1, H, W)
        counts.append(confusion_counts(predicted, torch.from_numpy(target)[None], num_classes, IGNORE))
        if visit is not None:
            visit(record, pixels, target, predicted[0].numpy())
    return EvaluationResult(_stack(counts, num_classes))


def _stack(counts: list[Tensor], num_classes: int) -> Tensor:
    return torch.cat([torch.zeros((0, num_classes, num_classes), dtype=torch.int64), *counts])
