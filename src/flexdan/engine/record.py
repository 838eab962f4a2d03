"""Writing the record of a run: what was run, where, on which data, and the metrics of every epoch.

One JSON object a line; `flexdan.config.record` reads it, without torch.
"""

import json
import math
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from flexdan import __version__
from flexdan.config import RunConfig, to_dict
from flexdan.config.files import atomic_path
from flexdan.data import file_sha256

PACKAGES = ("torch", "numpy", "accelerate", "monai", "pillow", "scikit-image", "scipy", "tifffile")


def start_event(config: RunConfig, **facts: Any) -> dict[str, Any]:
    """Return the first line of a record: settings, versions, git state, data and environment."""
    return {
        "event": "start",
        "time": _now(),
        "flexdan": __version__,
        "command": sys.argv,
        "config": to_dict(config),
        "seed": config.seed,
        "manifest_sha256": file_sha256(Path(config.data.manifest)),
        **facts,
        "environment": _environment(),
        "git": _git_state(Path(__file__).parent),
    }


def resume_event(config: RunConfig, epoch: int) -> dict[str, Any]:
    """Return the line that says that a run went on after an epoch, where, and with which settings."""
    return {
        "event": "resume",
        "time": _now(),
        "after_epoch": epoch,
        "config": to_dict(config),
        "environment": _environment(),
    }


def end_event(reason: str, best: dict[str, Any]) -> dict[str, Any]:
    """Return the last line: why the training ended, and its best epoch."""
    return {"event": "end", "time": _now(), "reason": reason, "best": best}


def append_event(path: Path, event: dict[str, Any]) -> None:
    """Append one line to a record; numbers that are not finite become null, so that every line is JSON."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(_finite(event), allow_nan=False) + "\n")


def rewrite_record(path: Path, events: list[dict[str, Any]]) -> None:
    """Replace a record as a whole, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text("".join(json.dumps(_finite(event), allow_nan=False) + "\n" for event in events), "utf-8")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _environment() -> dict[str, Any]:
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": gpus,
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_state(folder: Path) -> dict[str, Any] | None:
    """Return commit and cleanliness of the checkout that the package runs from; None for an installed package."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        if git("ls-files", "--error-unmatch", __file__) == "":
            return None
        return {"commit": git("rev-parse", "HEAD"), "dirty": git("status", "--porcelain", "-uno") != ""}
    except (OSError, subprocess.SubprocessError):
        return None
