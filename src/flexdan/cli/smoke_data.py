"""The data of the smoke scale: a few images."""

from collections.abc import Sequence
from pathlib import Path

from flexdan.config.errors import UserError
from flexdan.data import ImageRecord, read_manifest, select_split, write_manifest
from flexdan.experiments.smoke import IMAGES


def draw_few(data: str, folder: Path) -> Path:
    """Write the manifest of a few images of some data, or of a synthetic set that is drawn for it, and return its path.

    Args:
        data: a manifest; empty: a synthetic set in the folder `data` of the folder.
        folder: gets `smoke.csv`.
    """
    from flexdan.cli.main import main

    source = Path(data) if data else folder / "data" / "manifest.csv"
    if not data and not source.is_file():
        shares = [f"{name}={count / sum(IMAGES.values())}" for name, count in IMAGES.items()]
        command = ["data", "synthesize", "-o", str(source.parent), "--count", str(sum(IMAGES.values())), "--force"]
        if code := main([*command, "--size", "64", "96", "--group-size", "1", "--split", *shares]):
            raise UserError(f"no synthetic set could be drawn into {source.parent} (exit code {code})")
    few = folder / "smoke.csv"
    records = read_manifest(source)
    write_manifest(few, [one for name, count in IMAGES.items() for one in _some(select_split(records, name), count)])
    return few.absolute()


def _some(records: "Sequence[ImageRecord]", count: int) -> "list[ImageRecord]":
    """Return so many images; where some are annotated and some are not, half of each kind as far as there are."""
    known = [record for record in records if record.annotated]
    unknown = [record for record in records if not record.annotated]
    few = min(len(unknown), max(count // 2, count - len(known)))
    return [*known[: count - few], *unknown[:few]]
