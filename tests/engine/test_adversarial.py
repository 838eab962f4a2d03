"""Adversarial training as a whole: records, resuming, loaders, several processes, variants."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from flexdan.config import UserError, config_from_mapping
from flexdan.config.record import NUMBERS_THAT_VARY
from flexdan.engine import count_all_parameters, load_run, read_record, train
from flexdan.engine.epoch import train_epoch
from flexdan.engine.loaders import batches_per_epoch
from flexdan.engine.setup import build_parts, gather_data, resolve_config
from flexdan.models import count_parameters

SMALL = {
    "use_gan": True,
    "sn.first_layer_out_channels": 4,
    "sn.num_fcn_blocks": 3,
    "en.first_layer_out_channels": 4,
    "en.num_fcn_blocks": 3,
    "en.first_linear_layer_out_features": 8,
    "training.num_epochs": 3,
    "training.batch_size": 2,
    "training.tensorboard": False,
}
OF_THE_EN = {
    *("sigma", "en_loss_annotated", "en_loss_unannotated", "en_accuracy_annotated", "en_accuracy_unannotated"),
    *("en_score_spread", "en_grad_norm", "sn_grad_norm_segmentation", "sn_grad_norm_adversarial", "adversarial_loss"),
    *("en_lr", "en_health", "en_advice", "grad_ratio"),
}


def settings(manifest: Path, **more):
    changes = {name.replace("__", "."): value for name, value in more.items()}
    return config_from_mapping({"data.manifest": str(manifest), **SMALL, **changes})[0]


def epochs(folder: Path) -> list[dict]:
    rows = [event for event in read_record(folder / "record.jsonl") if event["event"] == "epoch"]
    return [{name: value for name, value in row.items() if name not in NUMBERS_THAT_VARY} for row in rows]


def checkpoint(folder: Path, which: str = "last") -> dict:
    return torch.load(folder / f"{which}.ckpt", weights_only=True)


def equal(first, second) -> bool:
    """Compare nested states, tensors bit for bit."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(equal(*pair) for pair in zip(first, second, strict=True))
    return first == second


def same_run(first: Path, second: Path) -> None:
    assert epochs(first) == epochs(second)
    for part in ("sn", "en", "training"):
        assert equal(checkpoint(first)[part], checkpoint(second)[part]), part


def test_the_record_tells_how_the_en_stands_from_its_first_epoch_on(discs, tmp_path, capsys):
    config = settings(discs, gan_start_epoch=2, sigma=0.2, sigma_weight=10, training__tensorboard=True)
    train(config, tmp_path)
    start, first, second, third, _ = read_record(tmp_path / "record.jsonl")
    assert start["unannotated"] == 3
    assert start["en_parameters"] > 0
    assert not OF_THE_EN & set(first)
    assert set(second) >= OF_THE_EN
    assert (second["sigma"], third["sigma"]) == (pytest.approx(0.4), pytest.approx(0.5))
    assert (first["sn_updates"], second["sn_updates"]) == (3, 6)  # separate: two for each of 3 annotated batches
    assert second["grad_ratio"] == pytest.approx(
        second["sn_grad_norm_adversarial"] / second["sn_grad_norm_segmentation"]
    )
    said = capsys.readouterr().out
    assert re.search(r"against FlexVGG, [\d,]+ parameters, from epoch 2 on, with 3 unannotated training images", said)
    assert len(re.findall(r"EN (healthy|saturated|collapsed|idle): ", said)) == 2
    assert f"EN {third['en_health']}: {third['en_advice']}" in said
    scalars = read_tensorboard(tmp_path / "tensorboard")
    assert scalars["en_accuracy_annotated"] == [(2, pytest.approx(second["en_accuracy_annotated"])),
                                                (3, pytest.approx(third["en_accuracy_annotated"]))]  # fmt: skip
    assert "en_health/text_summary" in scalars


