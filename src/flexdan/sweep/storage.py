"""Where the trials of a sweep are kept: a journal file in its folder, a database, or Optuna's gRPC proxy of one."""

import os
import time
import warnings
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, GrpcStorageProxy, JournalStorage, RDBStorage, get_storage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from flexdan.config import UserError

JOURNAL = "journal.log"
PATIENCE = 10  # seconds to wait for a server
LOCK = 5  # seconds after which the lock of a process that died while it wrote a line is broken
KINDS = "postgresql://USER@HOST/DATABASE, mysql://USER@HOST/DATABASE or grpc://HOST:PORT"

optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_storage(url: str, folder: Path) -> BaseStorage:
    """Open the storage of a sweep.

    Args:
        url: of a database or a gRPC proxy; empty: the journal in the folder of the sweep.
        folder: of the sweep.

    Raises:
        UserError: if it cannot be reached, or is of another kind.
    """
    if not url:
        return _open_journal(folder / JOURNAL)
    parts = urlsplit(url)
    if parts.scheme == "grpc":
        return _open_proxy(url)
    if parts.scheme.partition("+")[0] not in ("postgresql", "mysql"):
        raise UserError(
            f"--storage is {hide_password(url)}, but must be {KINDS}; without it a file in the folder serves"
        )
    return _open_database(url)


def patiently(call: Callable[..., Any], *arguments: Any, tries: int = 6) -> Any:
    """Call a function of a storage, again after 1, 2, 4, … seconds while the storage is out of reach.

    Raises:
        Exception: what the function raises for other reasons, and the last of `tries` failures to reach the storage.
    """
    for number in range(tries - 1):
        try:
            return call(*arguments)
        except Exception as error:
            if not is_out_of_reach(error):
                raise
            time.sleep(2**number)
    return call(*arguments)


def is_out_of_reach(error: Exception) -> bool:
    """Tell whether an error of a storage means that it does not answer now, and may later."""
    library = type(error).__module__.partition(".")[0]  # that of the driver, which need not be installed
    if isinstance(error, RuntimeError) and "did not possess lock" in str(error):
        return True  # of the journal: this process was frozen while it had the lock, and others have broken it
    return isinstance(error, OSError | StorageInternalError) or library in ("sqlalchemy", "grpc", "psycopg", "pymysql")


def hide_password(url: str) -> str:
    """Return an address without its password, as it may be shown and written."""
    parts = urlsplit(url)
    query = [(key, value) for key, value in parse_qsl(parts.query) if "password" not in key.lower()]
    if parts.password is None and len(query) == len(parse_qsl(parts.query)):
        return url
    user, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=user.partition(":")[0] + at + host, query=urlencode(query)).geturl()


def _open_journal(path: Path) -> BaseStorage:
    path.parent.mkdir(parents=True, exist_ok=True)
    path = path.absolute()  # the lock is a link to it, which Optuna follows from anywhere
    if path.is_file():
        _mend(path)
    lock = JournalFileSymlinkLock(str(path), grace_period=LOCK)
    try:
        return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    except ValueError as error:  # of JSON too
        raise UserError(
            f"{path} is damaged, since it was changed by something else: {error}; the run folders beside it are whole"
        ) from error


def _mend(path: Path) -> None:
    """Cut off a last line that a crash has left without its end: Optuna could not read what comes after it."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return
        file.seek(-1, os.SEEK_END)
        if file.read() == b"\n":
            return
    lock = JournalFileSymlinkLock(str(path), grace_period=LOCK)
    lock.acquire()
    try:
        content = path.read_bytes()
        os.truncate(path, content.rfind(b"\n") + 1)
    finally:
        with suppress(RuntimeError):
            lock.release()


def _open_proxy(url: str) -> BaseStorage:
    parts = urlsplit(url)
    if not parts.hostname or not parts.port:
        raise UserError(f"--storage is {url}, but must be grpc://HOST:PORT")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = GrpcStorageProxy(host=parts.hostname, port=parts.port)
    try:
        storage.wait_server_ready(timeout=PATIENCE)
    except ConnectionError as error:
        raise UserError(f"no gRPC server of Optuna answers at {url} within {PATIENCE} s: start it first") from error
    return storage


def _open_database(url: str) -> BaseStorage:
    from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

    scheme, rest = url.split("://", 1)
    driver = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}.get(scheme, scheme)
    connect = {"connect_timeout": PATIENCE}
    if driver == "postgresql+psycopg":  # a server that is cut off is noticed in a minute, not in two hours
        connect |= {"keepalives_idle": 30, "keepalives_interval": 10, "tcp_user_timeout": 60_000}
    engine = {"pool_pre_ping": True, "connect_args": connect}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            try:
                database = RDBStorage(f"{driver}://{rest}", engine_kwargs=engine)
            except (IntegrityError, ProgrammingError):  # another process makes the tables at the same time
                time.sleep(1)
                database = RDBStorage(f"{driver}://{rest}", engine_kwargs=engine)
    except ImportError as error:
        raise UserError(
            f"--storage is {hide_password(url)}, but its driver is not installed: pip install 'flexdan[postgresql]', "
            "or pymysql for mysql"
        ) from error
    except SQLAlchemyError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise UserError(f"the database {hide_password(url)} cannot be used: {reason}") from error
    storage = get_storage(database)
    weakref.finalize(storage, database.engine.dispose)  # closes its connections
    return storage
