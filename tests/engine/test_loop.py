"""Training: it learns, it is reproducible, it resumes bit for bit, and it stops before harm."""

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from accelerate.state import AcceleratorState

from flexdan.config import UserError, config_from_mapping
from flexdan.config.record import NUMBERS_THAT_VARY
from flexdan.engine import best_epoch, load_run, read_record, train
from flexdan.engine.epoch import validate
from flexdan.engine.progress import TrainingProgress
from flexdan.engine.setup import build_parts, gather_data
from flexdan.models import load_imagenet
from flexdan.models.segmentation.efficientnet_lite import EfficientNetLite

SMALL = {
    "sn.first_layer_out_channels": 6,
    "sn.num_fcn_blocks": 3,
    "training.num_epochs": 3,
    "training.batch_size": 2,
    "training.tensorboard": False,
    "augmentation.quarter_turns": True,
    "augmentation.scale": [0.8, 1.2],
    "augmentation.stain_jitter": 0.1,
}


def settings(manifest: Path, **more):
    changes = {name.replace("__", "."): value for name, value in more.items()}
    return config_from_mapping({"data.manifest": str(manifest), **SMALL, **changes})[0]


def epochs(folder: Path) -> list[dict]:
    """The epochs of a record, without the numbers that differ between equal runs."""
    rows = [event for event in read_record(folder / "record.jsonl") if event["event"] == "epoch"]
    return [{name: value for name, value in row.items() if name not in NUMBERS_THAT_VARY} for row in rows]


