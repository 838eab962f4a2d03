"""Activation checkpointing: activations that are computed anew in the backward pass instead of being kept."""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint


class Recomputable(nn.Module):
    """A part of a network; where `recompute` is set, only its inputs are kept for the backward pass."""

    recompute = False


class Segment(nn.Sequential, Recomputable):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Modules one after the other."""

    def forward(self, input: Tensor) -> Tensor:
        """Call the modules."""
        return recomputed(self, input) if self.recompute and torch.is_grad_enabled() else super().forward(input)


def recomputed(module: Recomputable, *inputs: object) -> Tensor:
    """Call a module so that the backward pass calls it again for its activations.

    Chen et al. 2016, "Training deep nets with sublinear memory cost".

    The second call sees the weights and statistics of the first, also where those were borrowed by `functional_call`,
    and changes none of them: batch norm counts every batch once.

    Args:
        module: draws no random numbers; its `recompute` is set.
        inputs: of its forward method.
    """
    weights = dict(module.named_parameters())
    statistics = {name: buffer.clone() for name, buffer in module.named_buffers()}
    again = False

    def forward(*inputs: object) -> Tensor:
        nonlocal again
        module.recompute = False
        try:
            if not again:
                again = True
                return module(*inputs)
            return functional_call(module, weights | {name: one.clone() for name, one in statistics.items()}, inputs)
        finally:
            module.recompute = True

    return checkpoint(forward, *inputs, use_reentrant=False, preserve_rng_state=False)  # type: ignore[return-value]


def recompute_activations(network: nn.Module) -> int:
    """Let every outermost part of a network that can recompute its activations do so, and return how many there are."""
    if isinstance(network, Recomputable):
        network.recompute = True
        return 1
    return sum(map(recompute_activations, network.children()))
