"""Measuring what a training finds on a CUDA device."""

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from flexdan.config import UserError
from flexdan.memory.devices import GIB, Device, as_gib

LARGEST_CONTEXT = 4 * GIB  # what is more than this is not a context alone
SHAPES = [(64, 224, 332), (512, 29, 43), (1024, 15, 22)]  # channels and size: three levels of a U-Net on GlaS
IMAGES = 2


@dataclass(frozen=True, kw_only=True)
class Readings:
    """What was read from a device, in bytes where nothing else is said.

    Args:
        name: as the driver calls it, such as Tesla T4.
        total: of the device.
        free: of the device, when kernels and handles are loaded.
        reserved: by PyTorch's allocator of this process, at the same moment.
        lasting: in use in that allocator when all tensors are gone.
        convolution: the most that a convolution used there besides its results, which may be 0.
        bf16: whether the device computes in it.
        torch: version of PyTorch.
    """

    name: str
    total: int
    free: int
    reserved: int
    lasting: int
    convolution: int
    bf16: bool
    torch: str


def require_cuda() -> None:
    """Make sure that there is a device to measure.

    Raises:
        UserError: if there is none.
    """
    if not torch.cuda.is_available():
        raise UserError(
            f"--calibrate measures a CUDA device, and PyTorch {torch.__version__} finds none here: run it on the "
            "machine that will train, or plan without measuring, such as with --device t4 or --memory 24GiB"
        )


def device_from(readings: Readings) -> Device:
    """Return a class of devices from what was read from one of them.

    The context is what this process takes outside of PyTorch's allocator. What other processes hold cannot be told
    apart from it, and counts as it does: where they stay, such as a desktop's, it is gone for a training as well.

    Raises:
        UserError: if it is too much, or too little, to be a context.
    """
    context = readings.total - readings.free - readings.reserved
    if not 0 < context <= LARGEST_CONTEXT:
        raise UserError(
            f"the context of {readings.name} comes out as {as_gib(context)} ({as_gib(readings.total)} in all, "
            f"{as_gib(readings.free)} free, {as_gib(readings.reserved)} reserved by PyTorch), where more than 0 and at "
            f"most {as_gib(LARGEST_CONTEXT)} are plausible: end what else uses the device (nvidia-smi lists it) and "
            "run --calibrate again"
        )
    return Device(
        name="-".join(readings.name.lower().split()),
        memory=readings.total,
        context=context,
        lasting_workspace=readings.lasting,
        convolution_workspace=readings.convolution,
        bf16=readings.bf16,
        source=f"measured by `flexdan plan --calibrate` on {readings.name} with PyTorch {readings.torch}",
    )


def probe_cuda(index: int = 0) -> Readings:
    """Read what there is to know of a CUDA device, in a process that has done nothing on it yet.

    Args:
        index: number of the device.
    """
    with torch.cuda.device(index):
        return _probe(torch.device("cuda", index))


def _probe(device: torch.device) -> Readings:
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    dtypes = [torch.float32, torch.bfloat16] if bf16 else [torch.float32]
    for dtype in dtypes:
        _warm_up(device, dtype)
    gc.collect()
    lasting = torch.cuda.memory_allocated(device)
    convolution = max(
        _besides_results(call, device)
        for dtype in dtypes
        for shape in SHAPES
        for call in _convolutions(device, dtype, *shape)
    )
    torch.cuda.synchronize(device)
    free, total = torch.cuda.mem_get_info(device)  # last: by now every kernel is loaded
    return Readings(
        name=torch.cuda.get_device_name(device),
        total=total,
        free=free,
        reserved=torch.cuda.memory_reserved(device),
        lasting=lasting,
        convolution=convolution,
        bf16=bf16,
        torch=str(torch.__version__),
    )


def _warm_up(device: torch.device, dtype: torch.dtype) -> None:
    """Do a step with the operations of our networks: it loads their kernels and makes the libraries' handles.

    The backward pass has a thread of its own, and thereby another handle of cuBLAS with another workspace.
    """
    with device:
        network = nn.Sequential(
            nn.Conv2d(3, 64, 3, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.Conv2d(64, 64, 1),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(1024, 64),
            nn.Linear(64, 1),
        )
        images = torch.ones(IMAGES, 3, 64, 64)
    optimizer = torch.optim.Adam(network.parameters())
    with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        outputs = network(images)
    outputs.float().mean().backward()
    optimizer.step()
    torch.cuda.synchronize(device)


def _convolutions(
    device: torch.device, dtype: torch.dtype, channels: int, height: int, width: int
) -> Iterator[Callable[[], object]]:
    """Yield a 3x3 convolution, its gradient of the input and its gradient of the weight."""
    images = torch.ones(IMAGES, channels, height, width, device=device, dtype=dtype)
    weight = torch.ones(channels, channels, 3, 3, device=device, dtype=dtype)
    yield lambda: nn.functional.conv2d(images, weight, padding=1)
    for wanted in ([True, False, False], [False, True, False]):
        yield lambda wanted=wanted: torch.ops.aten.convolution_backward(
            images, images, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted
        )


def _besides_results(call: Callable[[], object], device: torch.device) -> int:
    """Return the most bytes that were in use in the allocator during a call, over what is in use after it."""
    torch.cuda.reset_peak_memory_stats(device)
    results = call()
    extra = torch.cuda.max_memory_allocated(device) - torch.cuda.memory_allocated(device)
    del results  # not before: they are in use at the peak as well
    return extra
