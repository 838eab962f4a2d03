"""Following the storages of tensors: which lives when, what it is for, and in which part of a network it was made."""

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

Kind = Literal["parameters", "gradients", "optimizer state", "activations", "inputs", "temporaries"]
Phase = Literal["forward", "backward", "update"]
CONVOLUTION = 0  # among events: a convolution has just got its output, and its library may want a workspace
ROUNDING = 512  # bytes: what the allocators of the CPU and of CUDA round a request up to, or close to it


def rounded(nbytes: int) -> int:
    """Return the bytes that a storage takes."""
    return -(-nbytes // ROUNDING) * ROUNDING


@dataclass
class Allocation:
    """The storage of a tensor and of its views.

    Args:
        nbytes: its size, not rounded.
        phase: in which it was made.
        module: where it belongs, such as sn.blocks.2; empty outside of networks.
        kind: what it is for.
    """

    nbytes: int
    phase: Phase
    module: str
    kind: Kind = "temporaries"


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What happened to memory in some training steps.

    Args:
        allocations: number n is the n-th entry, counted from 1.
        events: in their order; n: storage n is made, -n: it goes away, 0: see `CONVOLUTION`.
        starts: the number of events before each step.
        flops: floating-point operations of the last step.
        parameters: trainable weights.
    """

    allocations: Sequence[Allocation]
    events: Sequence[int]
    starts: Sequence[int]
    flops: int
    parameters: int

    def peak(self) -> tuple[int, int]:
        """Return the most bytes that are live in the last step, and the number of events until then."""
        live = most = place = 0
        for position, number in enumerate(self.events, start=1):
            if number:
                size = rounded(self.allocations[abs(number) - 1].nbytes)
                live += size if number > 0 else -size
                if live > most and position > self.starts[-1]:
                    most, place = live, position
        return most, place

    def alive(self, place: int) -> list[Allocation]:
        """Return what is live after so many events."""
        numbers: set[int] = set()
        for number in self.events[:place]:
            if number > 0:
                numbers.add(number)
            else:
                numbers.discard(-number)
        return [self.allocations[number - 1] for number in sorted(numbers)]


@dataclass
class StorageTracker(TorchDispatchMode):
    """A mode that notes the life of every storage that an operation makes; below it are fake tensors.

    Numbers that the code reads from fake tensors, which have none, are 1: losses are finite and norms are positive.

    Args:
        networks: by name; each stays at its place in memory.
    """

    networks: Mapping[str, nn.Module]
    allocations: list[Allocation] = field(default_factory=list)
    events: list[int] = field(default_factory=list)
    phase: Phase = "forward"
    flops: int = 0

    def __post_init__(self):
        super().__init__()
        self._numbers: dict[int, int] = {}  # of live storages
        self._references: dict[int, Any] = {}
        self._names = {
            id(module): f"{player}.{name}".rstrip(".")
            for player, network in self.networks.items()
            for name, module in network.named_modules()
        }
        self._inside: list[str] = []  # modules that are running, the innermost last
        self._makers: dict[int, str] = {}  # module by number of the autograd node that it made
        self._formulas = dict(FlopCounterMode(display=False).flop_registry)
        packet = torch.ops.aten.convolution_backward
        self._formulas[packet] = partial(_convolution_backward_flops, self._formulas[packet])

    @contextmanager
    def watching(self) -> Iterator["StorageTracker"]:
        """Follow what happens; weights and buffers of the networks are there at the start."""
        for player, network in self.networks.items():
            for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
                self._follow(tensor)
                self.label(tensor, "parameters", f"{player}.{name}".rpartition(".")[0])
        handles = [
            register_module_forward_pre_hook(self._enter),
            register_module_forward_hook(self._leave, always_call=True),
        ]
        try:
            with self:
                yield self
        finally:
            for handle in handles:
                handle.remove()

    def label(self, tensor: Tensor, kind: Kind, module: str | None = None) -> None:
        """Say what the storage of a tensor is for."""
        number = self._numbers.get(tensor.untyped_storage()._cdata)
        if number is not None:
            allocation = self.allocations[number - 1]
            allocation.kind = kind
            allocation.module = allocation.module if module is None else module

    def begin_backward(self) -> None:
        """Note that a backward pass begins: what the forward pass has left is activations."""
        self.phase = "backward"
        for number in self._numbers.values():
            allocation = self.allocations[number - 1]
            if allocation.phase == "forward" and allocation.kind == "temporaries":
                allocation.kind = "activations"

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and note the storages it makes."""
        kwargs = kwargs or {}
        if func is torch.ops.aten._local_scalar_dense.default:
            return 1.0 if args[0].is_floating_point() else 1
        if func._overloadpacket is torch.ops.aten._fused_sgd_:  # writes into its arguments; not known to fake tensors
            return None
        if self._inside and torch.is_grad_enabled():
            self._makers[torch.autograd._get_sequence_nr() - 1] = self._inside[-1]  # type: ignore[attr-defined]
        result = func(*args, **kwargs)
        for leaf in (result,) if isinstance(result, Tensor) else tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._follow(leaf)
        packet = func._overloadpacket
        if packet in self._formulas:
            self.flops += self._formulas[packet](*args, **kwargs, out_val=result)
            if "convolution" in packet.__name__:
                self.events.append(CONVOLUTION)
        return result

    def _follow(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._numbers or not storage.nbytes():
            return
        self.allocations.append(Allocation(storage.nbytes(), self.phase, self._place()))
        number = len(self.allocations)

        def gone(_: object) -> None:
            del self._numbers[key], self._references[key]
            self.events.append(-number)

        self._numbers[key] = number
        self._references[key] = weakref.ref(storage, gone)
        self.events.append(number)

    def _place(self) -> str:
        if self._inside:
            return self._inside[-1]
        node = torch._C._current_autograd_node()
        return self._makers.get(node._sequence_nr(), "") if node is not None else ""

    def _enter(self, module: nn.Module, _: object) -> None:
        self._inside.append(self._names.get(id(module), self._inside[-1] if self._inside else ""))

    def _leave(self, module: nn.Module, _: object, __: object) -> None:
        self._inside.pop()


def _convolution_backward_flops(formula: Callable[..., int], *args: Any, out_val: Any) -> int:
    """Return the count of torch's formula, which takes the gradient of a weight for one that all groups have."""
    *before, groups, (for_input, for_weight, _) = args
    of_input = formula(*before, groups, [for_input, False, False], out_val=out_val)
    return of_input + formula(*before, groups, [False, for_weight, False], out_val=out_val) // groups
