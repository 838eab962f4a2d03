"""Supervised training: the segmentation network alone, from annotated images."""

from collections.abc import Sequence

from flexdan.strategies.step import Batch, Means, Players, check_finite, update


def supervised_step(players: Players, batches: Sequence[Batch], means: Means) -> dict[str, float]:
    """Do one update of the SN from annotated images: forward and backward over every batch, then the update.

    Returns:
        train_loss: mean over the batches.

    Raises:
        NonFiniteLossError: before the update, if a loss is not finite.
    """
    sn, total = players.sn, 0.0
    for number, batch in enumerate(batches, start=1):
        with means.sync(sn.network, last=number == len(batches)):
            with means.autocast():
                logits = sn.network(batch.images)
            loss = means.criterion(logits, batch.targets)
            check_finite(loss, "training")
            means.backward(loss / len(batches))
        total += loss.item()
    update(sn, means.max_grad_norm)
    return {"train_loss": total / len(batches), "sn_updates": 1.0}
