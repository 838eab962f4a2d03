"""What is known of devices; every number of the model that is not counted from the networks stands here."""

import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import yaml

from flexdan.config import UserError
from flexdan.config.files import atomic_path

MIB, GIB = 2**20, 2**30


@dataclass(frozen=True, kw_only=True)
class Device:
    """A class of devices, by what a training finds on it.

    Args:
        name: as it is asked for.
        memory: bytes of a device, as PyTorch names its total capacity; 0: not known, it must be said.
        context: bytes that are gone before PyTorch has any: driver, kernels, handles of cuDNN and cuBLAS; of the CPU:
            Python with its libraries.
        lasting_workspace: bytes that cuBLAS keeps inside of PyTorch's allocator.
        convolution_workspace: bytes that cuDNN wants there while a convolution runs; it does without where there are
            none, so that this counts only as fragmentation.
        overhead: what the allocator needs for each live byte where its segments are not replayed; 0: they are.
        bf16: whether it computes in bf16.
        foreach: whether torch's optimisers go through many weights at once by default.
        source: where the numbers are from.
    """

    name: str
    memory: int = 0
    context: int
    lasting_workspace: int = 0
    convolution_workspace: int = 0
    overhead: float = 0.0
    bf16: bool
    foreach: bool = True
    source: str


CUBLAS = 8_519_680  # bytes: 2 x 4096 KiB + 8 x 16 KiB, PyTorch's default of CUBLAS_WORKSPACE_CONFIG

DEVICES = {
    "t4": Device(
        name="t4",
        memory=round(14.76 * GIB),
        context=1275 * MIB,
        lasting_workspace=CUBLAS,
        bf16=False,
        source=(
            "context: total - free - reserved in six out-of-memory messages that users of T4s and PyTorch 1 published, "
            "0.89 to 1.40 GiB, median 1.245"
        ),
    ),
    "gpu": Device(
        name="gpu",
        context=1275 * MIB,
        lasting_workspace=CUBLAS,
        bf16=True,
        source="as t4, until `flexdan plan --calibrate` has measured the card; newer PyTorch needs less",
    ),
    "cpu": Device(
        name="cpu",
        context=600 * MIB,
        overhead=1.5,
        bf16=True,
        foreach=False,
        source="benchmarks/memory.py: an upper bound of what the processes of its configurations took",
    ),
}


def find_device(name: str) -> Device:
    """Return a class of devices by its name, or from a file that `flexdan plan --calibrate` wrote.

    Raises:
        UserError: if there is none.
    """
    if name in DEVICES:
        return DEVICES[name]
    if not Path(name).is_file():
        known = ", ".join(DEVICES)
        raise UserError(f"--device is {name!r}: say {known}, or a file that `flexdan plan --calibrate` wrote")
    remedy = "write it anew with `flexdan plan --calibrate`"
    try:
        content = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{name} cannot be read: {' '.join(str(error).split())}; {remedy}") from error
    kinds = {one.name: type(getattr(DEVICES["gpu"], one.name)) for one in fields(Device)}
    if not isinstance(content, dict) or set(content) != set(kinds):
        raise UserError(f"{name} describes no device: it needs {', '.join(kinds)}, and nothing else; {remedy}")
    for key, kind in kinds.items():
        value = content[key]
        if type(value) is not kind or (kind in (int, float) and value < 0):
            raise UserError(
                f"{name} has {key} {value!r}: it must be of the kind {kind.__name__}, not below 0; {remedy}"
            )
    return Device(**content)


def write_device(device: Device, path: Path) -> None:
    """Write what was measured of a device."""
    with atomic_path(path) as temporary:
        temporary.write_text(yaml.safe_dump(asdict(device), sort_keys=False), encoding="utf-8")


_UNITS = {"": 1, "B": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_UNITS |= {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def parse_memory(text: str) -> int:
    """Return the bytes of a text such as 14.76GiB, 800 MiB or 16GB.

    Raises:
        UserError: if it is none.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-zA-Z]*)\s*", text)
    unit = _UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None or not float(match[1]) * unit >= MIB:
        raise UserError(f"--memory is {text!r}: say a number and a unit, such as 14.76GiB or 800MiB; at least 1MiB")
    return int(float(match[1]) * unit)


def as_gib(nbytes: float) -> str:
    """Return bytes as text in GiB."""
    return f"{nbytes / GIB:,.2f} GiB"
