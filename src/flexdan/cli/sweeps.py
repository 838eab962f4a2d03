"""What the commands of a sweep share: how it is named and found, and how it is shown."""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flexdan.config.errors import UserError
from flexdan.config.files import atomic_path
from flexdan.config.trials import FINISHED, SweepSummary, Trial, params_text

if TYPE_CHECKING:
    from flexdan.sweep import SweepStudy

ENVIRONMENT = "FLEXDAN_STORAGE"
ADDRESS = "sweep.json"  # in the folder of a sweep: its name and its storage
STORAGE_HELP = (
    "database or proxy that holds the trials: postgresql://USER@HOST/DATABASE, mysql://USER@HOST/DATABASE or "
    "grpc://HOST:PORT; default: that of the folder, which is a file in it unless another one was named"
)

WORKERS_HELP = (
    "at once here; default: one on each GPU, or one on the CPU; 0: none, they are started by `flexdan sweep worker`"
)


def add_sweep_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a sweep which is there."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of the sweep")
    parser.add_argument("--storage", default="", metavar="URL", help=STORAGE_HELP)
    parser.add_argument("--name", default="", metavar="NAME", help="of the sweep in its storage; default: the folder's")


def open_sweep(folder: Path, storage: str, name: str) -> "SweepStudy":
    """Open a sweep.

    Args:
        folder: of the sweep; on another machine it may be new, where storage and name are given.
        storage: address; empty: as in the folder.
        name: in the storage; empty: as in the folder.

    Raises:
        UserError: if there is none.
    """
    known = read_address(folder)
    if not known and not storage_url(folder, storage):
        raise UserError(
            f"{folder} is no folder of a sweep: there is no {ADDRESS} in it; `flexdan sweep run FILE -o {folder}` "
            "makes one, and on another machine --storage and --name tell where it is"
        )
    from flexdan.sweep import SweepStudy, open_storage

    url = storage_url(folder, storage)
    if not url and not (folder / "journal.log").is_file():
        raise UserError(f"{folder} has no journal.log any more, which held the trials: only the run folders are left")
    return SweepStudy(open_storage(url, folder), name or known.get("name") or folder.resolve().name)


def storage_url(folder: Path, given: str) -> str:
    """Return the address of the storage of a sweep: as given, else with its password as in the environment.

    A sweep that is kept in its folder stays there, whatever the environment says.
    """
    known = read_address(folder)
    return given or ("" if known.get("storage") == "" else os.environ.get(ENVIRONMENT) or known.get("storage", ""))


def read_address(folder: Path) -> dict[str, str]:
    """Return name and storage of the sweep in a folder; empty if there is none."""
    file = folder / ADDRESS
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
        reason: object = f"it holds {found!r}"
    except ValueError as error:
        reason = error
    raise UserError(f'{file} is broken: {reason}; it must hold "name" and "storage", which is "" for the folder itself')


def write_address(folder: Path, name: str, storage: str) -> None:
    """Write name and storage of a sweep into its folder; a password is left out."""
    from flexdan.sweep import hide_password

    with atomic_path(folder / ADDRESS) as temporary:
        address = {"name": name, "storage": hide_password(storage)}
        temporary.write_text(json.dumps(address, indent=2) + "\n", encoding="utf-8")


def refuse_other_things(folder: Path) -> None:
    """Raise a `UserError` if a folder holds other things than a sweep, or than what one leaves that broke off."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    broke_off = {"journal.log", "smoke.csv", "data"}  # what there may be before the address is written
    if ADDRESS not in names and not names <= broke_off:
        raise UserError(f"{folder} holds other things than a sweep: name another folder with -o, or empty this one")


def duration(seconds: float | None) -> str:
    """Return a time as text, such as `2 h 05 min`; a hyphen for none."""
    if seconds is None:
        return "-"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def score_text(trial: Trial) -> str:
    """Return the value of a trial and its epoch; empty if it has none."""
    return "" if trial.value is None else f"{trial.value:.4f} in epoch {trial.epoch}"


def headline(summary: SweepSummary, left: float | None) -> str:
    """Return how many trials are in which state, and about how long the rest takes."""
    from flexdan.sweep import count_states

    counts = count_states(summary.trials)
    finished = sum(counts.get(state, 0) for state in FINISHED)
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    time = f"; about {duration(left)} left" if left is not None else ""
    return f"{summary.name}: {finished} of {len(summary.trials)} trials finished ({states or 'none yet'}){time}"


def best_line(summary: SweepSummary) -> str:
    """Return the best trial so far in one line."""
    if not summary.standing:
        return "best so far: none has a value yet"
    best = summary.standing[0]
    state = "" if best.state == "complete" else f", {best.state}"
    return f"best so far: trial {best.number}, {summary.metric} {score_text(best)}{state} ({params_text(best.params)})"


def check_data(study: "SweepStudy", manifest: str = "") -> None:
    """Let a sweep read another manifest in this process.

    Args:
        study: the sweep.
        manifest: of the same data; empty: the one that the sweep names.

    Raises:
        UserError: if it is not there, or has other data.
    """
    from flexdan.data import file_sha256

    wanted = study.definition.manifest_sha256
    if not wanted:
        return
    path = Path(manifest or study.sweep.settings["data.manifest"])
    if not path.is_file():
        raise UserError(f"the data of the sweep, {path}, are not there: say where they are here with --data MANIFEST")
    if file_sha256(path) != wanted:
        raise UserError(f"{path} is not the manifest that the sweep began with: put it back as it was, or name a copy")
    if manifest:
        study.use_manifest(str(path.absolute()))


STATUS_HEADER = ("trial", "state", "worker", "epochs", "value", "seconds", "attempts", "parameters")


def status_rows(trials: Sequence[Trial]) -> list[tuple[str, ...]]:
    """Return the rows of the table of trials."""
    return [
        (
            str(one.number),
            one.state,
            one.worker,
            str(max(one.curve, default=0) or ""),
            score_text(one) or one.error,
            duration(one.seconds) if one.seconds is not None else "",
            str(one.attempts or ""),
            params_text(one.params),
        )
        for one in trials
    ]