def weights(folder: Path, which: str = "last") -> dict[str, torch.Tensor]:
    return load_run(folder, which).network.state_dict()


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_training_learns_and_leaves_a_full_record(discs, tmp_path):
    config = settings(discs, training__num_epochs=25, optimizer__lr=0.01, training__tensorboard=True)
    history = train(config, tmp_path)
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]
    assert max(row["iou_score"] for row in history) > 0.7
    assert {file.name for file in tmp_path.iterdir()} == {
        "config.yaml", "record.jsonl", "best.ckpt", "last.ckpt", "log.txt", "tensorboard"
    }  # fmt: skip
    assert list((tmp_path / "tensorboard").iterdir())
    start, *rows, end = read_record(tmp_path / "record.jsonl")
    assert len(start["annotated"]) == 6
    assert start["unannotated"] == 3
    assert start["config"] == yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert start["config"]["data"]["image_size"] == [32, 40]
    assert len(start["manifest_sha256"]) == 64
    assert start["environment"]["packages"]["torch"]
    assert set(rows[0]) == {
        "event", "epoch", "train_loss", "val_loss", "val_acc", "iou_score", "dice", "precision", "recall", "lr",
        "sn_updates", "seconds", "images_per_second", "peak_memory_mib",
    }  # fmt: skip
    assert [row["epoch"] for row in rows] == list(range(1, 26))
    assert end["best"]["iou_score"] == max(row["iou_score"] for row in rows)
    assert load_run(tmp_path).epoch == end["best"]["epoch"]
    assert load_run(tmp_path).native_size == (32, 40)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(discs, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(settings(discs, seed=seed), tmp_path / name)
    assert epochs(tmp_path / "a") == epochs(tmp_path / "b")
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


@pytest.mark.parametrize(
    ("scheduler", "optimizer"),
    [("OneCycle", "adam"), ("ReduceLROnPlateau", "adam"), ("none", "adam"), ("Cosine", "adamw")],
)
def test_a_run_killed_in_an_epoch_and_resumed_equals_an_uninterrupted_one(discs, tmp_path, scheduler, optimizer):
    config = settings(
        discs, training__num_epochs=5, scheduler__scheduler_type=scheduler, scheduler__patience=0, optimizer__lr=0.03,
        optimizer__optimizer_type=optimizer, augmentation__shift=0.1, augmentation__contrast=0.2, augmentation__blur=1,
    )  # fmt: skip
    train(config, tmp_path / "whole")
    killed = tmp_path / "killed"
    kill_in_epoch(tmp_path / "whole" / "config.yaml", killed, epoch=3)
    assert len(epochs(killed)) == 2
    train(load_run(killed, "last").config, killed, resume=True)
    assert epochs(killed) == epochs(tmp_path / "whole")
    for which in ("best", "last"):
        assert same(weights(killed, which), weights(tmp_path / "whole", which))
    whole, resumed = (
        torch.load(tmp_path / name / "last.ckpt", weights_only=True)["training"] for name in ("whole", "killed")
    )
    assert equal(resumed, whole)
    events = [event["event"] for event in read_record(killed / "record.jsonl")]
    assert events == ["start", "epoch", "epoch", "resume", "epoch", "epoch", "epoch", "end"]


def equal(first, second) -> bool:
    """Compare nested states, tensors bit for bit."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(equal(*pair) for pair in zip(first, second, strict=True))
    return first == second


def kill_in_epoch(settings_file: Path, folder: Path, epoch: int) -> None:
    """Train in a process of its own, which is killed with SIGKILL at the second update of an epoch."""
    code = f"""
import os, signal, sys
import flexdan.engine.epoch as epoch
build = epoch.build_step
def deadly(config, number, *more):
    calls.append(number)
    if calls.count({epoch}) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return build(config, number, *more)
calls, epoch.build_step = [], deadly
from flexdan.cli.main import main
sys.exit(main(["train", "--config", {str(settings_file)!r}, "-o", {str(folder)!r}]))
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert finished.returncode == -signal.SIGKILL, finished.stderr.decode()


def test_resuming_survives_a_crash_between_checkpoint_and_record(discs, tmp_path):
    config = settings(discs, training__num_epochs=2)
    train(config, tmp_path / "run")
    record = tmp_path / "run" / "record.jsonl"
    lines = record.read_text().splitlines()
    record.write_text("\n".join(lines[:2]) + '\n{"event": "epo')  # the last epoch never reached the record
    train(load_run(tmp_path / "run", "last").config, tmp_path / "run", resume=True)
    assert [row["epoch"] for row in epochs(tmp_path / "run")] == [1, 2]


PLAIN = {  # no batch norm, no draws: what a step does depends on its images alone
    "sn.model_type": "torch.nn.Conv2d",
    "sn.model_args": {"in_channels": 3, "out_channels": 2, "kernel_size": 3, "padding": 1},
    "training.precision": "fp32",
    "augmentation.scale": [1, 1],
    "augmentation.quarter_turns": False,
    "augmentation.horizontal_flip": False,
    "augmentation.vertical_flip": False,
    "augmentation.stain_jitter": 0,
    "optimizer.optimizer_type": "sgd",
}


def test_gradient_accumulation_equals_a_larger_batch_for_a_network_without_batch_norm(discs, tmp_path):
    for name, batch, steps in (("large", 3, 1), ("small", 1, 3)):
        config = config_from_mapping(
            {"data.manifest": str(discs), **SMALL, **PLAIN}
            | {"training.batch_size": batch, "training.gradient_accumulation_steps": steps}
        )[0]
        train(config, tmp_path / name)
    for large, small in zip(weights(tmp_path / "large").values(), weights(tmp_path / "small").values(), strict=True):
        torch.testing.assert_close(large, small, rtol=1e-4, atol=1e-6)


def test_unannotated_images_are_left_alone_and_counted(discs, tmp_path):
    config = settings(discs, data__annotated="2", training__num_epochs=1)
    train(config, tmp_path)
    start = read_record(tmp_path / "record.jsonl")[0]
    assert len(start["annotated"]) == 2
    assert start["unannotated"] == 7


def test_images_that_do_not_fit_are_streamed_with_the_same_result(discs, tmp_path):
    train(settings(discs, training__num_epochs=2), tmp_path / "kept")
    few = 3 * 32 * 40 * 4 / 2**30
    streamed = settings(discs, training__num_epochs=2, data__cache_gib=few, training__num_workers=1)
    train(streamed, tmp_path / "streamed")
    assert epochs(tmp_path / "kept") == epochs(tmp_path / "streamed")
    assert "3 of 10 images kept in memory" in (tmp_path / "streamed" / "log.txt").read_text()


def test_a_resumed_run_remembers_its_new_number_of_epochs(discs, tmp_path):
    config = settings(discs, training__num_epochs=1, scheduler__scheduler_type="none")
    train(config, tmp_path)
    longer = replace(load_run(tmp_path, "last").config, training=replace(config.training, num_epochs=2))
    train(longer, tmp_path, resume=True)
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["training"]["num_epochs"] == 2
    resumed = next(event for event in read_record(tmp_path / "record.jsonl") if event["event"] == "resume")
    assert resumed["config"]["training"]["num_epochs"] == 2


def test_a_run_is_not_resumed_on_other_data(discs, tmp_path):
    manifest = discs.parent / "changing.csv"
    manifest.write_text(discs.read_text())
    train(settings(manifest, training__num_epochs=1), tmp_path)
    config = load_run(tmp_path, "last").config
    manifest.write_text("\n".join(discs.read_text().splitlines()[:-1]))
    with pytest.raises(UserError, match="put the manifest back as it was"):
        train(config, tmp_path, resume=True)
    manifest.write_text(discs.read_text())
    train(config, tmp_path, resume=True)


def test_a_checkpoint_of_an_earlier_version_is_not_resumed_but_starts_a_new_run(discs, tmp_path):
    train(settings(discs, training__num_epochs=1), tmp_path / "old")
    path = tmp_path / "old" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    content["training"] = content["training"]["sn"]  # optimiser and scheduler of the one network
    del content["en"]
    torch.save(content, path)
    (tmp_path / "old" / "best.ckpt").write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="written by an earlier version of FlexDAN"):
        train(load_run(tmp_path / "old", "last").config, tmp_path / "old", resume=True)
    train(settings(discs, training__num_epochs=1, init_sn=str(tmp_path / "old")), tmp_path / "new")


