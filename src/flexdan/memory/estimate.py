"""The memory of a training step, without a device and without allocating it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from flexdan.config import RunConfig, UserError, has_en, network_shape
from flexdan.engine.loaders import unannotated_batch_size, uses_unannotated
from flexdan.engine.optimizers import build_optimizer
from flexdan.engine.precision import make_autocast
from flexdan.engine.setup import build_network, build_networks
from flexdan.losses import build_criterion
from flexdan.memory.trace import Allocation, Kind, StorageTracker, Trace, rounded
from flexdan.models import SEGMENTATION_NETWORKS, count_parameters, import_network_class
from flexdan.models.segmentation.efficientnet_lite import SameConv2d
from flexdan.strategies import (
    Batch,
    Means,
    Player,
    Players,
    build_step,
    make_batch,
    strong_views,
    takes_unannotated,
    update_average,
)

Step = Callable[[Players, Sequence[Batch], Means], object]


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """What is in memory at the peak of a step, in bytes.

    Args:
        peak: in all.
        kinds: by what it is for.
        modules: by part of a network, such as sn.blocks.2; empty: outside of them, such as losses and inputs.
        phase: forward, backward or update, in which the peak stands.
        module: and the part of a network.
    """

    peak: int
    kinds: dict[Kind, int]
    modules: dict[str, int]
    phase: str
    module: str


def trace_training(config: RunConfig, *, step: Step | None = None, steps: int = 2, cpu: bool = True) -> Trace:
    """Run training steps on fake tensors, which have shapes and no data, and return what happened to memory.

    The networks, the optimisers, the strategy's step and its order are those of a real training. The last step is one
    in which the optimisers have their state.

    Args:
        config: resolved; its precision and its optimiser's implementation are those of the device, not auto.
        step: another one than that of the strategy.
        steps: how many.
        cpu: whether it is a CPU that computes; some networks do it in another way there.

    Raises:
        UserError: for a network that does not run without data.
    """
    own = config.sn.model_type not in SEGMENTATION_NETWORKS
    if own:
        import_network_class(config.sn.model_type)  # now: what a module makes when it is imported must not be fake
    step = step or build_step(config, _epoch(config), 1)
    with _one_thread(), torch.random.fork_rng(devices=[]), FakeTensorMode(allow_fallback_kernels=False):
        try:
            return _trace(config, step, steps, cpu)
        except UserError:
            raise
        except Exception as error:  # whatever a user's network raises
            if not own:
                raise
            raise UserError(
                f"{config.sn.model_type} cannot be planned, since it does not run without data: {error}"
            ) from error


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch to one thread: there is nothing to compute, and others would only wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _epoch(config: RunConfig) -> int:
    """Return an epoch in which everything that a training has takes part."""
    if config.generations > 1:
        return config.training.num_epochs
    return max(config.adversarial.gan_start_epoch, 1) if has_en(config.strategy) else 1


def _trace(config: RunConfig, step: Step, steps: int, cpu: bool) -> Trace:
    networks: dict[str, nn.Module] = {**build_networks(config)}
    averaged = config.weight_averaging != "none"
    average = build_network(config).requires_grad_(False).eval() if averaged else None
    everything = networks | ({} if average is None else {"average": average})
    for module in (module for network in everything.values() for module in network.modules()):
        if isinstance(module, SameConv2d):
            module.slow_gradient &= cpu  # fake tensors are all on a CPU
    if config.training.channels_last:
        for network in everything.values():
            _to_channels_last(network)
    tracker = StorageTracker(everything)
    players = Players(
        **{
            name: Player(network=network, bare=network, optimizer=build_optimizer(config.optimizer, network))
            for name, network in networks.items()
        },
        average=average,
    )

    def backward(loss: Tensor) -> None:
        tracker.begin_backward()
        loss.backward()
        tracker.phase = "forward"

    means = Means(
        criterion=build_criterion(config.loss),
        autocast=make_autocast("bf16" if config.training.precision == "bf16" else "fp32", "cpu"),
        backward=backward,
        max_grad_norm=config.optimizer.max_grad_norm,
    )
    starts, flops = [], 0
    with _labels(players, tracker), tracker.watching():
        for _ in range(steps):
            starts.append(len(tracker.events))
            tracker.flops = 0
            step(players, _batches(config, tracker), means)
            if average is not None:
                update_average(average, players.sn.bare, share=0.5)
            flops = tracker.flops
        events = list(tracker.events)  # before everything goes away
    return Trace(
        allocations=tracker.allocations,
        events=events,
        starts=starts,
        flops=flops,
        parameters=sum(map(count_parameters, networks.values())),
    )


def _to_channels_last(network: nn.Module) -> None:
    """Do what `network.to(memory_format=torch.channels_last)` does, which fake weights do not allow."""
    moved: dict[nn.Parameter, nn.Parameter] = {}
    for module in network.modules():
        for name, weight in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            if weight.dim() == 4 and weight not in moved:
                content = weight.detach().contiguous(memory_format=torch.channels_last)
                moved[weight] = nn.Parameter(content, weight.requires_grad)
            setattr(module, name, moved.get(weight, weight))


@contextmanager
def _labels(players: Players, tracker: StorageTracker) -> Iterator[None]:
    """Let gradients and optimiser state be called by their names."""
    handles = []
    for name, player in players.items():
        owners = {}
        for path, weight in player.bare.named_parameters():
            owners[weight] = f"{name}.{path}".rpartition(".")[0]
            handles.append(weight.register_post_accumulate_grad_hook(partial(_label_gradient, tracker, owners[weight])))

        def before(*_: object) -> None:
            tracker.phase = "update"

        def after(optimizer: torch.optim.Optimizer, *_: object, owners: dict[Tensor, str] = owners) -> None:
            tracker.phase = "forward"
            for weight, state in optimizer.state.items():
                for value in state.values():
                    if isinstance(value, Tensor):
                        tracker.label(value, "optimizer state", owners[weight])

        handles += [
            player.optimizer.register_step_pre_hook(before),
            player.optimizer.register_step_post_hook(after),
        ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _label_gradient(tracker: StorageTracker, owner: str, weight: Tensor) -> None:
    assert weight.grad is not None
    tracker.label(weight.grad, "gradients", owner)


def _batches(config: RunConfig, tracker: StorageTracker) -> list[Batch]:
    """Return the batches of one update, as the training makes them."""
    channels, _, size = network_shape(config)
    layout = torch.channels_last if config.training.channels_last else torch.contiguous_format
    own = config.training.batch_size
    others = unannotated_batch_size(config) if uses_unannotated(config) else 0
    batches = []
    for _ in range(config.training.gradient_accumulation_steps):
        images = torch.empty(own + others, channels, *size).contiguous(memory_format=layout)
        targets = torch.empty(own + others, *size, dtype=torch.uint8)
        strong = tuple(torch.empty_like(images[own:]) for _ in range(strong_views(config)))
        for tensor in (images, targets, *strong):
            tracker.label(tensor, "inputs")
        used = takes_unannotated(config, _epoch(config))
        batches.append(make_batch(config, images, targets, own, unannotated=used, strong=strong))
    return batches


def break_down(trace: Trace) -> Breakdown:
    """Return what is in memory at the peak of the last step."""
    peak, place = trace.peak()
    last = trace.allocations[abs(trace.events[place - 1]) - 1]
    alive = trace.alive(place)
    return Breakdown(
        peak=peak,
        kinds=_sums(alive, lambda one: one.kind),
        modules=_sums(alive, lambda one: one.module),
        phase=last.phase,
        module=last.module,
    )


def _sums(allocations: Sequence[Allocation], key: Callable) -> dict:
    sums: Counter = Counter()
    for one in allocations:
        sums[key(one)] += rounded(one.nbytes)
    return dict(sums.most_common())


def on_device(config: RunConfig, *, bf16: bool, foreach: bool) -> RunConfig:
    """Return a configuration with what is `auto` chosen as a training would choose it on a device.

    Args:
        config: resolved.
        bf16: whether the device computes in it.
        foreach: whether torch goes through many weights at once on it.
    """
    training, optimizer = config.training, config.optimizer
    if training.precision == "auto":
        training = replace(training, precision="bf16" if bf16 else "fp32")
    if optimizer.implementation == "auto":
        optimizer = replace(optimizer, implementation="foreach" if foreach else "fused")
    return replace(config, training=training, optimizer=optimizer)
