"""Training from unannotated images without an EN, or beside one, and averages of the weights."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from flexdan.config import IGNORE, UserError, config_from_mapping
from flexdan.config.errors import CannotResumeError
from flexdan.config.record import NUMBERS_THAT_VARY
from flexdan.data.contours import CONTOUR
from flexdan.data.tensors import to_tensor
from flexdan.engine import count_all_parameters, epoch, load_run, read_record, train
from flexdan.engine.epoch import train_epoch
from flexdan.engine.generations import best_judged
from flexdan.engine.loaders import batches_per_epoch, make_dataset
from flexdan.engine.setup import build_en, build_parts, gather_data, resolve_config
from flexdan.engine.start import start_run

SMALL = {
    "sn.first_layer_out_channels": 6,
    "sn.num_fcn_blocks": 3,
    "en.first_layer_out_channels": 4,
    "en.num_fcn_blocks": 3,
    "en.first_linear_layer_out_features": 8,
    "training.num_epochs": 3,
    "training.batch_size": 2,
    "training.tensorboard": False,
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
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(equal(*pair) for pair in zip(first, second, strict=True))
    return first == second


def same_run(first: Path, second: Path) -> None:
    assert epochs(first) == epochs(second)
    one, other = checkpoint(first), checkpoint(second)
    assert one.keys() == other.keys()
    for part in one.keys() - {"history", "config"}:
        assert equal(one[part], other[part]), part


RESUMED = {
    "mean_teacher": {"unannotated__uncertainty_passes": 2},
    "fixmatch": {"unannotated__labels_from": "student", "unannotated__confidence": 0.5},
    "unimatch": {"unannotated__confidence": 0.5},
    "cross_pseudo_supervision": {"scheduler__scheduler_type": "ReduceLROnPlateau", "scheduler__patience": 0},
    "entropy_minimisation": {},
    "self_training": {"unannotated__generations": 3},  # a new one begins
    "self_training, within a generation": {"strategy": "self_training", "training__num_epochs": 4},
    "batch_norm_only": {},
    "dan+mean_teacher": {"gan_start_epoch": 2},
    "dan+en_confidence": {
        "gan_start_epoch": 2,
        "en__model_type": "PatchEN",
        "en__output": "pixel",
        "en_criterion": "least_squares",
    },
    "dan+self_training": {"training__num_epochs": 4, "en__model_type": "PatchEN"},
    "supervised": {"training__weight_averaging": "swa", "training__swa_start": 0.5},
}


@pytest.mark.parametrize("strategy", RESUMED)
def test_a_run_that_is_stopped_and_resumed_equals_an_uninterrupted_one(discs, tmp_path, monkeypatch, strategy):
    """Stopped in its last epoch, after an update."""
    config = settings(discs, **{"strategy": strategy, "augmentation__scale": [0.8, 1.2], **RESUMED[strategy]})
    train(config, tmp_path / "whole")

    def stop(parts, config, epoch, progress):
        if epoch == config.training.num_epochs:
            torch.rand(7)
            raise KeyboardInterrupt
        return train_epoch(parts, config, epoch, progress)

    with monkeypatch.context() as patch:
        patch.setattr("flexdan.engine.loop.train_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "stopped")
    train(load_run(tmp_path / "stopped", "last").config, tmp_path / "stopped", resume=True)
    same_run(tmp_path / "whole", tmp_path / "stopped")


def test_the_record_tells_what_the_term_does_and_how_its_weight_rises(discs, tmp_path, capsys):
    config = settings(discs, strategy="dan+fixmatch", unannotated__weight=2.0, unannotated__ramp_up=0.5)
    train(config, tmp_path)
    rows = epochs(tmp_path)
    assert {"unannotated_loss", "confident_share", "en_health", "grad_ratio", "en_lr"} <= set(rows[0])
    assert [row["sn_updates"] for row in rows] == [3, 3, 3]
    assert rows[0]["unannotated_weight"] < rows[1]["unannotated_weight"] < rows[2]["unannotated_weight"] == 2
    said = capsys.readouterr().out
    assert "fixmatch with 3 unannotated training images, its weight 2, reached after 50% of the updates" in said
    assert "an average of the weights (exponential, decay 0.99) is what is validated and kept" in said


def watch_steps(monkeypatch, look) -> None:
    """Let a function see players and batches after every step."""
    original = epoch.build_step

    def watched(*arguments):
        step = original(*arguments)

        def do(players, batches, means):
            result = step(players, batches, means)
            look(players, batches)
            return result

        return do

    monkeypatch.setattr(epoch, "build_step", watched)


@pytest.mark.parametrize("colours", [False, True])
def test_strong_views_show_the_same_places_in_other_colours(discs, tmp_path, monkeypatch, colours):
    """Without changes of colour a strong view is the weak one, pixel for pixel, whatever the geometry."""
    quiet = {f"unannotated__strong_{name}": 0.0 for name in ("brightness", "contrast", "saturation", "hue", "blur")}
    seen = []
    watch_steps(monkeypatch, lambda players, batches: seen.extend(batches))
    config = settings(discs, strategy="mean_teacher", augmentation__rotation=30, **({} if colours else quiet))
    train(config, tmp_path)
    for batch in seen:
        (strong,) = batch.strong
        assert strong.shape == batch.unannotated.shape
        assert torch.equal(strong, batch.unannotated) != colours
    assert len({batch.seed for batch in seen}) == len(seen) == 9


@pytest.mark.parametrize("averaging", ["ema", "swa"])
def test_the_average_is_what_is_validated_kept_and_used(discs, tmp_path, averaging):
    config = settings(discs, training__weight_averaging=averaging, training__swa_start=0.0, training__ema_decay=0.7)
    train(config, tmp_path / "run")
    last = checkpoint(tmp_path / "run")
    assert not equal(last["average"], last["sn"])
    assert equal(dict(load_run(tmp_path / "run", "last").network.state_dict()), last["average"])
    best = checkpoint(tmp_path / "run", "best")
    assert "average" not in best
    assert best["epoch"] == 3
    assert equal(best["sn"], last["average"])
    plain = settings(discs)
    train(plain, tmp_path / "plain")
    assert equal(checkpoint(tmp_path / "plain")["sn"], last["sn"])  # averaging changes nothing of the training
    assert [row["val_loss"] for row in epochs(tmp_path / "plain")] != [
        row["val_loss"] for row in epochs(tmp_path / "run")
    ]


def test_the_average_equals_one_that_is_kept_by_hand(discs, tmp_path, monkeypatch):
    """Of 9 updates, the mean of the last 5."""
    config = settings(discs, training__weight_averaging="swa", training__swa_start=0.45)
    weights = []
    watch_steps(
        monkeypatch, lambda players, batches: weights.append(copy.deepcopy(dict(players.sn.bare.named_parameters())))
    )
    train(config, tmp_path)
    average = checkpoint(tmp_path)["average"]
    for name in weights[0]:
        expected = torch.stack([one[name] for one in weights[4:]]).mean(0)
        torch.testing.assert_close(average[name], expected, rtol=1e-4, atol=1e-6)


def test_the_first_teacher_is_the_network_that_the_run_starts_from(discs, tmp_path):
    train(settings(discs, training__num_epochs=1), tmp_path / "first")
    config = settings(discs, strategy="mean_teacher", init_sn=str(tmp_path / "first"))
    data = gather_data(config)
    config = resolve_config(config, data)
    parts = build_parts(config, data)
    start_run(parts, config, data, tmp_path / "second")
    assert equal(dict(parts.players.average.state_dict()), checkpoint(tmp_path / "first", "best")["sn"])
    assert count_all_parameters(config) == sum(weight.numel() for weight in parts.players.sn.bare.parameters())


@pytest.mark.parametrize(("strategy", "batches"), [("mean_teacher", 38), ("batch_norm_only", 38), ("supervised", None)])
def test_an_epoch_goes_over_the_larger_set(discs, strategy, batches):
    assert batches_per_epoch(settings(discs, strategy=strategy), 9, 76, 1) == batches


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"training__weight_averaging": "none"}, "labels come from an average.*weight_averaging is none: say auto or"),
        ({"training__weight_averaging": "swa"}, "weight_averaging is swa: say auto or ema$"),
        ({"unannotated__labels_from": "student"}, "where the average teaches: say average, or take the strategy fixm"),
        (
            {"strategy": "fixmatch", "training__weight_averaging": "none"},
            "say auto or ema, or unannotated.labels_from student",
        ),
        ({"strategy": "dan+fixmatch", "adversarial__freeze": "sn"}, "in which the SN learns"),
        ({"strategy": "dan+fixmatch", "adversarial__unannotated_source": "half_batch"}, "half_batch.*say split"),
        ({"strategy": "teacher"}, "mean_teacher"),
        ({"unannotated__confidence": 1.0}, "unannotated.confidence is 1.0: it must be at least 0 and below 1"),
        ({"unannotated__weight": -1}, "unannotated.weight is -1.0: it must be 0 or more"),
        ({"unannotated__cutmix": 1.5}, "unannotated.cutmix is 1.5: it must be 0 to 1"),
        ({"training__ema_decay": 1.0}, "training.ema_decay is 1.0: it must be at least 0 and below 1"),
    ],
)
def test_mistakes_are_refused(discs, more, message):
    with pytest.raises(UserError, match=message):
        settings(discs, **{"strategy": "mean_teacher", **more})


def test_two_networks_begin_apart_and_both_are_kept(discs, tmp_path):
    train(settings(discs, strategy="cross_pseudo_supervision"), tmp_path)
    last, best = checkpoint(tmp_path), checkpoint(tmp_path, "best")
    assert last["second"].keys() == last["sn"].keys()
    assert not equal(last["second"], last["sn"])
    assert set(last["training"]) == {"sn", "second"}
    assert "second" not in best
    row = epochs(tmp_path)[0]
    assert 0 < row["agreement"] < 1
    assert row["second_lr"] == row["lr"]
    assert row["train_loss"] != row["second_loss"]


def test_a_network_that_hides_its_features_is_refused(discs):
    own = {"sn__model_type": "monai.networks.nets.BasicUNet", "data__image_size": [32, 48]}
    own["sn__model_args"] = {"spatial_dims": 2, "in_channels": 3, "out_channels": 2}
    config = settings(discs, strategy="unimatch", **own)
    data = gather_data(config)
    with pytest.raises(UserError, match=r"BasicUNet has no argument `perturb`.*or take the strategy fixmatch"):
        build_parts(resolve_config(config, data), data)


def test_unannotated_images_are_needed(discs):
    lone = discs.parent / "lone.csv"
    lone.write_text("\n".join(line for line in discs.read_text().splitlines() if ",no," not in line))
    with pytest.raises(UserError, match=r"strategy is fixmatch, but all 6 images .* 10%\)$"):
        gather_data(settings(lone, strategy="fixmatch"))


def test_a_generation_starts_anew_from_labels_of_the_one_before(discs, tmp_path, monkeypatch, capsys):
    """Equal first epochs; the second generation begins with the initial weights, rate and labels by the average."""
    config = settings(discs, strategy="self_training", training__num_epochs=4, training__weight_averaging="ema")
    alone = settings(discs, strategy="supervised", training__num_epochs=2, training__weight_averaging="ema",
                     training__updates_per_epoch=3)  # fmt: skip
    train(alone, tmp_path / "alone")
    starts, labels = [], []

    def look(parts, config, number, progress):
        starts.append(copy.deepcopy(dict(parts.players.sn.bare.state_dict())))
        if number == 3:
            dataset = parts.unannotated_loader.dataset
            labels.extend(dataset[index] for index in range(len(dataset)))
            assert equal(dict(parts.players.average.state_dict()), starts[-1])
            assert not parts.players.sn.optimizer.state
        return train_epoch(parts, config, number, progress)

    monkeypatch.setattr("flexdan.engine.loop.train_epoch", look)
    train(config, tmp_path / "run")
    rows, first = epochs(tmp_path / "run"), epochs(tmp_path / "alone")
    assert [row["val_loss"] for row in rows[:2]] == [row["val_loss"] for row in first]
    assert equal(starts[2], starts[0])
    assert [row["lr"] for row in rows[2:]] == [row["lr"] for row in rows[:2]]
    assert ["unannotated_loss" in row for row in rows] == [False, False, True, True]
    teacher = load_run(tmp_path / "alone", "last")
    with np.load(tmp_path / "run" / "pseudo_labels.npz") as content:
        kept = [content[name] for name in content.files]
    for (pixels, classes), saved in zip(labels, kept, strict=True):
        images = to_tensor(pixels[None], teacher.config.data.mean, teacher.config.data.std)
        with torch.inference_mode():
            flipped = [teacher.network(images.flip(axes)).softmax(1).flip(axes) for axes in ((), (2,), (3,), (2, 3))]
        mean = torch.stack(flipped).mean(0)[0]
        sure = (mean[1] - mean[0]).abs() > 0.02  # bf16 may turn what is even
        assert torch.equal(classes[sure].long(), mean.argmax(0)[sure])
        assert sure.float().mean() > 0.5
        assert np.array_equal(saved, classes)
    assert "generation 2 of 2 starts anew: 3 unannotated images have labels" in capsys.readouterr().out


def test_labels_of_a_network_with_contours_are_marked_as_masks_are(discs, tmp_path):
    config = settings(discs, strategy="self_training", training__num_epochs=2, sn__contour_width=1,
                      training__updates_per_epoch=20)  # fmt: skip
    train(config, tmp_path)
    with np.load(tmp_path / "pseudo_labels.npz") as content:
        found = set(np.concatenate([content[name].ravel() for name in content.files]).tolist())
    assert found == {0, 1, 1 + CONTOUR}


def test_the_en_chooses_the_labels_of_the_next_generation(discs, tmp_path, capsys):
    """They are those of an equal training of `dan` where its EN, asked anew, gives the higher scores."""
    more = {"en__model_type": "PatchEN", "adversarial__en_input": "map", "training__updates_per_epoch": 10}
    more |= {"adversarial__en_lr": 0.02, "scheduler__scheduler_type": "none", "training__precision": "fp32"}
    train(settings(discs, strategy="dan+self_training", training__num_epochs=2, unannotated__en_share=0.6, **more),
          tmp_path / "run")  # fmt: skip
    train(settings(discs, strategy="dan", training__num_epochs=1, adversarial__sn_update="joint", **more),
          tmp_path / "dan")  # fmt: skip
    teacher = load_run(tmp_path / "dan", "last")
    en = build_en(teacher.config)
    en.load_state_dict(checkpoint(tmp_path / "dan")["en"])
    data = gather_data(teacher.config)
    images = [make_dataset(teacher.config, [record], 0)[0][0] for record in data.unannotated]
    scores, classes = [], []
    for pixels in images:
        image = to_tensor(pixels[None].numpy()[0], teacher.config.data.mean, teacher.config.data.std)
        with torch.inference_mode():
            flipped = [teacher.network(image.flip(axes)).softmax(1).flip(axes) for axes in ((), (2,), (3,), (2, 3))]
            mean = torch.stack(flipped).mean(0)
            share = torch.sigmoid(en.eval()(mean[:, 1:]))
        scores.append(torch.nn.functional.interpolate(share, image.shape[2:], mode="bilinear")[0, 0])
        classes.append(mean[0].argmax(0))
    scores, classes = torch.stack(scores), torch.stack(classes)
    with np.load(tmp_path / "run" / "pseudo_labels.npz") as content:
        kept = torch.from_numpy(np.stack([content[name] for name in content.files]))
    assert (kept != IGNORE).float().mean().item() == pytest.approx(0.6, abs=0.01)
    assert ((scores >= scores.quantile(0.4)) == (kept != IGNORE)).float().mean() > 0.99
    assert (classes == kept)[kept != IGNORE].float().mean() > 0.99
    assert "of epoch 1 where the EN's score is highest (60% of the pixels), " in capsys.readouterr().out


def test_best_judged_labels_by_hand():
    labels = [np.array([[0, 1], [1, 0]], np.uint8), np.array([[1, 1]], np.uint8)]
    scores = [np.array([[0.1, 0.9], [0.5, 0.5]]), np.array([[0.2, 0.7]])]
    half = best_judged(labels, scores, 0.5)  # the limit is 0.5, which two pixels have
    assert [one.tolist() for one in half] == [[[IGNORE, 1], [1, 0]], [[IGNORE, 1]]]
    assert [one.tolist() for one in best_judged(labels, scores, 1.0)] == [one.tolist() for one in labels]
    assert [one.dtype for one in half] == [np.uint8, np.uint8]


def test_a_run_whose_labels_are_lost_is_not_resumed(discs, tmp_path):
    config = settings(discs, strategy="self_training", training__num_epochs=4)
    stopped = []
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path, watch=lambda row: stopped.append(row) or _stop_after(row, 3))
    (tmp_path / "pseudo_labels.npz").write_bytes(b"nothing")
    with pytest.raises(CannotResumeError, match=r"pseudo_labels.npz is missing or broken"):
        train(config, tmp_path, resume=True)


def _stop_after(row, number):
    if row["epoch"] == number:
        raise KeyboardInterrupt
    return ""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"training__num_epochs": 5}, "num_epochs is 5, which 2 generations of equal length cannot share: say 6"),
        ({"training__early_stopping_patience": 3}, "early_stopping_patience is 3.*say 0"),
        ({"unannotated__generations": 1}, "generations is 1: it must be 2 or more"),
        (
            {"strategy": "dan+self_training", "data__crop": True, "data__image_size": [16, 16]},
            "crop is true.*say false",
        ),
        ({"strategy": "dan+self_training", "adversarial__gan_start_epoch": 3}, "gan_start_epoch is 3.*say 2 at most"),
        ({"unannotated__en_share": 0}, "en_share is 0.0: it must be above 0, and 1 at most"),
    ],
)
def test_generations_that_cannot_be(discs, more, message):
    with pytest.raises(UserError, match=message):
        settings(discs, **{"strategy": "self_training", "training__num_epochs": 4} | more)
