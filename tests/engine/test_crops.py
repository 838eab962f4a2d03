"""Training on windows at full resolution: exact resuming, validation of every pixel, prediction at the same scale."""

import json
from argparse import Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from flexdan.cli.loading import load_segmenter
from flexdan.cli.main import main
from flexdan.config import UserError, config_from_mapping
from flexdan.config.record import NUMBERS_THAT_VARY
from flexdan.data import ImageRecord, read_image, write_manifest
from flexdan.engine import load_run, read_record, train
from flexdan.engine.setup import gather_data, resolve_config
from flexdan.inference import predict_image
from flexdan.memory import trace_training
from flexdan.metrics import read_scores

SMALL = {
    "sn.first_layer_out_channels": 4,
    "sn.num_fcn_blocks": 3,
    "training.batch_size": 2,
    "training.num_epochs": 2,
    "training.tensorboard": False,
    "training.precision": "fp32",
    "scheduler.scheduler_type": "none",
    "data.crop": True,
    "data.image_size": [24, 32],
}
SIZES = [(40, 60), (22, 70), (24, 32), (50, 31), (20, 20), (61, 47)]  # height and width, some smaller than the window


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    """Images of many sizes: 3 annotated and 3 unannotated ones to train on, and 6 for validation."""
    folder, records = tmp_path_factory.mktemp("sizes"), []
    for number, (height, width) in enumerate(SIZES * 2):
        rng = np.random.default_rng(number)
        disc = np.hypot(*(np.mgrid[:height, :width] - rng.uniform(5, 15, (2, 1, 1)))) < 7
        pixels = rng.normal(90 + 80 * disc[..., None], 20, (height, width, 3)).clip(0, 255).astype(np.uint8)
        image, mask = folder / f"image{number}.png", folder / f"mask{number}.png"
        Image.fromarray(pixels).save(image)
        Image.fromarray(disc.astype(np.uint8) * 255).save(mask)
        record = ImageRecord(image=image, mask=mask, mask_values="binary", height=height, width=width, channels=3)
        split = "train" if number < len(SIZES) else "val"
        records.append(replace(record, split=split, annotated=split == "val" or number % 2 == 0))
    write_manifest(folder / "manifest.csv", records)
    return folder / "manifest.csv"


def settings(manifest: Path, **more):
    changes = {name.replace("__", "."): value for name, value in more.items()}
    return config_from_mapping({"data.manifest": str(manifest), **SMALL, **changes})[0]


def epochs(folder: Path) -> list[dict]:
    rows = [event for event in read_record(folder / "record.jsonl") if event["event"] == "epoch"]
    return [{name: value for name, value in row.items() if name not in NUMBERS_THAT_VARY} for row in rows]


DAN = {
    "strategy": "dan",
    "en__num_fcn_blocks": 2,
    "en__depth_fcn_block": 1,
    "en__first_layer_out_channels": 4,
    "en__first_linear_layer_out_features": 8,
}


UNVALIDATED = {"strategy": "mean_teacher", "data__val_split": "none", "training__best_metric": "epoch"}


@pytest.mark.parametrize("more", [{}, DAN, UNVALIDATED])
def test_a_resumed_run_equals_an_uninterrupted_one_also_where_images_are_streamed(manifest, tmp_path, more):
    config = settings(manifest, training__num_epochs=3, **more)
    train(config, tmp_path / "whole")
    train(config, tmp_path / "two", watch=lambda row: "stopped" if row["epoch"] == 2 else None)
    config = load_run(tmp_path / "two", "last").config
    streamed = replace(config.data, cache_gib=40 * 60 * 4 / 2**30)
    config = replace(config, training=replace(config.training, num_workers=1), data=streamed)
    train(config, tmp_path / "two", resume=True)
    assert epochs(tmp_path / "two") == epochs(tmp_path / "whole")
    whole, resumed = (load_run(tmp_path / name, "last").network.state_dict() for name in ("whole", "two"))
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert "windows of images reduced by 1" in (tmp_path / "whole" / "log.txt").read_text()


@pytest.mark.parametrize(("reduce", "seen"), [(1.0, (24, 32)), (1.3, (31, 42)), (0.5, (12, 16))])
def test_prediction_slides_a_window_at_the_scale_of_training(manifest, tmp_path, monkeypatch, reduce, seen):
    train(settings(manifest, data__reduce=reduce, training__num_epochs=1), tmp_path / "run")
    options = {"run": tmp_path / "run", "weights": None, "tta": False, "overlap": 0.25, "device": "cpu", "ensemble": []}
    loaded, shapes = load_run(tmp_path / "run"), set()
    loaded.network.register_forward_pre_hook(lambda _, inputs: shapes.add(tuple(inputs[0].shape[2:])))
    assert loaded.native_size == seen
    data = loaded.config.data
    predict = partial(
        predict_image, loaded.network, image_size=(24, 32), native_size=seen, mean=data.mean, std=data.std
    )
    for scale in (None, 0.7):
        segment = load_segmenter(Namespace(**options, scale=scale)).segment
        for image in sorted(manifest.parent.glob("image*.png"))[:4]:
            expected = predict(read_image(image), scale=scale or 1 / reduce)
            np.testing.assert_allclose(segment(read_image(image)), expected, atol=1e-5)  # channels-last
    assert shapes == {(24, 32)}


def test_evaluation_at_the_networks_size_is_that_of_validation(manifest, tmp_path):
    history = train(settings(manifest, data__reduce=1.1, training__num_epochs=1), tmp_path / "run")
    assert main(["evaluate", str(tmp_path / "run"), "--split", "val", "--device", "cpu", "--resamples", "100"]) == 0
    figures = json.loads((tmp_path / "run" / "evaluation" / "val" / "metrics.json").read_text())
    assert figures["network_size"]["pooled"]["iou"] == pytest.approx(history[0]["iou_score"])
    assert figures["network_size"]["pooled"]["accuracy"] == pytest.approx(history[0]["val_acc"])
    reduced = sum(round(height / 1.1) * round(width / 1.1) for height, width in SIZES)
    scores = read_scores(tmp_path / "run" / "evaluation" / "val" / "counts.csv")
    assert sum(values.sum() for values in scores.level("network_size").values()) == reduced


def test_the_window_follows_the_data_and_is_what_memory_is_planned_for(manifest):
    config = settings(manifest, data__image_size="auto", data__reduce=2.0)
    resolved = resolve_config(config, gather_data(config))
    assert resolved.data.image_size == (16, 20)  # half of the median image, 32 x 40 (39.5)
    plain = replace(resolved, data=replace(resolved.data, crop=False))
    traces = [trace_training(replace(one, optimizer=replace(one.optimizer, implementation="for_loop")))
              for one in (resolved, plain)]  # fmt: skip
    assert traces[0].peak() == traces[1].peak()


@pytest.mark.parametrize("factor", [0, -1, float("nan"), float("inf")])
def test_a_factor_that_cannot_be_is_refused(manifest, factor):
    with pytest.raises(UserError, match=r"data\.reduce is .*: it divides the size of the images"):
        settings(manifest, data__reduce=factor)
