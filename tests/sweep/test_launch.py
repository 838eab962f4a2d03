import sys
import time
from types import SimpleNamespace

import pytest

from flexdan.config import UserError
from flexdan.sweep import Crew, Place, launch, places, visible_gpus


def test_one_worker_on_a_machine_without_gpus():
    assert places(None, [], 8, "pc") == [Place(name="pc-1", gpu="", share=1, threads=8)]


def test_workers_of_a_cpu_divide_its_cores_and_memory():
    found = places(3, [], 8, "pc")
    assert [place.name for place in found] == ["pc-1", "pc-2", "pc-3"]
    assert {(place.share, place.threads, place.gpu) for place in found} == {(3, 2, "")}


def test_one_worker_on_each_gpu():
    found = places(None, ["0", "3"], 16, "node")
    assert [(place.gpu, place.share, place.threads) for place in found] == [("0", 1, 8), ("3", 1, 8)]


def test_more_workers_than_gpus_share_them():
    found = places(3, ["0", "1"], 16, "node")
    assert [(place.gpu, place.share) for place in found] == [("0", 2), ("1", 1), ("0", 2)]


@pytest.mark.parametrize("workers", [-1, 9])
def test_too_many_or_too_few_workers(workers):
    with pytest.raises(UserError, match=r"--workers is -?[0-9]+, but this machine has 8 cores"):
        places(workers, [], 8, "pc")


def test_visible_gpus(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-abc")
    assert visible_gpus() == ["3", "GPU-abc"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Workers that are small programs of ours."""

    def set_program(text):
        program = tmp_path / "fake"
        program.write_text(f"#!{sys.executable}\n{text}")
        program.chmod(0o755)
        monkeypatch.setattr(launch, "sys", SimpleNamespace(executable=str(program)))

    return set_program


def finish(crew):
    for _ in range(200):
        if not crew.working():
            return
        time.sleep(0.05)
    raise AssertionError("the workers do not end")


def test_workers_get_their_place_and_leave_a_log(fake, tmp_path):
    fake(
        "import os, sys\nprint(sys.argv[1:], os.environ['OMP_NUM_THREADS'], os.environ['CUDA_VISIBLE_DEVICES'],"
        " os.environ['FLEXDAN_STORAGE'])"
    )
    crew = Crew(folder=tmp_path, environment={"FLEXDAN_STORAGE": "x://y"})
    place = Place(name="pc-1", gpu="3", share=2, threads=4)
    crew.start([place])
    finish(crew)
    wanted = ["-m", "flexdan", "sweep", "worker", str(tmp_path), "--worker", "pc-1", "--share", "2", "--threads", "4"]
    assert crew.log(place).read_text() == f"{wanted} 4 3 x://y\n"
    assert not crew.failed


def test_a_worker_that_dies_is_started_again_a_few_times(fake, tmp_path, monkeypatch):
    fake("import os, signal\nprint('here')\nos.kill(os.getpid(), signal.SIGKILL)")
    monkeypatch.setattr(launch, "RESTART", 0.01)
    said = []
    crew = Crew(folder=tmp_path, say=said.append)
    crew.start(places(1, [], 1, "pc"))
    finish(crew)
    assert crew.failed
    assert len(said) == launch.MAX_RESTARTS + 1
    assert said[0].startswith("worker pc-1 was killed by SIGKILL; it is started again; see ")
    assert "is not started again" in said[-1]


def test_dismissed_workers_end_by_sigterm(fake, tmp_path):
    fake(
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\nprint('up', flush=True)\n"
        "time.sleep(60)"
    )
    crew = Crew(folder=tmp_path)
    place = places(1, [], 1, "pc")[0]
    crew.start([place])
    while not crew.log(place).read_text():
        time.sleep(0.05)
    crew.end()
    crew.wait()
    assert not crew.working()
    assert not crew.failed


def test_workers_that_do_not_end_are_killed(fake, tmp_path):
    fake("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(60)")
    crew = Crew(folder=tmp_path)
    place = places(1, [], 1, "pc")[0]
    crew.start([place])
    while not crew.log(place).read_text():
        time.sleep(0.05)
    crew.end()
    crew.wait(0.1)
    assert not any(member.process.poll() is None for member in crew._members)


def test_a_mistake_of_the_user_is_not_repeated(fake, tmp_path):
    fake("raise SystemExit(2)")
    said = []
    crew = Crew(folder=tmp_path, say=said.append)
    crew.start(places(1, [], 1, "pc"))
    finish(crew)
    assert len(said) == 1
    assert "ended with exit code 2, and is not started again" in said[0]
    assert crew.failed


def test_a_death_after_a_long_life_does_not_count(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "RESTART", 0.0)
    monkeypatch.setattr(launch, "LONG_LIFE", 0.0)
    file = tmp_path / "deaths"
    fake(f"open({str(file)!r}, 'a').write('x')\nraise SystemExit(1 if len(open({str(file)!r}).read()) < 8 else 0)")
    crew = Crew(folder=tmp_path, say=lambda line: None)
    crew.start(places(1, [], 1, "pc"))
    finish(crew)
    assert len(file.read_text()) == 8
    assert not crew.failed
