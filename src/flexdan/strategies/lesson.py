"""What the SN can learn beside the masks: more images in its pass, and a loss of its results on them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from flexdan.inference import most_probable
from flexdan.strategies.step import Batch, Means, Player, Players, check_finite

Source = Literal["average", "student"]


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What the SN is to learn from one batch beside its masks.

    Args:
        images: float (M, C, H, W), which go through the SN.
        loss: from the SN's logits on them, float (M, K, H, W), to a scalar with a gradient, and numbers by name.
        perturb: changes the maps of the SN's encoder, (N + M, channels, h, w), those on `images` being the last.
        together: in one pass with the annotated images, so that batch norm gives all of them the same statistics, as in
            Tarvainen and Valpola 2017 and Sohn et al. 2020; or else in a pass that follows theirs.
    """

    images: Tensor
    loss: Callable[[Tensor], tuple[Tensor, dict[str, float]]]
    perturb: Callable[[Tensor], Tensor] | None = None
    together: bool = True


class Term(Protocol):
    """A part of the SN's loss that needs no masks; a strategy."""

    def __call__(self, players: Players, batch: Batch, means: Means, generator: torch.Generator) -> Lesson:
        """Prepare the lesson of one batch; targets have no gradient.

        Args:
            players: as they are before the update; none of them changes, statistics included.
            batch: with unannotated images, and with as many strong views of them as the term needs.
            means: how passes are done.
            generator: a CPU generator for whatever is drawn.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Weighted:
    """A term with its weight in the loss at one update."""

    term: Term
    weight: float


def lesson_of(extra: Weighted | None, players: Players, batch: Batch, means: Means) -> Lesson | None:
    """Return the lesson that a term makes of a batch; what is drawn depends on the batch's seed alone."""
    if extra is None:
        return None
    return extra.term(players, batch, means, torch.Generator().manual_seed(batch.seed))


def taught_pass(
    player: Player, batch: Batch, means: Means, lesson: Lesson | None, weight: float
) -> tuple[Tensor, Tensor, dict[str, float]]:
    """Call a segmentation network on annotated images and on those of a lesson.

    Returns:
        Logits of the annotated images, the loss (of the masks, and `weight` times the lesson's), and train_loss (of the
        masks alone), unannotated_loss (without weight), unannotated_weight and what the lesson tells.

    Raises:
        NonFiniteLossError: if a loss is not finite.
    """
    with means.autocast():
        own, others = _both(player.network, batch.images, lesson)
    loss = means.criterion(own, batch.targets)
    check_finite(loss, "training")
    numbers = {"train_loss": loss.item()}
    if lesson is not None and others is not None:
        extra, told = lesson.loss(others)
        check_finite(extra, "unannotated")
        loss = loss + weight * extra
        numbers |= {"unannotated_loss": extra.item(), "unannotated_weight": weight, **told}
    return own, loss, numbers


def _both(network: nn.Module, images: Tensor, lesson: Lesson | None) -> tuple[Tensor, Tensor | None]:
    """Return the logits of annotated images, and those of the images of a lesson."""
    if lesson is None:
        return network(images), None
    options = {} if lesson.perturb is None else {"perturb": lesson.perturb}
    if not lesson.together:
        return network(images), network(lesson.images, **options)
    logits = network(torch.cat([images, lesson.images]), **options)
    return logits[: len(images)], logits[len(images) :]


def labeller(players: Players, source: Source) -> nn.Module:
    """Return the network that labels unannotated images."""
    if source == "student":
        return players.sn.bare
    assert players.average is not None, "the average of the weights labels"
    return players.average


@torch.no_grad()
def label_logits(network: nn.Module, images: Tensor, means: Means) -> Tensor:
    """Return what a network makes of images in evaluation mode, without a gradient: float (N, K, H, W).

    In evaluation mode, since in training mode a label would depend on the images beside, of which there are few.
    """
    with evaluating(network), means.autocast():
        return network(images).float()


def hard_labels(logits: Tensor, contours: bool) -> Tensor:
    """Return what each pixel most probably shows: labels 0..K-1, (M, H, W), of logits (M, K, H, W).

    A class for contours, the last of the K, shares the probability of an object with that of its inside, so that the
    background would win where an object is more probable, and objects would shrink. First comes the class, therefore,
    then which part of its object a pixel shows.
    """
    return confident_labels(logits, 0.0, contours)[0]


def confident_labels(logits: Tensor, confidence: float, contours: bool) -> tuple[Tensor, Tensor]:
    """Return what each pixel most probably shows, see `hard_labels`, and whether it counts: how sure its class is.

    Args:
        logits: (M, K, H, W).
        confidence: least probability of a class that counts, 0..1.
        contours: whether the last of the K is that of contours.

    Returns:
        labels 0..K-1, (M, H, W), and bool (M, H, W).
    """
    classes, probability, on_contour = most_probable(logits.softmax(dim=1), contours)
    return classes.masked_fill(on_contour, logits.shape[1] - 1), probability >= confidence


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, and each of its modules back into its own mode afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def mean_numbers(found: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each number over the batches of an update."""
    return {name: sum(one[name] for one in found) / len(found) for name in found[0]}
