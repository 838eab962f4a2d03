import threading

import optuna
import pytest
from optuna.storages import RDBStorage, get_storage
from optuna.study import StudyDirection
from tests.sweep.conftest import GRID, work

from flexdan.config import UserError
from flexdan.sweep import Definition, SweepStudy, create_sweep, hide_password, open_storage, prepare, summarize_sweep
from flexdan.sweep.storage import JOURNAL, patiently


def test_a_journal_whose_last_line_was_cut_off_is_mended(tmp_path):
    storage = open_storage("", tmp_path)
    number = storage.create_new_study([StudyDirection.MAXIMIZE], "a")
    storage.create_new_trial(number)
    whole = (tmp_path / JOURNAL).read_bytes()
    (tmp_path / JOURNAL).write_bytes(whole + whole.splitlines()[-1][:20])
    storage = open_storage("", tmp_path)
    storage.create_new_trial(number)
    assert len(open_storage("", tmp_path).get_all_trials(number)) == 2
    assert (tmp_path / JOURNAL).read_bytes().startswith(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == [JOURNAL]


def test_a_journal_works_from_a_relative_path(tmp_path, monkeypatch):
    """Optuna waits for ever for the lock of a dead process where the link to it leads nowhere."""
    monkeypatch.chdir(tmp_path)
    storage = open_storage("", type(tmp_path)("sweep"))
    assert storage._backend._lock._lock_target_file == str(tmp_path / "sweep" / JOURNAL)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///a.db", "is sqlite:///a.db, but must be postgresql"),
        ("redis://x", "but must be postgresql"),
        ("grpc://host", "must be grpc://HOST:PORT"),
        ("postgresql://me:secret@127.0.0.1:1/none", "postgresql://me@127.0.0.1:1/none cannot be used: connection"),
    ],
)
def test_storages_that_cannot_be_used(tmp_path, url, message):
    with pytest.raises(UserError, match=message) as error:
        open_storage(url, tmp_path)
    assert "secret" not in str(error.value)


def test_a_proxy_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr("flexdan.sweep.storage.PATIENCE", 0.2)
    with pytest.raises(UserError, match="no gRPC server of Optuna answers at grpc://127"):
        open_storage("grpc://127.0.0.1:9", tmp_path)


def test_a_sweep_through_the_grpc_proxy(tmp_path):
    from optuna.storages._grpc.server import make_server

    server = make_server(get_storage(RDBStorage(f"sqlite:///{tmp_path / 'sweep.db'}")), "127.0.0.1", 0)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        url = f"grpc://127.0.0.1:{port}"
        create_sweep(open_storage(url, tmp_path), "far", Definition(sweep=GRID, plan=False))
        prepare(SweepStudy(open_storage(url, tmp_path), "far"), 1)

        def run():
            work(SweepStudy(open_storage(url, tmp_path), "far"), tmp_path)

        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        study = SweepStudy(open_storage(url, tmp_path), "far")
        assert [one.state for one in summarize_sweep(study).trials] == ["complete"] * 6
        assert len(study.found()) == 6
    finally:
        server.stop(None)


def test_passwords_are_hidden():
    assert hide_password("postgresql://me:secret@host:5432/db") == "postgresql://me@host:5432/db"
    assert hide_password("postgresql://me@host/db") == "postgresql://me@host/db"
    assert hide_password("postgresql://me@host/db?password=secret&sslmode=require") == (
        "postgresql://me@host/db?sslmode=require"
    )
    assert hide_password("") == ""


def test_patience_ends(monkeypatch):
    slept = []
    monkeypatch.setattr("flexdan.sweep.storage.time.sleep", slept.append)
    calls = []

    def fail_twice():
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionError("away")
        return 7

    def fail():
        raise ConnectionError("away")

    def finished():
        raise optuna.exceptions.UpdateFinishedTrialError

    assert patiently(fail_twice) == 7
    assert slept == [1, 2]
    with pytest.raises(ConnectionError):
        patiently(fail)
    assert slept == [1, 2, 1, 2, 4, 8, 16]
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        patiently(finished)
    assert len(slept) == 7
