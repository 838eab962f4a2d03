"""Loaders of a training: annotated and unannotated images, each with its own batch size, for an epoch of one length."""

import math
from collections.abc import Sequence

from accelerate import Accelerator
from accelerate.data_loader import DataLoaderShard
from torch.utils.data import DataLoader

from flexdan.config import RunConfig, has_en, network_shape
from flexdan.data import ImageRecord
from flexdan.data.dataset import EpochSampler, SegmentationDataset, Track, WindowSampler, make_loader
from flexdan.data.windows import Window, covering_windows


def uses_unannotated(config: RunConfig) -> bool:
    """Tell whether a training has a loader of unannotated images."""
    if config.strategy == "supervised":
        return False
    return not has_en(config.strategy) or config.adversarial.unannotated_source == "split"


def batches_per_epoch(config: RunConfig, annotated: int, unannotated: int, processes: int) -> int | None:
    """Return how many batches each process takes in an epoch; None: one pass over the annotated images as they are.

    Args:
        config: the settings.
        annotated: number of annotated images.
        unannotated: number of unannotated images that are used.
        processes: that train together.
    """
    if config.training.updates_per_epoch != "auto":
        return config.training.updates_per_epoch * config.training.gradient_accumulation_steps
    if config.strategy == "supervised":
        return None
    passes = math.ceil(annotated / config.training.batch_size), math.ceil(unannotated / unannotated_batch_size(config))
    return math.ceil(max(passes) / processes)


def training_loader(
    config: RunConfig,
    accelerator: Accelerator,
    dataset: SegmentationDataset,
    batch_size: int,
    batches: int | None,
    seed: int,
) -> DataLoaderShard:
    """Return the loader of training images of one process.

    Args:
        config: the settings.
        accelerator: divides the batches among the processes.
        dataset: the images.
        batch_size: images in each batch.
        batches: of each process in an epoch, all of them full; None: one pass over the images as they are.
        seed: of the order.
    """
    total = None if batches is None else batches * batch_size * accelerator.num_processes
    sampler = EpochSampler(len(dataset), seed, total)
    if config.data.crop:
        sampler = WindowSampler(sampler, dataset.sizes, dataset.image_size)
    return accelerator.prepare(_build_loader(config, accelerator, dataset, batch_size, sampler))


def validation_loader(config: RunConfig, accelerator: Accelerator, dataset: SegmentationDataset) -> DataLoader:
    """Return the loader of validation images of one process: whole ones, or windows that cover them."""
    windows = covering_windows(dataset.sizes, dataset.image_size) if config.data.crop else None
    return _build_loader(config, accelerator, dataset, config.training.batch_size, windows)


def _build_loader(
    config: RunConfig,
    accelerator: Accelerator,
    dataset: SegmentationDataset,
    batch_size: int,
    sampler: EpochSampler | WindowSampler | Sequence[Window] | None,
) -> DataLoader:
    """Return a loader with the workers and the memory that the settings name."""
    return make_loader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=config.training.num_workers,
        pin_memory=config.training.pin_memory and accelerator.device.type == "cuda",
    )


def make_dataset(
    config: RunConfig, records: Sequence[ImageRecord], cache_gib: float, track: Track = iter
) -> SegmentationDataset:
    """Return the images of some records at the network's size."""
    channels, _, size = network_shape(config)
    return SegmentationDataset(
        records,
        image_size=size,
        reduce=config.data.crop_reduce,
        channels=channels,
        intensity=config.data.intensity,
        cache_bytes=int(cache_gib * 2**30),
        contour_width=config.sn.contour_width,
        track=track,
    )


def cached_gib(dataset: SegmentationDataset) -> float:
    """Return the size of the decoded images that a dataset keeps in memory, in GiB."""
    return dataset.cached_bytes / 2**30


def unannotated_batch_size(config: RunConfig) -> int:
    """Return the number of unannotated images in a batch."""
    size = config.training.unannotated_batch_size
    return config.training.batch_size if size == "auto" else size