def read_tensorboard(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    found = {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    return found | {tag: [] for tag in events.Tags()["tensors"]}


def test_the_same_seed_gives_the_same_numbers(discs, tmp_path):
    for name in ("a", "b"):
        train(settings(discs), tmp_path / name)
    same_run(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize("scheduler", ["OneCycle", "ReduceLROnPlateau"])
def test_a_run_killed_in_an_epoch_and_resumed_equals_an_uninterrupted_one(discs, tmp_path, scheduler):
    config = settings(
        discs, training__num_epochs=4, gan_start_epoch=2, scheduler__scheduler_type=scheduler, scheduler__patience=0
    )
    train(config, tmp_path / "whole")
    code = f"""
import os, signal, sys
import flexdan.engine.epoch as epoch
build = epoch.build_step
def deadly(config, number, *more):
    calls.append(number)
    if calls.count(3) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return build(config, number, *more)
calls, epoch.build_step = [], deadly
from flexdan.cli.main import main
sys.exit(main(["train", "--config", {str(tmp_path / "whole" / "config.yaml")!r}, "-o", {str(tmp_path / "killed")!r}]))
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert finished.returncode == -signal.SIGKILL, finished.stderr.decode()
    assert len(epochs(tmp_path / "killed")) == 2
    train(load_run(tmp_path / "killed", "last").config, tmp_path / "killed", resume=True)
    same_run(tmp_path / "whole", tmp_path / "killed")


def test_the_en_is_at_rest_before_its_first_epoch(discs, tmp_path, monkeypatch):
    config = settings(discs, gan_start_epoch=3)

    def stop(*arguments):
        if arguments[2] == 3:
            raise KeyboardInterrupt
        return train_epoch(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("flexdan.engine.loop.train_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "rest")
    assert checkpoint(tmp_path / "rest")["epoch"] == 2
    fresh = dict(build_parts(load_run(tmp_path / "rest").config, gather_data(config)).players.en.bare.state_dict())
    assert equal(checkpoint(tmp_path / "rest")["en"], fresh)
    assert checkpoint(tmp_path / "rest")["training"]["en"]["optimizer"]["state"] == {}
    train(config, tmp_path / "played")
    assert not equal(checkpoint(tmp_path / "played")["en"], fresh)
    optimizer = checkpoint(tmp_path / "played")["training"]["en"]["optimizer"]
    assert {state["step"].item() for state in optimizer["state"].values()} == {3}  # the updates of one epoch


@pytest.mark.parametrize("strategy", ["dan", "supervised"])
def test_masks_of_unannotated_images_are_never_opened(discs, tmp_path, strategy):
    """They are garbage in this set; and what stands in the images does matter to dan alone."""
    manifest = discs.parent / f"other_{strategy}.csv"
    manifest.write_text(discs.read_text().replace("image6.png", "image7.png"))
    for name, file in (("one", discs), ("other", manifest)):
        train(settings(file, use_gan=strategy == "dan", training__num_epochs=1), tmp_path / name)
    assert equal(checkpoint(tmp_path / "one")["sn"], checkpoint(tmp_path / "other")["sn"]) == (strategy == "supervised")


def test_half_batch_needs_no_unannotated_images_and_uses_none(discs, tmp_path):
    lone = discs.parent / "lone.csv"
    lone.write_text("\n".join(line for line in discs.read_text().splitlines() if ",no," not in line))
    config = settings(lone, adversarial__unannotated_source="half_batch", training__batch_size=3)
    train(config, tmp_path / "half")
    assert epochs(tmp_path / "half")[0]["sn_updates"] == 4  # 2 batches of 3: 2 annotated images and 1 that plays
    with pytest.raises(UserError, match="all 6 images of the split 'train' are annotated"):
        train(settings(lone), tmp_path / "split")
    with pytest.raises(UserError, match=r"training.batch_size is 2.*would see 2 images at once"):
        settings(lone, adversarial__unannotated_source="half_batch")
    with pytest.raises(UserError, match=r"training.batch_size is 1.*would see 2 images at once"):
        settings(lone, training__batch_size=1)
    settings(lone, training__batch_size=1, use_gan=False)


@pytest.mark.parametrize(
    ("more", "annotated", "unannotated", "processes", "batches"),
    [
        ({}, 9, 76, 1, 38),  # the larger of both, in batches of 2
        ({}, 85, 10, 1, 43),
        ({"training__unannotated_batch_size": 8}, 9, 76, 1, 10),
        ({"training__unannotated_batch_size": 38}, 9, 76, 1, 5),  # then the annotated images are the longer
        ({}, 9, 76, 2, 19),
        ({"training__updates_per_epoch": 7, "training__gradient_accumulation_steps": 3}, 9, 76, 1, 21),
        ({"use_gan": False}, 9, 76, 1, None),  # as they are
        ({"use_gan": False, "training__updates_per_epoch": 20}, 9, 76, 2, 20),
    ],
)
def test_the_length_of_an_epoch(discs, more, annotated, unannotated, processes, batches):
    assert batches_per_epoch(settings(discs, **more), annotated, unannotated, processes) == batches


def test_both_loaders_give_as_many_full_batches_and_the_shorter_starts_over(discs):
    config = settings(discs, training__unannotated_batch_size=1, training__updates_per_epoch=7)
    data = gather_data(config)
    parts = build_parts(resolve_config(config, data), data)
    assert [len(loader) for loader in parts.loaders] == [7, 7]
    assert {len(images) for images, _ in parts.train_loader} == {2}
    unannotated = [images for images, _ in parts.unannotated_loader]
    assert {len(images) for images in unannotated} == {1}
    all_of_them = [image for image, _ in parts.unannotated_loader.dataset]
    seen = [[torch.equal(image, one[0]) for image in all_of_them].index(True) for one in unannotated]
    assert sorted(seen[:3]) == sorted(seen[3:6]) == [0, 1, 2]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("sn_update", ["separate", "joint"])
def test_accumulation_and_variants_train(discs, tmp_path, accumulate, sn_update):
    config = settings(
        discs,
        adversarial__sn_update=sn_update,
        adversarial__en_input="mask",
        adversarial__label_smoothing=0.1,
        adversarial__en_steps=2,
        en__spectral_norm=True,
        en_lr=0.0005,
        optimizer__max_grad_norm=1.0,
        training__gradient_accumulation_steps=accumulate,
        training__num_epochs=1,
        training__updates_per_epoch=2,
    )
    train(config, tmp_path)
    assert epochs(tmp_path)[0]["sn_updates"] == (4 if sn_update == "separate" else 2)


@pytest.mark.parametrize(("criterion", "undecided"), [("least_squares", "0.25"), ("hinge", "2")])
def test_other_losses_of_an_en_that_judges_patches(discs, tmp_path, capsys, criterion, undecided):
    """Batch norm asks for no third image, since there is none."""
    config = settings(discs, en_criterion=criterion, en__model_type="PatchEN", training__batch_size=1)
    train(config, tmp_path)
    assert f"(undecided: {undecided})" in capsys.readouterr().out
    assert checkpoint(tmp_path)["en"]["classifier.weight"].shape[:2] == (1, 16)
    with pytest.raises(UserError, match=r"en.num_fcn_blocks is 6, but images of 32x40 pixels cannot"):
        train(settings(discs, en__model_type="PatchEN", en__num_fcn_blocks=6), tmp_path / "deep")
    with pytest.raises(UserError, match=r"label_smoothing is 0.1, but adversarial.en_criterion is hinge"):
        settings(discs, en_criterion="hinge", adversarial__label_smoothing=0.1)


@pytest.mark.parametrize(("en_input", "channels"), [("concatenate", 3 + 2), ("mask", 3 * 2), ("map", 2)])
def test_more_than_two_classes(discs, tmp_path, en_input, channels):
    manifest = discs.parent / "three.csv"
    manifest.write_text(discs.read_text().replace("binary", "0=0 1=1 255=2"))
    train(settings(manifest, adversarial__en_input=en_input, training__num_epochs=1), tmp_path)
    assert checkpoint(tmp_path)["en"]["input_block.0.0.weight"].shape[1] == channels
    assert epochs(tmp_path)[0]["grad_ratio"] > 0


def test_an_en_that_trains_alone_is_led_by_no_metric(discs, tmp_path):
    frozen = settings(
        discs,
        adversarial__freeze="sn",
        training__early_stopping_patience=1,
        scheduler_type="ReduceLROnPlateau",
        scheduler_patience=0,
        training__num_epochs=4,
    )
    train(frozen, tmp_path)
    assert [row["en_lr"] for row in epochs(tmp_path)] == [0.002] * 4


def test_a_frozen_sn_keeps_its_weights_and_trains_an_en_that_another_run_starts_from(discs, tmp_path):
    train(settings(discs, use_gan=False), tmp_path / "sn")
    train(settings(discs, init_sn=str(tmp_path / "sn"), adversarial__freeze="sn"), tmp_path / "en")
    assert equal(checkpoint(tmp_path / "sn", "best")["sn"], checkpoint(tmp_path / "en")["sn"])
    assert "grad_ratio" not in epochs(tmp_path / "en")[0]
    both = settings(
        discs, init_sn=str(tmp_path / "sn"), init_en=str(tmp_path / "en"), adversarial__freeze="en", gan_start_epoch=1
    )
    train(both, tmp_path / "both")
    assert equal(checkpoint(tmp_path / "en", "last")["en"], checkpoint(tmp_path / "both")["en"])
    assert checkpoint(tmp_path / "en", "best")["en"] == {}
    assert not equal(checkpoint(tmp_path / "en")["sn"], checkpoint(tmp_path / "both")["sn"])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"init_en": "SUPERVISED"}, "has no evaluation network"),
        ({"adversarial__freeze": "en"}, "adversarial.freeze is en, but a fresh EN knows nothing"),
        ({"en__input_channels": 9}, "en.input_channels is 9, but image and maps have 4 channels"),
        ({"adversarial__freeze": "sn", "gan_start_epoch": 2}, "before that only the SN trains"),
        ({"gan_start_epoch": 4}, "adversarial.gan_start_epoch is 4, but training.num_epochs is 3"),
        (
            {"optimizer__lr": 1e30, "optimizer__optimizer_type": "sgd", "training__precision": "fp32"},
            r"loss is (nan|inf)",
        ),
    ],
)
def test_mistakes_are_refused(discs, tmp_path, more, message):
    if more.get("init_en"):
        train(settings(discs, use_gan=False, training__num_epochs=1), tmp_path / "supervised")
        more = {"init_en": str(tmp_path / "supervised")}
    with pytest.raises(UserError, match=message):
        train(settings(discs, **more), tmp_path / "run")


def test_two_processes_train_both_networks_alike(discs, tmp_path):
    file = tmp_path / "two.yaml"
    more = {
        "training.batch_size": 1,
        "training.unannotated_batch_size": 2,
        "training.updates_per_epoch": 2,
        "training.gradient_accumulation_steps": 2,
    }
    file.write_text(yaml.safe_dump({"data.manifest": str(discs), **SMALL, **more, "training.num_epochs": 2}))
    watch = tmp_path / "watch.py"
    watch.write_text(f"""
import json, os, sys
import flexdan.engine.loop as loop
def tell(parts):
    norms = {{name: [float(w.double().norm()) for w in player.bare.parameters()]
             for name, player in (("sn", parts.players.sn), ("en", parts.players.en))}}
    with open({str(tmp_path)!r} + f"/norms{{os.environ['RANK']}}.json", "w") as file:
        json.dump(norms, file)
validate = loop.validate
def check(parts, *more):
    tell(parts)
    return validate(parts, *more)
loop.validate = check
from flexdan.cli.main import main
sys.exit(main(["train", "--config", {str(file)!r}, "-o", {str(tmp_path / "run")!r}, "--training.device", "cpu"]))
""")
    port = str(20000 + (os.getpid() + 7) % 20000)
    command = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", port, str(watch)]
    finished = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, timeout=300)
    assert finished.returncode == 0, finished.stderr
    first, second = (json.loads((tmp_path / f"norms{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert [row["sn_updates"] for row in epochs(tmp_path / "run")] == [4, 4]
    optimizer = checkpoint(tmp_path / "run")["training"]["en"]["optimizer"]
    assert {state["step"].item() for state in optimizer["state"].values()} == {4}


def test_parameters_are_counted_without_making_them(discs):
    config = settings(discs, data__image_size=[32, 40])
    data = gather_data(config)
    players = build_parts(resolve_config(config, data), data).players
    assert count_all_parameters(config) == count_parameters(players.sn.bare) + count_parameters(players.en.bare)
