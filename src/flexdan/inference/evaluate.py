"""Measuring a network on annotated images: one path for validation during training and for the final command."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from flexdan.config import IGNORE
from flexdan.data import ImageRecord
from flexdan.data.contours import contour_targets, without_contours
from flexdan.data.dataset import SegmentationDataset, Track, check_sizes, load_objects, make_loader
from flexdan.data.images import read_image
from flexdan.data.tensors import to_tensor
from flexdan.data.windows import covering_windows
from flexdan.inference.contours import class_probabilities, fold_contours
from flexdan.inference.predict import evaluation_mode
from flexdan.metrics import (
    calibration_counts,
    confusion_counts,
    object_counts,
    pixel_counts,
    pixel_metrics,
    surface_counts,
)


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
    contours: bool = False,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    device: torch.device | str = "cpu",
) -> EvaluationResult:
    """Run a network over annotated batches and count.

    Args:
        network: images (N, C, H, W) to logits (N, K, H, W); in evaluation mode meanwhile, as before afterwards.
        batches: normalised images, float (N, C, H, W), and classes, long (N, H, W) with `IGNORE`, contours marked or
            not.
        num_classes: K, background included.
        loss: of logits and classes, a scalar; it sees float32 logits, outside of autocast.
        contours: whether the network has one more class, of contours.
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
            classes = (fold_contours(logits.softmax(1)) if contours else logits).argmax(1)
            batch = confusion_counts(classes, without_contours(targets), num_classes, IGNORE).cpu()
            counts.append(batch)
            if loss is not None and (pixels := int(batch.sum())):
                wanted = contour_targets(targets, num_classes) if contours else targets
                loss_sum += float(loss(logits, wanted)) * pixels
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
    reduce: float | None = None,
    contours: bool = False,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    device: torch.device | str = "cpu",
    track: Track = iter,
) -> EvaluationResult:
    """Measure annotated images at the size of the network's input, as validation during training does.

    Images and masks are resized to `image_size`, masks by nearest neighbour; or reduced by a factor and covered by
    windows of `image_size`, side by side, in which each pixel counts once.

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
        reduce: the factor for windows; None: whole images.
        contours: whether the network has one more class, of contours.
        autocast: makes the context of each forward pass.
        device: where the network is.
        track: wraps the sequence of batches, for a progress bar.

    Returns:
        Counts of each image, in the order of the records.
    """
    dataset = SegmentationDataset(records, image_size=image_size, channels=channels, reduce=reduce, intensity=intensity)
    windows = None if reduce is None else covering_windows(dataset.sizes, image_size)
    loader = make_loader(dataset, batch_size=batch_size, sampler=windows)
    batches = ((to_tensor(images.to(device), mean, std), targets.long()) for images, targets in track(loader))
    result = evaluate_batches(
        network, batches, num_classes=num_classes, contours=contours, autocast=autocast, device=device
    )
    if windows is None:
        return result
    owners = torch.tensor([window.index for window in windows])
    return EvaluationResult(
        result.counts.new_zeros(len(records), *result.counts.shape[1:]).index_add(0, owners, result.counts)
    )


@dataclass(frozen=True, kw_only=True)
class Segmented:
    """An annotated image and what a network says of it, at full resolution.

    Args:
        record: the image.
        pixels: uint8 (H, W, C).
        classes: as annotated, uint8 (H, W), `IGNORE` where a pixel does not count.
        objects: as annotated, integers (H, W), 0 is background.
        probabilities: of the classes, and of contours where the network has them, float32 (K or K + 1, H, W).
    """

    record: ImageRecord
    pixels: np.ndarray
    classes: np.ndarray
    objects: np.ndarray
    probabilities: np.ndarray


def segment_records(
    segment: Callable[[np.ndarray], np.ndarray],
    records: Sequence[ImageRecord],
    *,
    channels: int,
    intensity: Literal["range", "percentile"],
    track: Track = iter,
) -> Iterator[Segmented]:
    """Segment annotated images at full resolution, one after the other.

    Args:
        segment: image uint8 (H, W, C) to probabilities (K, H, W), such as `predict_image` with its settings bound.
        records: annotated images.
        channels: of the network's input.
        intensity: how types other than 8 bit become bytes.
        track: wraps the records, for a progress bar.

    Raises:
        UserError: if a mask has another size than its image.
    """
    for record in track(records):
        classes, objects = load_objects(record)
        pixels = read_image(record.image, channels, intensity)
        check_sizes(record, classes, pixels)
        yield Segmented(record=record, pixels=pixels, classes=classes, objects=objects, probabilities=segment(pixels))


def count_classes(found: np.ndarray, classes: np.ndarray, num_classes: int) -> dict[str, float]:
    """Count the pixels of an image by true and predicted class, each (H, W): "LEVEL.COUNT" as in `Scores`."""
    confusion = confusion_counts(torch.from_numpy(found)[None], torch.from_numpy(classes)[None], num_classes, IGNORE)
    return named("full_resolution", pixel_counts(confusion[0].numpy()))


def count_probabilities(one: Segmented, contours: bool = False) -> dict[str, float]:
    """Count the pixels of an image by true and most probable class, and by confidence: "LEVEL.COUNT" as in `Scores`."""
    probabilities = class_probabilities(one.probabilities, contours)
    return count_classes(probabilities.argmax(0), one.classes, len(probabilities)) | named(
        "calibration", calibration_counts(probabilities, one.classes)
    )


def count_objects(
    classes: np.ndarray, objects: np.ndarray, found: np.ndarray, spacing: Sequence[float] | None = None
) -> dict[str, float]:
    """Count the objects of an image and their boundaries: "LEVEL.COUNT" as in `Scores`.

    Objects are compared whatever their class: whether it is the right one is a matter of the pixels.

    Args:
        classes: as annotated, (H, W): where they are `IGNORE`, neither side has an object.
        objects: as annotated, integers (H, W), 0 is background.
        found: segmented, integers (H, W).
        spacing: height and width of a pixel, for distances; None: 1 and 1.
    """
    counted = classes != IGNORE
    objects, found = objects * counted, found * counted
    counts = {"pixels": float(counted.sum())} | object_counts(objects, found, spacing=spacing)
    return named("objects", counts | surface_counts(objects > 0, found > 0, spacing=spacing))


def named(level: str, counts: Mapping[str, float]) -> dict[str, float]:
    """Put the level before the name of every count."""
    return {f"{level}.{name}": value for name, value in counts.items()}


def _stack(counts: list[Tensor], num_classes: int) -> Tensor:
    return torch.cat([torch.zeros((0, num_classes, num_classes), dtype=torch.int64), *counts])
