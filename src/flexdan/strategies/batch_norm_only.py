"""A control: unannotated images reach nothing but the statistics of batch norm."""

from collections.abc import Sequence

import torch

from flexdan.strategies.step import Batch, Means, Players, update
from flexdan.strategies.supervised import supervised_pass


def batch_norm_only_step(players: Players, batches: Sequence[Batch], means: Means) -> dict[str, float]:
    """Do the supervised update, unannotated images having passed through the SN in training mode before it.

    This is what remains of `dan_step` where sigma is 0: what it gains over the supervised step, no EN gained.

    Raises:
        NonFiniteLossError: before the update, if a loss is not finite.
    """
    numbers = supervised_pass(players, batches, means)
    for batch in batches:
        assert batch.unannotated is not None, "batch_norm_only needs unannotated images"
        with torch.no_grad(), means.autocast():
            players.sn.bare(batch.unannotated)
    update(players.sn, means.max_grad_norm)
    return numbers | {"sn_updates": 1.0}