def test_the_environment_of_accelerate_changes_nothing(discs, tmp_path, monkeypatch):
    config = settings(discs, training__num_epochs=1, training__precision="fp32")
    train(config, tmp_path / "without")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    AcceleratorState._reset_state(reset_partial_state=True)
    train(config, tmp_path / "with")
    AcceleratorState._reset_state(reset_partial_state=True)
    assert epochs(tmp_path / "without") == epochs(tmp_path / "with")


def test_an_older_run_is_replaced_only_when_the_new_one_can_begin(discs, tmp_path):
    train(settings(discs, training__num_epochs=2), tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    for wrong in ({"init_sn": "nowhere"}, {"sn__model_type": "no.such.Network"}):
        with pytest.raises(UserError):
            train(settings(discs, **wrong), tmp_path)
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    train(settings(discs, init_sn=str(tmp_path), training__num_epochs=1), tmp_path)
    assert [row["epoch"] for row in epochs(tmp_path)] == [1]


def test_a_refused_start_leaves_nothing_behind(discs, tmp_path):
    with pytest.raises(UserError):
        train(settings(discs, init_sn="nowhere"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_broken_image_is_named_also_when_a_worker_reads_it(discs, tmp_path):
    (discs.parent / "broken.png").write_bytes((discs.parent / "image3.png").read_bytes()[:200])
    manifest = discs.parent / "broken.csv"
    manifest.write_text(discs.read_text().replace("image3.png", "broken.png"))
    with pytest.raises(UserError, match=r"^\S*broken\.png cannot be read") as error:
        train(settings(manifest, data__cache_gib=0.0, training__num_workers=1), tmp_path)
    assert "Traceback" not in str(error.value)


def test_init_sn_takes_the_network_and_nothing_else(discs, tmp_path):
    train(settings(discs, training__num_epochs=1), tmp_path / "first")
    config = settings(discs, init_sn=str(tmp_path / "first"), optimizer__lr=1e-12, training__num_epochs=1, seed=3)
    train(config, tmp_path / "second")
    first, second = (dict(load_run(tmp_path / name).network.named_parameters()) for name in ("first", "second"))
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-5, atol=1e-7)
    wider = settings(discs, init_sn=str(tmp_path / "first"), sn__first_layer_out_channels=8)
    with pytest.raises(UserError, match="its segmentation network is another one"):
        train(wider, tmp_path / "third")


def test_a_loss_that_is_not_finite_stops_before_the_update(discs, tmp_path):
    config = settings(discs, optimizer__lr=1e30, optimizer__optimizer_type="sgd", training__precision="fp32")
    with pytest.raises(UserError, match=r"training loss is (nan|inf) in epoch 1"):
        train(config, tmp_path)
    assert not (tmp_path / "last.ckpt").exists()


def test_early_stopping(discs, tmp_path):
    config = settings(
        discs, training__num_epochs=30, training__early_stopping_patience=2, optimizer__lr=1e-12,
        scheduler__scheduler_type="none",
    )  # fmt: skip
    history = train(config, tmp_path)
    best = best_epoch(history, "iou_score")["epoch"]
    assert len(history) == best + 2
    assert "was not better for 2 epochs" in read_record(tmp_path / "record.jsonl")[-1]["reason"]


def test_best_epoch_is_the_first_of_equals_and_knows_the_better_direction():
    history = [{"epoch": n, "iou_score": i, "val_loss": v} for n, i, v in ((1, 0.2, 3.0), (2, 0.5, 1.0), (3, 0.5, 2.0))]
    assert best_epoch(history, "iou_score")["epoch"] == 2
    assert best_epoch(history, "val_loss")["epoch"] == 2
    assert best_epoch(list(reversed(history)), "iou_score")["epoch"] == 2
    broken = [{"epoch": 1, "val_loss": math.nan}, {"epoch": 2, "val_loss": math.inf}, {"epoch": 3, "val_loss": 0.5}]
    assert best_epoch(broken, "val_loss")["epoch"] == 3
    assert best_epoch(broken[:2], "val_loss")["epoch"] == 1


def evaluate_run(folder: Path) -> dict[str, float]:
    """Validate the last weights of a run in this process."""
    loaded = load_run(folder, "last")
    data = gather_data(loaded.config)
    parts = build_parts(loaded.config, data)
    parts.players.sn.bare.load_state_dict(loaded.network.state_dict())
    with TrainingProgress(shown=False) as progress:
        return validate(parts, loaded.config, progress)


def train_in_two_processes(discs: Path, folder: Path, **more) -> str:
    """Train in two processes on the CPU and return what they printed."""
    file = folder / "two.yaml"
    file.write_text(yaml.safe_dump({"data.manifest": str(discs), **SMALL, "training.batch_size": 1, **more}))
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port",
        str(20000 + os.getpid() % 20000), "-m", "flexdan", "train", "--config", str(file), "-o", str(folder / "two"),
        "--training.device", "cpu",
    ]  # fmt: skip
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_two_processes_validate_every_image_once_with_the_saved_statistics(discs, tmp_path):
    printed = train_in_two_processes(discs, tmp_path)
    start, *rows, end = read_record(tmp_path / "two" / "record.jsonl")
    measured = evaluate_run(tmp_path / "two")
    assert rows[-1]["iou_score"] == pytest.approx(measured["iou_score"], abs=1e-9)
    assert rows[-1]["val_loss"] == pytest.approx(measured["val_loss"], rel=1e-5)
    assert start["processes"] == 2
    assert [row["event"] for row in rows] == ["epoch"] * 3
    assert end["event"] == "end"
    assert printed.count("epoch 3/3") == 1  # one process prints
    with pytest.raises(UserError, match="processes has 1 where it began with 2; start 2 processes"):
        train(load_run(tmp_path / "two", "last").config, tmp_path / "two", resume=True)


def test_two_processes_with_one_image_each_equal_one_process_with_two(discs, tmp_path):
    train_in_two_processes(discs, tmp_path, **PLAIN)
    config = config_from_mapping({"data.manifest": str(discs), **SMALL, **PLAIN, "training.batch_size": 2})[0]
    train(config, tmp_path / "one")
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data__manifest": "nowhere.csv"}, "cannot read the manifest"),
        ({"data__train_split": "training"}, "its splits are train, val"),
        ({"sn__output_channels": 2, "data__val_split": "test"}, "no images in the split 'test'"),
    ],
)
def test_mistakes_are_refused(discs, tmp_path, changes, message):
    manifest = Path(changes.pop("data__manifest", discs))
    with pytest.raises(UserError, match=message):
        train(settings(manifest, **changes), tmp_path)


