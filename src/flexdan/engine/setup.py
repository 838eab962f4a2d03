"""Everything that a training needs, built once from the settings."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.data_loader import DataLoaderShard
from accelerate.utils import GradientAccumulationPlugin
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau
from torch.utils.data import DataLoader

from flexdan.config import METRICS, OptimizerConfig, RunConfig, SchedulerConfig, UserError, network_shape
from flexdan.data import ImageRecord, num_classes, read_manifest, select_split
from flexdan.data.augmentation import Augmentation
from flexdan.data.dataset import EpochSampler, SegmentationDataset, Track, epoch_seed, make_loader
from flexdan.data.splits import mark_annotated
from flexdan.engine.allocator import keep_freed_memory
from flexdan.engine.precision import Autocast, make_autocast, resolve_precision
from flexdan.losses import Criterion, build_criterion
from flexdan.models import build_segmentation_network

AUTO_PIXELS = 224 * 332  # the log's image size


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The images of a run.

    Args:
        annotated: training images with masks.
        unannotated: training images without, or whose masks are not to be opened.
        validation: annotated images of the validation split.
        native_size: median height and width of all training images.
    """

    annotated: list[ImageRecord]
    unannotated: list[ImageRecord]
    validation: list[ImageRecord]
    native_size: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class TrainingParts:
    """The objects of a running training; `network` is what the strategy steps, `bare` the same without wrappers."""

    accelerator: Accelerator
    network: nn.Module
    bare: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: LambdaLR | ReduceLROnPlateau | None
    criterion: Criterion
    augmentation: Augmentation
    train_loader: DataLoaderShard
    val_loader: DataLoader
    autocast: Autocast
    precision: str


def gather_data(config: RunConfig) -> TrainingData:
    """Read the manifest and choose the images of a run; no image is opened.

    Raises:
        UserError: if the manifest, a split or an image file is missing, or no image is annotated.
    """
    records = read_manifest(config.data.manifest)
    train = select_split(records, config.data.train_split)
    if config.data.annotated:
        records = mark_annotated(records, config.data.annotated, split=config.data.train_split, seed=config.seed)
        train = select_split(records, config.data.train_split)
    validation = [record for record in select_split(records, config.data.val_split) if record.annotated]
    annotated = [record for record in train if record.annotated]
    for name, chosen in ((config.data.train_split, annotated), (config.data.val_split, validation)):
        if not chosen:
            raise UserError(f"the split {name!r} of {config.data.manifest} has no annotated image: masks are needed")
    for record in [*train, *validation]:
        for file in (record.image, record.mask if record.annotated else None):
            if file is not None and not file.is_file():
                raise UserError(f"{config.data.manifest} lists {file}, which does not exist")
    height, width = (int(np.median([getattr(record, side) for record in train])) for side in ("height", "width"))
    unannotated = [record for record in train if not record.annotated]
    return TrainingData(
        annotated=annotated, unannotated=unannotated, validation=validation, native_size=(height, width)
    )


def resolve_config(config: RunConfig, data: TrainingData) -> RunConfig:
    """Return the settings with every `auto` that depends on the data replaced, and the manifest's full path.

    Raises:
        UserError: if the number of classes that is asked for is too small for the masks.
    """
    classes = num_classes([*data.annotated, *data.validation])
    sn = config.sn
    if sn.output_channels == "auto":
        sn = replace(sn, output_channels=classes)
    elif sn.output_channels < classes:
        raise UserError(f"sn.output_channels is {sn.output_channels}, but the masks have {classes} classes: say auto")
    if sn.input_channels == "auto":
        channels = [record.channels for record in data.annotated]
        sn = replace(sn, input_channels=max(set(channels), key=channels.count))
    size = config.data.image_size
    if size == "auto":
        height, width = data.native_size
        factor = min(1.0, math.sqrt(AUTO_PIXELS / (height * width)))
        size = (max(8, round(height * factor)), max(8, round(width * factor)))
    if config.augmentation.stain_jitter > 0 and sn.input_channels != 3:
        raise UserError(
            f"augmentation.stain_jitter is {config.augmentation.stain_jitter}, but the images have "
            f"{sn.input_channels} channels: stains are in RGB images; say 0"
        )
    manifest = str(Path(config.data.manifest).absolute())  # so that the run can be used from another folder
    return replace(config, sn=sn, data=replace(config.data, manifest=manifest, image_size=size))


