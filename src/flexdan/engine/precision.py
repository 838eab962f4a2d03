"""Number formats: what the device can do, and the context of a forward pass."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

Precision = Literal["bf16", "fp32"]
Autocast = Callable[[], AbstractContextManager]


def resolve_precision(wanted: Literal["auto", "bf16", "fp32"], device_type: str) -> Precision:
    """Return the precision to use: auto becomes bf16 where the hardware computes in it, else fp32."""
    if wanted != "auto":
        return wanted
    if device_type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device_type == "cpu":
        # torch names its checks of the processor as private; without them fp32 is right, only slower
        checks = [getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile")]
        return "bf16" if any(check() for check in checks if check) else "fp32"
    return "fp32"


def make_autocast(precision: Precision, device_type: str) -> Autocast:
    """Return what gives the context of one forward pass; weights, gradients and optimiser state stay fp32."""
    if precision == "fp32":
        return nullcontext
    return lambda: torch.autocast(device_type, dtype=torch.bfloat16)