def test_a_missing_image_is_named_before_training(discs, tmp_path):
    text = discs.read_text().replace("image3.png", str(discs.parent / "gone.png"))
    manifest = discs.parent / "gone.csv"
    manifest.write_text(text)
    with pytest.raises(UserError, match=r"gone\.png, which does not exist"):
        train(settings(manifest), tmp_path)


def test_every_line_of_a_record_is_json_even_with_numbers_that_are_not_finite(tmp_path):
    from flexdan.engine.record import append_event

    append_event(tmp_path / "record.jsonl", {"event": "epoch", "val_loss": float("nan")})
    assert json.loads((tmp_path / "record.jsonl").read_text()) == {"event": "epoch", "val_loss": None}


def test_an_encoder_starts_from_imagenet_and_resumes(discs, tmp_path):
    settled = {"sn__model_type": "EncoderUNet", "data__image_size": [64, 64], "optimizer__lr": 1e-9}
    settled |= {
        "sn__decoder_channels": [8, 8, 4, 4],
        "optimizer__encoder_lr": 1e-9,
        "augmentation__quarter_turns": False,
    }
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    train(settings(discs, training__num_epochs=2, **settled), whole)
    assert "efficientnet_lite0 starts from ImageNet weights" in (whole / "log.txt").read_text()
    encoder = EfficientNetLite("efficientnet_lite0")
    load_imagenet(encoder)
    ours = weights(whole)
    for name, weight in encoder.named_parameters():
        torch.testing.assert_close(ours[f"encoder.{name}"], weight, rtol=0, atol=1e-6)
    train(settings(discs, training__num_epochs=2, **settled), resumed, watch=lambda row: "enough")
    train(settings(discs, training__num_epochs=2, **settled), resumed, resume=True)
    assert same(ours, weights(resumed))
    assert epochs(whole) == epochs(resumed)


