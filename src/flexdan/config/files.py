"""Writing files so that nothing is lost: temporary name, then rename; no overwriting unless told to."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import ENOTDIR
from pathlib import Path

from flexdan.config.errors import UserError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that is renamed to it when the block ends without an error.

    The temporary name keeps the suffix, so that writers that go by it work.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes private files
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_folder(path: str | Path) -> None:
    """Raise a `UserError` if no file can be written into `path`, a folder that may not exist yet; nothing stays behind.

    It is tried, since permissions alone do not tell: the place may be below a file, or on a disk that is read-only.
    """
    path = Path(path)
    made: list[Path] = []
    try:
        if in_the_way := [place for place in (path, *path.parents) if place.is_file()]:
            raise NotADirectoryError(ENOTDIR, f"{in_the_way[0]} is a file")
        for folder in (*reversed(path.parents), path):
            if not folder.is_dir():
                folder.mkdir()
                made.append(folder)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot write into the folder {path}: {reason}; name another place with -o") from error
    finally:
        for folder in reversed(made):
            with suppress(OSError):  # not empty: another process uses it already
                folder.rmdir()


def refuse_existing(path: str | Path, force: bool) -> None:
    """Raise a `UserError` if `path` is a file or a folder with something in it, unless `force`."""
    path = Path(path)
    taken = path.is_file() or (path.is_dir() and any(path.iterdir()))
    if taken and not force:
        raise UserError(f"{path} exists already: name another place, or say --force to overwrite")
