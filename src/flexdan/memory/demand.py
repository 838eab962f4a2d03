"""What a traced training asks of a device, at the batch size of the trace and at others."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from flexdan.memory.allocator import Workspaces, fits, needed
from flexdan.memory.devices import Device
from flexdan.memory.trace import Trace, rounded

LARGEST = 4096  # images: no larger batch is looked for


@dataclass(frozen=True, kw_only=True)
class Requests:
    """The storages of a training, in the order in which they come and go.

    Args:
        events: see `Trace`; with the last step three times, after which the allocator is in its steady state.
        sizes: bytes of storage n, at index n - 1.
    """

    events: Sequence[int]
    sizes: Sequence[int]

    def live(self) -> int:
        """Return the most bytes that are live at once."""
        signed = ((event > 0) * 2 - 1 for event in self.events)
        sizes = (rounded(self.sizes[abs(event) - 1]) if event else 0 for event in self.events)
        return max(accumulate(sign * size for sign, size in zip(signed, sizes, strict=True)))


def requests(trace: Trace, repeats: int = 2) -> Requests:
    """Return the requests of a training that goes on as the last step of a trace does."""
    sizes = [one.nbytes for one in trace.allocations]
    events = list(trace.events)
    last = events[trace.starts[-1] :]
    if sum(event > 0 for event in last) != sum(event < 0 for event in last):
        return Requests(events=events, sizes=sizes)  # still growing: nothing that could go on as it is
    for _ in range(repeats):
        fresh: dict[int, int] = {}
        for event in last:
            if event > 0:
                sizes.append(sizes[event - 1])
                fresh[event] = len(sizes)
            elif event < 0 and -event not in fresh:
                return Requests(events=list(trace.events), sizes=sizes[: len(trace.allocations)])
            events.append(event and (fresh[event] if event > 0 else -fresh[-event]))
    return Requests(events=events, sizes=sizes)


def device_bytes(asked: Requests, device: Device, memory: int) -> int:
    """Return the bytes that a device must have for a training, with all that is on it besides.

    Args:
        asked: by the training.
        device: its class.
        memory: of the device; what comes out is at most that exactly where `serves` says yes.
    """
    if device.overhead:
        return device.context + int(device.overhead * asked.live())
    guess = max(memory - device.context, 0)
    return device.context + needed(asked.events, asked.sizes, _workspaces(device), guess)


def serves(asked: Requests, device: Device, memory: int) -> bool:
    """Tell whether a device with so many bytes can do a training."""
    if device.overhead:
        return device_bytes(asked, device, memory) <= memory
    return memory > device.context and fits(asked.events, asked.sizes, memory - device.context, _workspaces(device))


def at_batch(small: Requests, large: Requests, batches: tuple[int, int], batch: int) -> Requests | None:
    """Return the requests at another batch size: every storage is a constant and a part that grows with the batch.

    Args:
        small: at the first of two batch sizes.
        large: at the second one.
        batches: both sizes.
        batch: the one that is asked for.

    Returns:
        None where the two do not consist of the same requests in the same order.
    """
    if small.events != large.events:
        return None
    first, second = batches
    sizes = []
    for low, high in zip(small.sizes, large.sizes, strict=True):
        growth = (high - low) / (second - first)
        sizes.append(max(round(low + growth * (batch - first)), 1))
    return Requests(events=small.events, sizes=sizes)


def _workspaces(device: Device) -> Workspaces:
    return Workspaces(lasting=device.lasting_workspace, convolution=device.convolution_workspace)
