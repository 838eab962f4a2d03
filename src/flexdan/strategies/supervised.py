"""Supervised training: the segmentation network alone, from annotated images."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from flexdan.losses import Criterion


class NonFiniteLossError(RuntimeError):
    """A loss became infinite or not a number; the weights are those from before the step."""


def supervised_step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    targets: Tensor,
    *,
    criterion: Criterion,
    autocast: Callable[[], AbstractContextManager],
    backward: Callable[[Tensor], None] = torch.Tensor.backward,
    accumulate: int = 1,
    update: bool = True,
) -> dict[str, float]:
    """Do one step: forward, loss, backward and, unless gradients are still to be accumulated, the update.

    Args:
        network: the segmentation network, in training mode.
        optimizer: its optimiser.
        images: float (N, C, H, W), normalised.
        targets: (N, H, W) classes.
        criterion: loss between logits and targets.
        autocast: gives the context of the forward pass.
        backward: runs the backward pass of a loss.
        accumulate: number of steps whose gradients make one update; the loss is divided by it.
        update: whether this step ends with the update.

    Returns:
        The loss by name.

    Raises:
        NonFiniteLossError: before the update, if the loss is not finite.
    """
    with autocast():
        logits = network(images)
    loss = criterion(logits, targets)
    value = loss.item()
    if not torch.isfinite(loss):
        raise NonFiniteLossError(f"the training loss is {value}")
    backward(loss / accumulate)
    if update:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return {"train_loss": value}
