"""What every strategy's step takes and does: networks with their optimisers, batches, and the update."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from flexdan.losses import Criterion

Name = Literal["sn", "second", "en"]  # of a network that learns


class NonFiniteLossError(RuntimeError):
    """A loss became infinite or not a number; the weights are those from before the update."""


@dataclass(frozen=True, kw_only=True)
class Player:
    """A network with its optimiser.

    Args:
        network: in training mode; wrapped where several processes train it.
        bare: the same network without wrappers.
        optimizer: of its weights.
    """

    network: nn.Module
    bare: nn.Module
    optimizer: torch.optim.Optimizer


@dataclass(frozen=True, kw_only=True)
class Players:
    """The segmentation network (SN) of a training and, where the strategy has one, its evaluation network (EN).

    Args:
        sn: learns from masks, and from what else the strategy has.
        second: another network like the SN, from other weights, where two teach each other.
        en: judges the SN.
        average: of the SN's weights over the updates, in evaluation mode; it has no optimiser.
    """

    sn: Player
    second: Player | None = None
    en: Player | None = None
    average: nn.Module | None = None

    @property
    def evaluated(self) -> nn.Module:
        """The segmentation network that is validated, kept as the best one and used."""
        return self.sn.bare if self.average is None else self.average

    def networks(self) -> dict[str, nn.Module]:
        """Return all networks that are there, without wrappers, by name."""
        average = {} if self.average is None else {"average": self.average}
        return {name: player.bare for name, player in self.items()} | average

    def items(self) -> list[tuple[Name, Player]]:
        """Return the networks that learn, with their names."""
        everyone: list[tuple[Name, Player | None]] = [("sn", self.sn), ("second", self.second), ("en", self.en)]
        return [(name, player) for name, player in everyone if player is not None]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What goes through the networks at once.

    Args:
        images: annotated, float (N, C, H, W), normalised.
        targets: their classes (N, H, W).
        unannotated: float (M, C, H, W), or None where the strategy uses none.
        labels: classes (M, H, W) that an earlier network gave the unannotated images, or `IGNORE`.
        strong: views of the unannotated images with other colours, alike, whose pixels show the same places.
        seed: of what a step draws.
    """

    images: Tensor
    targets: Tensor
    unannotated: Tensor | None = None
    labels: Tensor | None = None
    strong: tuple[Tensor, ...] = ()
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Means:
    """How passes and updates are done.

    Args:
        criterion: loss between logits (N, K, H, W) and classes (N, H, W).
        autocast: gives the context of a forward pass.
        backward: runs the backward pass of a loss.
        no_sync: gives the context in which processes do not exchange gradients of a network yet.
        max_grad_norm: limit of the Euclidean norm of a network's gradients; 0 is none.
    """

    criterion: Criterion
    autocast: Callable[[], AbstractContextManager] = nullcontext
    backward: Callable[[Tensor], None] = Tensor.backward
    no_sync: Callable[[nn.Module], AbstractContextManager] = nullcontext
    max_grad_norm: float = 0.0

    def sync(self, network: nn.Module, last: bool) -> AbstractContextManager:
        """Return the context of a pass; gradients are exchanged in the last one before an update."""
        return nullcontext() if last else self.no_sync(network)


class Step(Protocol):
    """One step of a strategy."""

    def __call__(self, players: Players, batches: Sequence[Batch], means: Means) -> dict[str, float]:
        """Update the networks from some batches, whose gradients add up to one update each; return numbers by name.

        Raises:
            NonFiniteLossError: before an update, if its loss is not finite.
        """
        ...


def check_finite(loss: Tensor, name: str) -> None:
    """Raise a `NonFiniteLossError` that names a loss which is infinite or not a number."""
    if not torch.isfinite(loss):
        raise NonFiniteLossError(f"the {name} loss is {loss.item()}")


def gradient_norm(player: Player) -> Tensor:
    """Return the Euclidean norm of all gradients of a network, a scalar."""
    return get_total_norm([weight.grad for weight in player.bare.parameters() if weight.grad is not None])


def update(player: Player, max_grad_norm: float) -> None:
    """Scale the gradients down where their norm is above a limit, change the weights, and forget the gradients."""
    if max_grad_norm:
        clip_grads_with_norm_(list(player.bare.parameters()), max_grad_norm, gradient_norm(player))
    player.optimizer.step()
    player.optimizer.zero_grad(set_to_none=True)
