"""What fits on a device: one row for each configuration."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from typing import Any, Literal

from flexdan.config import RunConfig, UserError, has_en, with_settings
from flexdan.engine.setup import count_all_parameters, gather_data, resolve_config
from flexdan.memory.changes import Change, cheapest_change, lasting_bytes
from flexdan.memory.demand import LARGEST, Requests, at_batch, device_bytes, requests, serves
from flexdan.memory.devices import Device
from flexdan.memory.estimate import Breakdown, break_down, on_device, trace_training
from flexdan.memory.trace import Trace
from flexdan.models import SEGMENTATION_NETWORKS
from flexdan.strategies import sigma_at

Verdict = Literal["fits", "tight", "does not fit", "cannot be planned"]
MARGIN = 0.05  # share of the memory that must be left for a verdict without reserve
FEW = 6  # configurations that are not worth another process
ASSUMED = {"channels": 3, "classes": 2, "size": (224, 332)}  # without data


@dataclass(frozen=True, kw_only=True)
class PlanRow:
    """What is known of a configuration on a device; bytes, where nothing else is said.

    Args:
        name: of the configuration.
        memory: of the device.
        verdict: tight: less than 5 % of the memory is left.
        peak: what the device must have, with all that is on it besides; None where it cannot be planned.
        breakdown: of the live bytes at their peak.
        largest_batch: the largest `training.batch_size` that fits; 0 if none does.
        parameters: trainable weights of all networks.
        gflop: floating-point operations of a step in units of 10^9.
        change: the cheapest one with which it fits, if it does not and there is one.
        change_peak: with that change.
        note: why it cannot be planned.
    """

    name: str
    memory: int
    verdict: Verdict
    peak: int | None = None
    breakdown: Breakdown | None = None
    largest_batch: int | None = None
    parameters: int | None = None
    gflop: float | None = None
    change: Change | None = None
    change_peak: int | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain values."""
        return asdict(self)


