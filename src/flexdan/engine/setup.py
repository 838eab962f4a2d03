"""Everything that a training needs, built once from the settings."""

import copy
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.data_loader import DataLoaderShard
from accelerate.utils import GradientAccumulationPlugin
from torch import nn
from torch.utils.data import DataLoader

from flexdan.config import RunConfig, UserError, has_en, network_outputs, network_shape, term_of
from flexdan.data import ImageRecord, num_classes, read_manifest, select_split
from flexdan.data.augmentation import Augmentation
from flexdan.data.color import ColorJitter
from flexdan.data.dataset import Track, epoch_seed
from flexdan.data.splits import mark_annotated
from flexdan.engine.allocator import keep_freed_memory
from flexdan.engine.loaders import (
    batches_per_epoch,
    cached_gib,
    make_dataset,
    training_loader,
    unannotated_batch_size,
    uses_unannotated,
    validation_loader,
)
from flexdan.engine.optimizers import Scheduler, build_optimizer, build_scheduler
from flexdan.engine.precision import make_autocast, resolve_precision
from flexdan.losses import build_criterion
from flexdan.models import (
    build_evaluation_network,
    build_segmentation_network,
    can_perturb,
    count_parameters,
    imagenet_file,
    recompute_activations,
)
from flexdan.strategies import Means, Name, Player, Players, en_input_channels


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The images of a run.

    Args:
        annotated: training images with masks.
        unannotated: training images without, or whose masks are not to be opened.
        validation: annotated images of the validation split; none without one.
        native_size: median height and width of all training images.
    """

    annotated: list[ImageRecord]
    unannotated: list[ImageRecord]
    validation: list[ImageRecord]
    native_size: tuple[int, int]

    @property
    def channels(self) -> int:
        """Channels that most annotated images have."""
        found = [record.channels for record in self.annotated]
        return max(set(found), key=found.count)


@dataclass(frozen=True, kw_only=True)
class TrainingParts:
    """The objects of a running training.

    Args:
        accelerator: devices and processes.
        players: the networks with their optimisers.
        schedulers: of the optimisers, by the name of the network: sn, second, en; a frozen one has none.
        means: how passes and updates are done.
        augmentation: random changes of a batch.
        strong: random changes of the colours of unannotated images, beyond those.
        train_loader: annotated images.
        unannotated_loader: as many batches of unannotated images, where the strategy uses them.
        val_loader: annotated images of the validation split; empty without one.
        accumulate: batches for each update.
        precision: bf16 or fp32.
    """

    accelerator: Accelerator
    players: Players
    schedulers: dict[str, Scheduler | None]
    means: Means
    augmentation: Augmentation
    strong: ColorJitter
    train_loader: DataLoaderShard
    unannotated_loader: DataLoaderShard | None
    val_loader: DataLoader
    accumulate: int
    precision: str

    @property
    def loaders(self) -> list[DataLoaderShard]:
        """The loaders of training images."""
        return [self.train_loader] + ([self.unannotated_loader] if self.unannotated_loader is not None else [])

    @property
    def updates_per_epoch(self) -> int:
        """Updates from annotated images in an epoch."""
        return math.ceil(len(self.train_loader) / self.accumulate)


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
    chosen = select_split(records, config.data.val_split) if config.data.validates else []
    validation = [record for record in chosen if record.annotated]
    annotated = [record for record in train if record.annotated]
    needed = {config.data.train_split: annotated} | (
        {config.data.val_split: validation} if config.data.validates else {}
    )
    for name, chosen in needed.items():
        if not chosen:
            raise UserError(f"the split {name!r} of {config.data.manifest} has no annotated image: masks are needed")
    for record in [*train, *validation]:
        for file in (record.image, record.mask if record.annotated else None):
            if file is not None and not file.is_file():
                raise UserError(f"{config.data.manifest} lists {file}, which does not exist")
    height, width = (int(np.median([getattr(record, side) for record in train])) for side in ("height", "width"))
    unannotated = [record for record in train if not record.annotated]
    if uses_unannotated(config) and not unannotated:
        raise UserError(
            f"strategy is {config.strategy}, but all {len(train)} images of the split {config.data.train_split!r} are "
            "annotated: import images without masks, or let only some keep theirs with data.annotated (such as 9 or "
            "10%)" + ", or say adversarial.unannotated_source half_batch" * (config.strategy == "dan")
        )
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
        sn = replace(sn, input_channels=data.channels)
    size = config.data.image_size
    if size == "auto":
        height, width = (side / (config.data.crop_reduce or 1) for side in data.native_size)
        factor = min(1.0, math.sqrt(config.data.max_pixels / (height * width)))
        size = (max(8, round(height * factor)), max(8, round(width * factor)))
    for name, what in (("stain_jitter", "stains are"), ("saturation", "colours are"), ("hue", "colours are")):
        strength = getattr(config.augmentation, name)
        if strength > 0 and sn.input_channels != 3:
            raise UserError(
                f"augmentation.{name} is {strength}, but the images have {sn.input_channels} channels: {what} in RGB "
                "images; say 0"
            )
    if sn.model_type == "EncoderUNet" and sn.encoder_weights == "auto":
        sn = replace(sn, encoder_weights="imagenet" if imagenet_file(sn.encoder) else "none")
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
    networks = build_networks(config)
    for name, network in networks.items():
        layout = torch.channels_last if config.training.channels_last else torch.preserve_format
        networks[name] = network.to(device=accelerator.device, memory_format=layout)  # type: ignore[call-overload]
    rates = {"en": config.adversarial.en_lr}
    optimizers = {
        name: build_optimizer(config.optimizer, network, rates.get(name)) for name, network in networks.items()
    }

    train_set = make_dataset(config, data.annotated, config.data.cache_gib, track)
    left = config.data.cache_gib - cached_gib(train_set)
    unannotated = data.unannotated if uses_unannotated(config) else []
    unannotated_set = make_dataset(config, unannotated, left, track)
    left -= cached_gib(unannotated_set)
    validation = data.validation[accelerator.process_index :: accelerator.num_processes]
    val_set = make_dataset(config, validation, left, track)
    batches = batches_per_epoch(config, len(train_set), len(unannotated_set), accelerator.num_processes)
    train_loader = training_loader(config, accelerator, train_set, config.training.batch_size, batches, config.seed)
    unannotated_loader = None
    if unannotated:
        size, seed = unannotated_batch_size(config), epoch_seed(config.seed, 0, 1)  # an order of its own
        unannotated_loader = training_loader(config, accelerator, unannotated_set, size, batches, seed)

    average = None
    if config.weight_averaging != "none":
        average = copy.deepcopy(networks["sn"]).requires_grad_(False).eval()
    wrapped = {name: accelerator.prepare(network) for name, network in networks.items()}
    players = {
        name: Player(network=wrapped[name], bare=network, optimizer=optimizers[name])
        for name, network in networks.items()
    }
    updates = math.ceil(len(train_loader) / config.training.gradient_accumulation_steps)
    with_en = config.training.num_epochs - max(config.adversarial.gan_start_epoch, 1) + 1
    frozen = config.adversarial.freeze if has_en(config.strategy) else "none"
    precision = resolve_precision(config.training.precision, accelerator.device.type)
    return TrainingParts(
        accelerator=accelerator,
        players=Players(**players, average=average),
        schedulers={
            name: build_scheduler(
                config.scheduler,
                optimizer,
                updates * (with_en if name == "en" else config.training.num_epochs // config.generations),
            )
            for name, optimizer in optimizers.items()
            if name != frozen
        },
        means=Means(
            criterion=build_criterion(config.loss),
            autocast=make_autocast(precision, accelerator.device.type),
            backward=accelerator.backward,
            no_sync=accelerator.no_sync,
            max_grad_norm=config.optimizer.max_grad_norm,
        ),
        augmentation=Augmentation(**asdict(config.augmentation)),
        strong=strong_jitter(config),
        train_loader=train_loader,
        unannotated_loader=unannotated_loader,
        val_loader=validation_loader(config, accelerator, val_set),
        accumulate=config.training.gradient_accumulation_steps,
        precision=precision,
    )


def build_networks(config: RunConfig) -> dict[Name, nn.Module]:
    """Build the networks of a resolved configuration that learn, by name."""
    networks: dict[Name, nn.Module] = {"sn": build_network(config)}
    if term_of(config.strategy) == "cross_pseudo_supervision":
        networks["second"] = build_network(config, 3)
    if has_en(config.strategy):
        networks["en"] = build_en(config)
    return networks


def strong_jitter(config: RunConfig) -> ColorJitter:
    """Return how the colours of strong views change; saturation and hue are there in RGB images only."""
    settings, rgb = config.unannotated, network_shape(config)[0] == 3
    return ColorJitter(
        brightness=settings.strong_brightness,
        contrast=settings.strong_contrast,
        saturation=settings.strong_saturation if rgb else 0.0,
        hue=settings.strong_hue if rgb else 0.0,
        blur=settings.strong_blur,
    )


def build_network(config: RunConfig, *more: int) -> nn.Module:
    """Build a segmentation network of a resolved configuration, its weights drawn with the seed, and with more."""
    channels, _, size = network_shape(config)
    torch.manual_seed(epoch_seed(config.seed, 0, *more))
    network = build_segmentation_network(
        config.sn,
        input_channels=channels,
        num_classes=network_outputs(config),
        image_size=size,
        normalisation=(config.data.mean, config.data.std),
    )
    if term_of(config.strategy) == "unimatch" and not can_perturb(network):
        raise UserError(
            f"strategy is {config.strategy}, which leaves out channels of the encoder's maps, but the forward method "
            f"of {config.sn.model_type} has no argument `perturb` (a function to call on each of them): add one, or "
            "take the strategy fixmatch"
        )
    return _with_checkpointing(network, config)


def build_en(config: RunConfig) -> nn.Module:
    """Build the evaluation network of a resolved configuration, its weights drawn with the seed."""
    channels, _, size = network_shape(config)
    torch.manual_seed(epoch_seed(config.seed, 0, 2))
    inputs = en_input_channels(channels, network_outputs(config), config.adversarial.en_input)
    return _with_checkpointing(build_evaluation_network(config.en, input_channels=inputs, image_size=size), config)


def _with_checkpointing(network: nn.Module, config: RunConfig) -> nn.Module:
    if config.training.activation_checkpointing and not recompute_activations(network):
        raise UserError(
            f"training.activation_checkpointing is true, but {config.sn.model_type} has no part that knows how: only "
            "the networks of FlexDAN do; say false"
        )
    return network


def count_all_parameters(config: RunConfig, channels: int = 3, classes: int = 2) -> int:
    """Return the trainable parameters of all networks of a training, without making them.

    Args:
        config: with an image size.
        channels: of the images, where the configuration does not say.
        classes: of the masks, likewise.
    """
    sn = replace(
        config.sn,
        input_channels=channels if config.sn.input_channels == "auto" else config.sn.input_channels,
        output_channels=classes if config.sn.output_channels == "auto" else config.sn.output_channels,
    )
    config = replace(config, sn=sn)
    with torch.device("meta"):
        networks = build_networks(config)
    return sum(map(count_parameters, networks.values()))
