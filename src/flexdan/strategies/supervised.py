"""Training from annotated images, with or without a term on unannotated ones: one update of the SN."""

from collections.abc import Sequence

from flexdan.strategies.lesson import Weighted, lesson_of, mean_numbers, taught_pass
from flexdan.strategies.step import Batch, Means, Players, update


def supervised_step(
    players: Players, batches: Sequence[Batch], means: Means, extra: Weighted | None = None
) -> dict[str, float]:
    """Do one update of the SN: forward and backward over every batch, then the update.

    Args:
        players: the SN, in training mode, and whoever a term asks.
        batches: with unannotated images, where there is a term.
        means: how passes and updates are done.
        extra: a term on unannotated images, with its weight; None: supervised training.

    Returns:
        train_loss of the masks, mean over the batches, what the term tells, and sn_updates.

    Raises:
        NonFiniteLossError: before the update, if a loss is not finite.
    """
    numbers = supervised_pass(players, batches, means, extra)
    update(players.sn, means.max_grad_norm)
    return numbers | {"sn_updates": 1.0}


def supervised_pass(
    players: Players, batches: Sequence[Batch], means: Means, extra: Weighted | None = None
) -> dict[str, float]:
    """Leave the gradients of `supervised_step` in the SN, without the update; arguments and numbers are the same."""
    found = []
    for number, batch in enumerate(batches, start=1):
        lesson = lesson_of(extra, players, batch, means)
        with means.sync(players.sn.network, last=number == len(batches)):
            _, loss, numbers = taught_pass(players.sn, batch, means, lesson, extra.weight if extra else 0.0)
            means.backward(loss / len(batches))
        found.append(numbers)
    return mean_numbers(found)
