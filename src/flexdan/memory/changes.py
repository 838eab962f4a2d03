"""Changes of a configuration that save memory, the cheapest first."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from flexdan.config import RunConfig, UserError, has_en, with_settings
from flexdan.memory.devices import Device
from flexdan.models import EVALUATION_NETWORKS, SEGMENTATION_NETWORKS

BYTES = 4  # of a weight, of its gradient, and of each number of the optimiser's state


@dataclass(frozen=True, kw_only=True)
class Change:
    """Settings that save memory.

    Args:
        names: what is done, in words, such as activation checkpointing.
        settings: values by dotted name.
    """

    names: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __add__(self, other: "Change") -> "Change":
        return Change(names=self.names + other.names, settings={**self.settings, **other.settings})

    @property
    def text(self) -> str:
        """The change as one would write it on a command line."""
        options = " ".join(f"--{name} {str(value).lower()}" for name, value in self.settings.items())
        return f"{' + '.join(self.names)} ({options})"


def cheapest_change(
    config: RunConfig,
    device: Device,
    memory: int,
    parameters: Callable[[RunConfig], int],
    fits: Callable[[RunConfig], bool],
) -> Change | None:
    """Return the cheapest change with which a configuration fits, as the estimator says; None if there is none.

    What leaves network and optimiser as they are comes first: another implementation of the optimiser, mixed precision,
    activation checkpointing, micro-batches, alone and together, those that are tried first cost the least. Then follow
    narrower linear layers of the EN, a global average head, stochastic gradient descent, and at last a narrower SN,
    each with all of those.

    Args:
        config: resolved for the device; it does not fit.
        device: its class.
        memory: bytes of the device.
        parameters: counts the weights of all networks of one.
        fits: tells whether one fits.
    """
    if memory <= device.context:
        return None
    for large in _large_changes(config):
        base = _changed(config, large)
        if base is None or lasting_bytes(base, parameters(base)) > memory - device.context:
            continue
        together = _together(_small_changes(base, device))
        if large.names and fits(base):
            return large
        if not together or not fits(with_settings(base, together[-1].settings)):  # all of them
            continue
        return next(large + change for change in together if fits(with_settings(base, change.settings)))
    return None


def _changed(config: RunConfig, change: Change) -> RunConfig | None:
    try:
        return with_settings(config, change.settings)
    except UserError:  # the EN would see too few images, or such
        return None


def lasting_bytes(config: RunConfig, parameters: int) -> int:
    """Return bytes that no change of activations can save: of weights, optimiser state and, at the update, gradients.

    Of two networks, of which one is updated after the other, the gradients are left out; and of networks that may not
    be updated at all, frozen ones or the user's own, the state too.
    """
    if config.sn.model_type not in SEGMENTATION_NETWORKS or config.adversarial.freeze != "none":
        return parameters * BYTES
    state = (config.optimizer.momentum > 0) if config.optimizer.optimizer_type == "sgd" else 2
    return parameters * BYTES * (1 + state + (not has_en(config.strategy)))


def _large_changes(config: RunConfig) -> Iterator[Change]:
    """Yield changes of network and optimiser, nothing first."""
    yield Change()
    heads = [Change()]
    if has_en(config.strategy) and config.en.model_type == "FlexVGG" and config.en.head == "flatten":
        width, least = config.en.first_linear_layer_out_features, max(16, 2**config.en.depth_linear_block)
        while (width := width // 2) >= least:
            heads.append(Change(names=("narrower EN",), settings={"en.first_linear_layer_out_features": width}))
        heads.append(Change(names=("global average head",), settings={"en.head": "global_average"}))
        yield from heads[1:]
    if config.optimizer.optimizer_type != "sgd":
        sgd = Change(names=("other optimiser",), settings={"optimizer.optimizer_type": "sgd"})
        yield from (head + sgd for head in heads)
    if config.sn.model_type == "ConcatenationFCN":
        width = config.sn.first_layer_out_channels
        while (width := width // 2) >= 1:
            yield Change(names=("narrower SN",), settings={"sn.first_layer_out_channels": width})


def _small_changes(config: RunConfig, device: Device) -> list[Change]:
    """Return changes that leave network and optimiser as they are; each by itself, the cheapest first."""
    found = []
    if device.foreach and config.optimizer.implementation != "fused":
        found.append(Change(names=("fused optimiser",), settings={"optimizer.implementation": "fused"}))
    if device.bf16 and config.training.precision == "fp32":
        found.append(Change(names=("mixed precision",), settings={"training.precision": "bf16"}))
    ours = config.sn.model_type in SEGMENTATION_NETWORKS and config.en.model_type in EVALUATION_NETWORKS
    if ours and not config.training.activation_checkpointing:
        found.append(Change(names=("activation checkpointing",), settings={"training.activation_checkpointing": True}))
    return found + [change for change in _micro_batches(config) if _changed(config, change) is not None]


def _micro_batches(config: RunConfig) -> Iterator[Change]:
    """Yield divisions of the batch into equal ones whose gradients are accumulated, the largest of those first."""
    batch, others = config.training.batch_size, config.training.unannotated_batch_size
    for parts in range(2, batch + 1):
        if batch % parts == 0 and (others == "auto" or others % parts == 0):
            settings = {
                "training.batch_size": batch // parts,
                "training.gradient_accumulation_steps": config.training.gradient_accumulation_steps * parts,
            }
            if others != "auto":
                settings["training.unannotated_batch_size"] = others // parts
            yield Change(names=("micro-batches",), settings=settings)


def _together(small: list[Change]) -> list[Change]:
    """Return every choice of small changes, at most one of a name, the cheapest first."""
    names = list(dict.fromkeys(change.names for change in small))
    choices = [[None, *(change for change in small if change.names == name)] for name in names]
    ranked = []
    for picked in product(*choices):
        parts = [change for change in picked if change is not None]
        if parts:
            cost = sum(2 ** names.index(change.names) for change in parts)
            depth = max(small.index(change) for change in parts)
            ranked.append((cost, depth, sum(parts, Change())))
    return [change for _, _, change in sorted(ranked, key=lambda entry: entry[:2])]
