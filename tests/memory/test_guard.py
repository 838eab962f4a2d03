"""Trainings that are refused, and memory that runs out all the same."""

import os
import subprocess
import sys

import pytest
import torch

from flexdan.config import RunConfig, UserError, with_settings
from flexdan.config.errors import RunError
from flexdan.config.record import read_record
from flexdan.memory import DEVICES, ask_planner, guard, has_room, is_out_of_memory, train_planned
from flexdan.report.run import read_run

MIB = 2**20


@pytest.fixture
def config(discs):
    return with_settings(
        RunConfig(),
        {
            "data.manifest": str(discs),
            "sn.num_fcn_blocks": 3,
            "sn.first_layer_out_channels": 4,
            "training.num_epochs": 1,
            "training.device": "cpu",
            "training.precision": "fp32",
        },
    )


def test_what_does_not_fit_is_refused_with_its_row_and_nothing_is_written(config, tmp_path):
    with pytest.raises(UserError, match=r"does not fit: it needs 0\.\d\d GiB, and there are 0\.10 GiB .*--force"):
        train_planned(config, tmp_path / "run", memory=100 * MIB, quiet=True)
    assert not (tmp_path / "run").exists()


def test_room_leaves_a_part_of_the_memory_of_a_cpu_to_others(config, monkeypatch):
    peak = ask_planner(config).peak
    for there, enough in ((1.2 * peak, False), (1.6 * peak, True)):
        monkeypatch.setattr(guard, "machine", lambda _, there=there: (DEVICES["cpu"], int(there)))
        assert has_room(config) == enough
    assert not has_room(config, peak // 2)


def test_force_and_enough_memory_train(config, tmp_path):
    assert len(train_planned(config, tmp_path / "forced", memory=100 * MIB, force=True, quiet=True)) == 1
    assert len(train_planned(config, tmp_path / "run", memory=8 * 2**30, quiet=True)) == 1


def test_memory_that_runs_out_is_recorded_with_prediction_and_measurement(config, tmp_path, monkeypatch):
    original = guard.train

    def train(*arguments, **options):
        original(*arguments, **options)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")

    monkeypatch.setattr(guard, "train", train)
    with pytest.raises(
        RunError, match=r"memory ran out \(CUDA out of memory.*\); measured: peak of process .*predicted"
    ):
        train_planned(config, tmp_path / "run", quiet=True)
    event = read_record(tmp_path / "run" / "record.jsonl")[-1]
    assert event["event"] == "out_of_memory"
    assert event["error"] == "CUDA out of memory. Tried to allocate 2.00 GiB."
    assert event["predicted"]["needs_bytes"] == ask_planner(config).peak
    assert event["measured"]["peak_of_process_bytes"] > 100 * MIB
    assert read_run(tmp_path / "run").status == "out of memory"


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a process are Linux's")
def test_a_real_shortage_ends_with_an_explanation(config, tmp_path):
    """A batch of 2 GiB of activations, in a process that may have little more than it has at the start."""
    limited = (
        "import resource, sys, torch, flexdan.memory, flexdan.cli.main as main\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 700 * 2**20,) * 2)\n"
        "sys.exit(main.main(sys.argv[1:]))\n"
    )
    settings = ["--data.manifest", config.data.manifest, "--data.image_size", "[512, 640]", "--training.device", "cpu"]
    settings += ["--training.precision", "fp32", "--training.num_workers", "0", "--training.tensorboard", "false"]
    result = subprocess.run(
        [sys.executable, "-c", limited, "train", *settings, "-o", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert result.returncode == 1, result.stderr
    assert "flexdan train: failed: memory ran out (" in result.stderr
    assert "Traceback" not in result.stderr
    event = read_record(tmp_path / "run" / "record.jsonl")[-1]
    assert event["event"] == "out_of_memory"


def test_other_errors_are_not_taken_for_it():
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("not enough memory"))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")
    )


@pytest.mark.parametrize("bf16", [True, False])
def test_the_plan_is_made_in_the_precision_of_the_device(config, monkeypatch, bf16):
    monkeypatch.setattr(guard, "resolve_precision", lambda *_: "bf16" if bf16 else "fp32")
    assert guard.machine(config)[0].bf16 == bf16