class Planner:
    """Plans configurations for one device, and traces none twice.

    Args:
        device: its class.
        memory: its bytes.
    """

    def __init__(self, device: Device, memory: int):
        self.device, self.memory = device, memory
        self._traces: dict[tuple, Trace] = {}
        self._requests: dict[tuple, Requests] = {}

    def check(self, name: str, config: RunConfig) -> PlanRow:
        """Return the row of a resolved configuration without what would have to be searched for."""
        config = self._on_device(config)
        try:
            trace, asked = self._trace(config), self._asked(config)
        except UserError as error:
            return PlanRow(name=name, memory=self.memory, verdict="cannot be planned", note=str(error))
        return PlanRow(
            name=name,
            memory=self.memory,
            verdict=self._verdict(asked),
            peak=device_bytes(asked, self.device, self.memory),
            breakdown=break_down(trace),
            parameters=trace.parameters,
            gflop=trace.flops / 1e9,
        )

    def row(self, name: str, config: RunConfig) -> PlanRow:
        """Return the row of a resolved configuration."""
        row, config = self.check(name, config), self._on_device(config)
        if row.verdict == "cannot be planned":
            return row
        row = replace(row, largest_batch=self._largest_batch(config, row))
        change = None
        if row.verdict == "does not fit":
            change = cheapest_change(config, self.device, self.memory, self._parameters, self._fits)
        if change is None:
            return row
        asked = self._asked(with_settings(config, change.settings))
        return replace(row, change=change, change_peak=device_bytes(asked, self.device, self.memory))

    def _on_device(self, config: RunConfig) -> RunConfig:
        return on_device(config, bf16=self.device.bf16, foreach=self.device.foreach)

    def _trace(self, config: RunConfig) -> Trace:
        key = memory_settings(config)
        if key not in self._traces:
            self._traces[key] = trace_training(config, cpu=self.device.name == "cpu")
        return self._traces[key]

    def _asked(self, config: RunConfig) -> Requests:
        key = memory_settings(config)
        if key not in self._requests:
            self._requests[key] = requests(self._trace(config))
        return self._requests[key]

    def _parameters(self, config: RunConfig) -> int:
        known = config.sn.model_type in SEGMENTATION_NETWORKS
        return count_all_parameters(config) if known else self._trace(config).parameters

    def _fits(self, config: RunConfig) -> bool:
        try:
            return serves(self._asked(config), self.device, self.memory)
        except UserError:  # a network of the user's own that fails on such a batch
            return False

    def _verdict(self, asked: Requests) -> Verdict:
        if not serves(asked, self.device, self.memory):
            return "does not fit"
        return "fits" if serves(asked, self.device, int(self.memory * (1 - MARGIN))) else "tight"

    def _largest_batch(self, config: RunConfig, row: PlanRow) -> int:
        lasting = lasting_bytes(config, row.parameters or 0)
        if row.verdict == "does not fit" and lasting > self.memory - self.device.context:
            return 0
        step = 2 if has_en(config.strategy) and config.adversarial.unannotated_source == "half_batch" else 1
        own = max(config.training.batch_size // step, 1)
        first, second = (with_settings(config, {"training.batch_size": own * step * times}) for times in (1, 2))
        batches = (own * step, 2 * own * step)

        def fits(count: int) -> bool:
            changed = _with_batch(config, count * step)
            assert changed is not None, "no batch below the least is asked for"
            asked = at_batch(self._asked(first), self._asked(second), batches, count * step)
            return self._fits(changed) if asked is None else serves(asked, self.device, self.memory)

        least = next(count for count in range(1, own + 1) if _with_batch(config, count * step) is not None)
        try:
            return step * largest(fits, own, LARGEST // step, least)
        except UserError:
            return config.training.batch_size if row.verdict != "does not fit" else 0


def largest(fits: Callable[[int], bool], start: int, limit: int, least: int = 1) -> int:
    """Return the largest number from a least one up to a limit that fits, where all below fit too; 0 if none does."""
    if not fits(least):
        return 0
    low, high = least, max(start, least)
    while high <= limit and fits(high):
        low, high = high, high * 2
    high = min(high, limit + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _with_batch(config: RunConfig, batch: int) -> RunConfig | None:
    try:
        return with_settings(config, {"training.batch_size": batch})
    except UserError:
        return None


def memory_settings(config: RunConfig) -> tuple:
    """Return what the memory of a training depends on; equal for configurations that need the same."""
    adversarial = config.adversarial
    dan, alone = has_en(config.strategy), config.strategy == "supervised"
    unannotated = config.unannotated
    training = config.training
    return (
        config.strategy,
        config.data.image_size,
        repr(config.sn),
        (repr(config.en), adversarial.sn_update, adversarial.en_input, adversarial.en_annotated) if dan else (),
        (adversarial.unannotated_source, adversarial.en_steps, adversarial.freeze) if dan else (),
        (adversarial.sigma_in_en_loss, sigma_at(adversarial, 1, 1) == 0) if dan else (),
        (unannotated.labels_from, unannotated.uncertainty_passes > 0) if not alone else (),
        config.weight_averaging != "none",
        config.loss,
        (config.optimizer.optimizer_type, config.optimizer.implementation),
        (config.optimizer.momentum > 0, config.optimizer.weight_decay > 0, config.optimizer.max_grad_norm > 0),
        (training.batch_size, 0 if alone else training.unannotated_batch_size, training.gradient_accumulation_steps),
        (training.precision, training.channels_last, training.activation_checkpointing),
    )


def resolve_shape(config: RunConfig) -> tuple[RunConfig, str]:
    """Return a configuration that names channels, classes and image size: from its data, or assumed, with a note.

    Raises:
        UserError: if it names data that are not there.
    """
    if config.data.manifest:
        return resolve_config(config, gather_data(config)), ""
    wanted = {
        "sn.input_channels": (config.sn.input_channels, ASSUMED["channels"]),
        "sn.output_channels": (config.sn.output_channels, ASSUMED["classes"]),
        "data.image_size": (config.data.image_size, ASSUMED["size"]),
    }
    missing = {name: value for name, (given, value) in wanted.items() if given == "auto"}
    told = ", ".join(f"{name} {value}" for name, value in missing.items())
    return with_settings(config, missing), f"no data.manifest: assuming {told}" if missing else ""


def plan_all(
    configs: Sequence[tuple[str, RunConfig]],
    device: Device,
    memory: int,
    track: Callable[[Sequence[RunConfig]], Iterable[RunConfig]] = iter,
    search: bool = True,
) -> Iterator[PlanRow]:
    """Yield the row of every configuration, in their order; those that need the same are planned once.

    Args:
        configs: names and resolved configurations.
        device: the class of the device.
        memory: its bytes.
        track: wraps the configurations that are planned, for a progress bar.
        search: look for the largest batch and the cheapest change too, which takes much longer.
    """
    keys = [memory_settings(config) for _, config in configs]
    unlike = {key: config for key, (_, config) in reversed(list(zip(keys, configs, strict=True)))}
    unlike = {key: unlike[key] for key in dict.fromkeys(keys)}
    work = partial(_row, device, memory, search)
    if len(unlike) <= FEW:
        planner = Planner(device, memory)
        ask = planner.row if search else planner.check
        rows = {key: ask("", config) for key, config in zip(unlike, track(list(unlike.values())), strict=True)}
    else:
        with ProcessPoolExecutor(os.cpu_count() or 1, mp_context=get_context("spawn")) as pool:
            waiting = pool.map(work, unlike.values())
            rows = {}
            for key, _, row in zip(unlike, track(list(unlike.values())), waiting, strict=True):
                rows[key] = row
    for key, (name, _) in zip(keys, configs, strict=True):
        yield replace(rows[key], name=name)


def _row(device: Device, memory: int, search: bool, config: RunConfig) -> PlanRow:
    planner = Planner(device, memory)
    return planner.row("", config) if search else planner.check("", config)
