"""The C library's allocator: keep the memory of one training step for the next."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory instead of giving it back to the system, for the rest of the process.

    By default every tensor above 32 MiB is mapped anew and its pages are cleared by the kernel, in each step again.
    Kept memory is reused as it is: a step on the CPU gets faster (see `benchmarks/step.py`), and the process holds what
    its largest step needed. mallopt(3) describes both parameters.

    Returns:
        Whether the C library has these parameters; where it is not glibc, nothing changes.
    """
    if sys.platform != "linux":
        return False
    try:
        library = ctypes.CDLL("libc.so.6")
        return bool(library.mallopt(_M_MMAP_MAX, 0)) and bool(library.mallopt(_M_TRIM_THRESHOLD, -1))
    except (OSError, AttributeError):
        return False
