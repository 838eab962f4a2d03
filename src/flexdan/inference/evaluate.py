"""Measuring a network on annotated images: one path for validation during training and for the final command."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from flexdan.data import IGNORE
from flexdan.metrics import confusion_counts, pixel_metrics


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
        network: images (N, C, H, W) to logits (N, K, H, W). It is in evaluation mode meanwhile, and as before afterwards.
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
    empty = torch.zeros((0, num_classes, num_classes), dtype=torch.int64)
    return EvaluationResult(torch.cat([empty, *counts]), loss_sum)


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients inside the block; every module is in its own mode again afterwards."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module in training:
            module.training = True
