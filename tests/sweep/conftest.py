"""Sweeps whose trials are over at once, and one whose trials train."""

import math
from dataclasses import replace

import pytest

from flexdan.experiments import Choice, Sweep
from flexdan.sweep import Definition, SweepStudy, Worker, create_sweep, open_storage, prepare

GRID = Sweep(
    parameters={"sn_num_fcn_blocks": Choice((3, 4, 5)), "lr": Choice((0.1, 0.01))},
    settings={"training.num_epochs": 3},
)


@pytest.fixture
def make_study(tmp_path):
    """Return a function that makes a sweep in a folder, with its trials waiting."""

    def make(sweep=GRID, folder=tmp_path, **options) -> SweepStudy:
        storage = open_storage("", folder)
        create_sweep(storage, "test", Definition(sweep=sweep, plan=False, **options))
        study = SweepStudy(storage, "test")
        prepare(study, 1)
        return study

    return make


def reopen(folder) -> SweepStudy:
    """Open the sweep as another process would."""
    return SweepStudy(open_storage("", folder), "test")


def rows(values, metric="iou_score"):
    """Return epochs with these values of a metric."""
    return [{"epoch": epoch, metric: value, "seconds": 0.5} for epoch, value in enumerate(values, start=1)]


def quality(config):
    """Return what a trial of a made-up problem scores: best with 4 blocks, and with a learning rate of 0.01."""
    return 0.9 - 0.1 * abs(config.sn.num_fcn_blocks - 4) - 0.05 * abs(math.log10(config.optimizer.lr) + 2)


def made_up(config, folder, watch):
    """Train without a network: three epochs that approach the quality of the settings."""
    history = []
    for row in rows([quality(config) - 0.01 * left for left in (2, 1, 0)]):
        history.append(row)
        if watch(row):
            break
    return history


def work(study, folder, objective=made_up, **options) -> list[str]:
    """Let a worker take all trials, and return what it says."""
    said = []
    worker = Worker(study=study, folder=folder, name="me", objective=objective, say=said.append, wait=False)
    replace(worker, **options).run()
    return said