def build_parts(config: RunConfig, data: TrainingData, track: Track = iter) -> TrainingParts:
    """Build networks, optimiser, scheduler and loaders of a resolved configuration.

    Args:
        config: without any `auto` in the channels and the image size.
        data: the images.
        track: wraps the decoding of images, for a progress bar.
    """
    accelerator = Accelerator(  # says what would else come from the environment of `accelerate launch`, unrecorded
        cpu=config.training.device == "cpu",
        mixed_precision="no",
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
    )
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    network = build_network(config).to(accelerator.device)
    if config.training.channels_last:
        network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] (lacks in its stubs)
    optimizer = build_optimizer(config.optimizer, network)

    train_set = make_dataset(config, data.annotated, config.data.cache_gib, track)
    left = config.data.cache_gib - cached_gib(train_set)
    validation = data.validation[accelerator.process_index :: accelerator.num_processes]
    val_set = make_dataset(config, validation, left, track)
    loader = partial(
        make_loader,
        batch_size=config.training.batch_size,
        num_workers=config.training.num_workers,
        pin_memory=config.training.pin_memory and accelerator.device.type == "cuda",
    )
    sampler = EpochSampler(len(train_set), config.seed)
    train_loader, val_loader = loader(train_set, sampler=sampler), loader(val_set)

    wrapped, train_loader = accelerator.prepare(network, train_loader)
    updates = math.ceil(len(train_loader) / config.training.gradient_accumulation_steps)
    scheduler = build_scheduler(config.scheduler, optimizer, updates * config.training.num_epochs)
    precision = resolve_precision(config.training.precision, accelerator.device.type)
    return TrainingParts(
        accelerator=accelerator,
        network=wrapped,
        bare=network,
        optimizer=optimizer,
        scheduler=scheduler,
        criterion=build_criterion(config.loss.criterion),
        augmentation=Augmentation(**asdict(config.augmentation)),
        train_loader=train_loader,
        val_loader=val_loader,
        autocast=make_autocast(precision, accelerator.device.type),
        precision=precision,
    )


def build_network(config: RunConfig) -> nn.Module:
    """Build the segmentation network of a resolved configuration, its weights drawn with the seed."""
    channels, classes, size = network_shape(config)
    torch.manual_seed(epoch_seed(config.seed, 0))
    return build_segmentation_network(config.sn, input_channels=channels, num_classes=classes, image_size=size)


def make_dataset(
    config: RunConfig, records: Sequence[ImageRecord], cache_gib: float, track: Track = iter
) -> SegmentationDataset:
    """Return the images of some records at the network's size."""
    channels, _, size = network_shape(config)
    return SegmentationDataset(
        records,
        image_size=size,
        channels=channels,
        intensity=config.data.intensity,
        cache_bytes=int(cache_gib * 2**30),
        track=track,
    )


def cached_gib(dataset: SegmentationDataset) -> float:
    """Return the size of the decoded images that a dataset keeps in memory, in GiB."""
    height, width = dataset.image_size
    return dataset.num_cached * height * width * (dataset.channels + 1) / 2**30


def build_optimizer(settings: OptimizerConfig, network: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser of a network."""
    weights, momentum = list(network.parameters()), settings.momentum
    optimizers = {
        "adam": torch.optim.Adam,
        "sgd": partial(torch.optim.SGD, momentum=momentum, nesterov=momentum > 0),
    }
    return optimizers[settings.optimizer_type](weights, lr=settings.lr, weight_decay=settings.weight_decay)


def build_scheduler(
    settings: SchedulerConfig, optimizer: torch.optim.Optimizer, num_updates: int
) -> LambdaLR | ReduceLROnPlateau | None:
    """Return the scheduler; OneCycle is stepped after each update, ReduceLROnPlateau after each epoch."""
    plateau = partial(
        ReduceLROnPlateau,
        mode=METRICS[settings.plateau_metric],  # type: ignore[arg-type]
        factor=settings.factor,
        patience=settings.patience,
        threshold=settings.threshold,
        threshold_mode=settings.threshold_mode,
        cooldown=settings.cooldown,
        min_lr=settings.min_lr,
        eps=settings.eps,
    )
    schedulers = {
        "OneCycle": lambda: LambdaLR(optimizer, lambda done: one_cycle(done, num_updates, settings.pct_start)),
        "ReduceLROnPlateau": lambda: plateau(optimizer),
        "none": lambda: None,
    }
    return schedulers[settings.scheduler_type]()


def one_cycle(done: int, total: int, rise: float, start: float = 1 / 25, end: float = 1e-4) -> float:
    """Return the factor of the learning rate for the next update: half a cosine up, half a cosine down.

    Smith and Topin 2018, "Super-convergence", with cosines for straight lines and without the cycle of the momentum. A
    function of its own, since `OneCycleLR` of torch divides by zero where few updates are planned.

    Args:
        done: updates so far, 0..total.
        total: updates of the whole training.
        rise: share of the updates in which the factor rises, 0..1.
        start: factor of the first update.
        end: factor after the last one.
    """
    peak = rise * total
    if done < peak:
        low, share = start, done / peak
    else:
        low, share = end, (total - done) / max(total - peak, 1)
    return low + (1 - low) * (1 - math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2