@pytest.mark.parametrize("strategy", ["supervised", "dan"])
def test_a_network_with_contours_trains(discs, tmp_path, strategy):
    small = {"strategy": strategy, "sn__contour_width": 2, "en__num_fcn_blocks": 3, "en__first_layer_out_channels": 4}
    config = settings(discs, training__num_epochs=12, optimizer__lr=0.01, data__annotated=4, **small)
    history = train(config, tmp_path)
    assert history[-1]["train_loss"] < 0.7 * history[0]["train_loss"]
    assert max(row["iou_score"] for row in history) > 0.5
    network = load_run(tmp_path).network
    assert network(torch.zeros(1, 3, 32, 40)).shape == (1, 3, 32, 40)


def test_without_validation_the_last_epoch_counts(discs, tmp_path):
    config = settings(discs, data__val_split="none", training__best_metric="epoch")
    history = train(config, tmp_path / "without")
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert not {"iou_score", "val_loss"} & set(history[-1])
    assert load_run(tmp_path / "without").epoch == 3
    assert same(weights(tmp_path / "without", "best"), weights(tmp_path / "without", "last"))
    validated = train(settings(discs, training__best_metric="epoch"), tmp_path / "with")
    assert same(weights(tmp_path / "without"), weights(tmp_path / "with"))
    assert [row["train_loss"] for row in history] == [row["train_loss"] for row in validated]
    assert "the weights are those of epoch 3" in (tmp_path / "with" / "log.txt").read_text()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, r"training\.best_metric is iou_score: say epoch"),
        (
            {"training__best_metric": "epoch", "scheduler__scheduler_type": "ReduceLROnPlateau"},
            r"scheduler\.plateau_metric is val_loss: say train_loss",
        ),
    ],
)
def test_nothing_waits_for_a_validation_that_is_not_there(discs, more, message):
    with pytest.raises(UserError, match=message):
        settings(discs, data__val_split="none", **more)
