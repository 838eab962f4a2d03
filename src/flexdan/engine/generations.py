"""Generations of a self-training: labels from the network so far, and a new beginning with them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn

from flexdan.config import IGNORE, RunConfig, network_shape
from flexdan.config.errors import CannotResumeError
from flexdan.config.files import atomic_path
from flexdan.data.contours import CONTOUR
from flexdan.data.dataset import SegmentationDataset
from flexdan.data.tensors import to_tensor
from flexdan.engine.optimizers import build_optimizer, build_scheduler
from flexdan.engine.progress import TrainingProgress
from flexdan.engine.setup import TrainingParts, build_network
from flexdan.engine.start import load_first_weights
from flexdan.inference import most_probable, predict_image
from flexdan.strategies import Player, en_inputs, label_logits, pixel_shares

LABELS = "pseudo_labels.npz"


def enter_generation(
    parts: TrainingParts, config: RunConfig, epoch: int, folder: Path, progress: TrainingProgress, *, resumed: bool
) -> TrainingParts:
    """Make ready for an epoch: where a generation begins, label and start anew; where one goes on, fetch its labels.

    Args:
        parts: of the training; their networks and datasets change.
        config: resolved.
        epoch: that comes next, 1 for the first one.
        folder: of the run, which keeps the labels as `pseudo_labels.npz`: 0, 1, … in the order of the unannotated
            images, uint8 (h, w), as `SegmentationDataset` has them.
        progress: is told.
        resumed: whether it is the first epoch since a run was taken up again.

    Returns:
        The parts for the epochs from here on.

    Raises:
        CannotResumeError: if the labels are not there.
    """
    if config.generation_at(epoch) == 0:
        return parts
    assert parts.unannotated_loader is not None, "a self-training has unannotated images"
    dataset = parts.unannotated_loader.dataset
    assert isinstance(dataset, SegmentationDataset)
    if config.generation_at(epoch) == config.generation_at(epoch - 1):
        if resumed:
            dataset.label(_read_labels(folder / LABELS, len(dataset)))
        return parts
    number = config.generation_at(epoch) + 1
    labels = label_images(parts, config, dataset, progress)
    dataset.label(labels)
    counted = np.mean([(one != IGNORE).mean() for one in labels])
    foreground = np.mean([((one != 0) & (one != IGNORE)).mean() for one in labels]) / counted
    chosen = f" where the EN's score is highest ({counted:.0%} of the pixels)" * bool(counted < 1)
    progress.say(
        f"generation {number} of {config.generations} starts anew: {len(labels)} unannotated images have labels by the "
        f"network of epoch {epoch - 1}{chosen}, {foreground:.0%} of them foreground, in {folder / LABELS}"
    )
    if parts.accelerator.is_main_process:
        with atomic_path(folder / LABELS) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, *labels)
    return _start_anew(parts, config)


def label_images(
    parts: TrainingParts, config: RunConfig, dataset: SegmentationDataset, progress: TrainingProgress
) -> list[np.ndarray]:
    """Return the most probable class of every pixel, mean over flips, by the network that would be kept now.

    Where an EN takes part, it judges these results, and `unannotated.en_share` of all pixels, those with its
    highest scores, keep their labels.

    Args:
        parts: of the training.
        config: resolved.
        dataset: of the unannotated images.
        progress: shows how far it is.

    Returns:
        uint8 (h, w) for each image of the dataset, at its size there; where the network has a class for contours, those
        are marked as `mark_contours` does it; `IGNORE` where a label does not count.
    """
    _, _, size = network_shape(config)
    en = parts.players.en
    found, scores = [], []
    for index in progress.track(range(len(dataset)), "labelling unannotated images"):
        pixels, _ = dataset[index]
        probabilities = predict_image(
            parts.players.evaluated,
            pixels.numpy(),
            image_size=size,
            native_size=size,
            mean=config.data.mean,
            std=config.data.std,
            tta=True,
            scale=1.0 if config.data.crop else None,
            device=parts.accelerator.device,
            autocast=parts.means.autocast,
        )
        found.append(_classes(probabilities, config.sn.contour_width > 0))
        if en is not None:
            scores.append(_en_scores(parts, en.bare, config, pixels, probabilities))
    return best_judged(found, scores, config.unannotated.en_share) if scores else found


def best_judged(labels: Sequence[np.ndarray], scores: Sequence[np.ndarray], share: float) -> list[np.ndarray]:
    """Keep labels where scores are highest.

    Args:
        labels: uint8 (h, w) of each image.
        scores: float (h, w) of each.
        share: of the pixels of all images together, which keep their labels; those with equal scores alike.

    Returns:
        the labels, `IGNORE` elsewhere.
    """
    limit = np.quantile(np.concatenate([one.ravel() for one in scores]), 1 - share, method="lower")
    return [np.where(judged >= limit, one, np.uint8(IGNORE)) for one, judged in zip(labels, scores, strict=True)]


def _en_scores(
    parts: TrainingParts, en: nn.Module, config: RunConfig, pixels: Tensor, probabilities: np.ndarray
) -> np.ndarray:
    """Return for each pixel (h, w), 0..1, how much the EN takes a result (K, h, w) for one on an annotated image."""
    image = to_tensor(pixels, config.data.mean, config.data.std)
    maps = torch.from_numpy(probabilities[None, 1:])
    inputs = en_inputs(image, maps, config.adversarial.en_input).to(parts.accelerator.device)
    scores = label_logits(en, inputs, parts.means)
    return pixel_shares(scores, config.adversarial.en_criterion, image.shape[2:])[0].cpu().numpy()


def _classes(probabilities: np.ndarray, contours: bool) -> np.ndarray:
    classes, _, on_contour = most_probable(torch.from_numpy(probabilities)[None], contours)
    return (classes + CONTOUR * on_contour)[0].numpy().astype(np.uint8)


def _read_labels(path: Path, count: int) -> list[np.ndarray]:
    try:
        with np.load(path) as content:
            return [content[f"arr_{number}"] for number in range(count)]
    except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
        raise CannotResumeError(
            f"{path} is missing or broken, so the run cannot go on with the labels of its unannotated images: start a "
            "new one"
        ) from error


def _start_anew(parts: TrainingParts, config: RunConfig) -> TrainingParts:
    """Return the parts with the SN at its initial weights, its average there too, and its optimiser as new."""
    player = parts.players.sn
    with torch.no_grad():
        player.bare.load_state_dict(build_network(config).state_dict())
    load_first_weights(parts.players.sn, config, "sn")
    if parts.players.average is not None:
        parts.players.average.load_state_dict(player.bare.state_dict())
    optimizer = build_optimizer(config.optimizer, player.bare)
    updates = parts.updates_per_epoch * config.training.num_epochs // config.generations
    return replace(
        parts,
        players=replace(parts.players, sn=Player(network=player.network, bare=player.bare, optimizer=optimizer)),
        schedulers={**parts.schedulers, "sn": build_scheduler(config.scheduler, optimizer, updates)},
    )
