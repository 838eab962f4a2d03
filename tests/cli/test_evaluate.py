import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from naive_objects import naive_metrics
from skimage.measure import label

from flexdan.cli.evaluation import evaluate_run
from flexdan.cli.main import main
from flexdan.config import PostprocessingConfig
from flexdan.data import read_image, read_manifest, read_mask, write_manifest
from flexdan.data.tensors import resize_image, resize_mask, to_tensor
from flexdan.engine.checkpoint import load_run
from flexdan.inference import predict_image, to_instances


def naive_pooled(pairs):
    """Accuracy and IoU of class 1 over all pixels of (true, predicted) arrays."""
    true = np.concatenate([pair[0].ravel() for pair in pairs])
    predicted = np.concatenate([pair[1].ravel() for pair in pairs])
    both, either = ((true == 1) & (predicted == 1)).sum(), ((true == 1) | (predicted == 1)).sum()
    return {"accuracy": (true == predicted).mean(), "iou": both / either if either else 1.0}


def test_figures_of_a_split_at_both_sizes(make_run, make_manifest, capsys):
    manifest = make_manifest(sizes=((48, 64), (31, 45), (24, 32)))
    run = make_run(manifest=manifest)
    assert main(["evaluate", str(run), "--device", "cpu", "--json"]) == 0
    captured = capsys.readouterr()
    assert "1 unannotated of 4 images are left out" in captured.err
    figures = json.loads(captured.out)
    assert figures == json.loads((run / "evaluation/val/metrics.json").read_text())
    assert (figures["images"], figures["unannotated_left_out"], figures["epoch"]) == (3, 1, 7)

    loaded = load_run(run)
    network_size, full = [], []
    for record in read_manifest(manifest)[:3]:
        images = to_tensor(resize_image(read_image(record.image, 3), (24, 32)), 0.5, 0.25)
        logits = loaded.network(images).detach()
        mask = (read_mask(record.mask) != 0).astype(np.uint8)
        network_size.append((resize_mask(mask, (24, 32)), logits.argmax(1)[0].numpy()))
        pixels = logits.softmax(1)
        if mask.shape != (24, 32):
            from torch.nn.functional import interpolate

            pixels = interpolate(pixels, mask.shape, mode="bilinear", align_corners=False)
        full.append((mask, pixels.argmax(1)[0].numpy()))
    for level, pairs in (("network_size", network_size), ("full_resolution", full)):
        for name, expected in naive_pooled(pairs).items():
            assert figures[level]["pooled"][name] == pytest.approx(expected, abs=1e-4)
        images = [naive_pooled([pair]) for pair in pairs]
        for name in ("accuracy", "iou"):
            mean = np.mean([image[name] for image in images])
            assert figures[level]["image_mean"][name] == pytest.approx(mean, abs=1e-4)

    with (run / "evaluation/val/images.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["grade"] for row in rows] == ["benign"] * 3
    mean = np.mean([float(row["full_resolution_dice"]) for row in rows])
    assert figures["full_resolution"]["image_mean"]["dice"] == pytest.approx(mean, abs=1e-5)


def test_objects_are_those_of_the_definitions_after_post_processing(make_run, make_manifest, capsys):
    manifest = make_manifest()
    run = make_run(manifest=manifest)
    command = ["evaluate", str(run), "--device", "cpu", "--json"]
    assert main([*command, "--threshold", "0.45", "--fill-holes", "--min-size", "4"]) == 0
    figures = json.loads(capsys.readouterr().out)
    loaded = load_run(run)
    settings = PostprocessingConfig(threshold=0.45, fill_holes=True, min_size=4)
    pairs, confident, right = [], [], []
    for record in read_manifest(manifest)[:3]:
        options = {"image_size": (24, 32), "native_size": (48, 64), "mean": 0.5, "std": 0.25}
        probabilities = predict_image(loaded.network, read_image(record.image, 3), **options)
        truth = read_mask(record.mask) != 0
        pairs.append((label(truth, connectivity=2), to_instances(probabilities, settings)))
        confident.append(probabilities.max(0).ravel())
        right.append((probabilities.argmax(0) == truth).ravel())
    expected = naive_metrics(pairs)
    assert {name: figures["objects"]["pooled"][name] for name in expected} == pytest.approx(expected, abs=1e-6)
    confident, right = np.concatenate(confident), np.concatenate(right)
    bins = np.ceil(confident * 15)
    gaps = [abs((confident - right)[bins == one].mean()) * (bins == one).mean() for one in np.unique(bins)]
    assert figures["calibration"]["pooled"]["ece"] == pytest.approx(sum(gaps), abs=1e-5)
    assert figures["postprocessing"]["settings"]["min_size"] == 4


def test_the_same_evaluation_from_another_command(make_run, make_manifest, tmp_path):
    run = make_run(manifest=make_manifest(), weights=("best", "last"))
    assert main(["evaluate", str(run), "--device", "cpu", "--weights", "last", "--tta"]) == 0
    first = (run / "evaluation/val-last-tta/metrics.json").read_text()
    folder = evaluate_run(run, "val", weights="last", tta=True, force=True)
    assert folder == run / "evaluation/val-last-tta"
    assert (folder / "metrics.json").read_text() == first


def test_networks_are_averaged_where_the_run_names_more(make_run, make_manifest, tmp_path, capsys):
    """With itself a network says what it says alone; with another one it says the mean of both."""
    manifest = make_manifest()
    first = make_run(manifest=manifest, name="first")
    other = make_run(manifest=manifest, name="other", weights=("best", "last"))
    words = ["evaluate", str(first), "--device", "cpu", "--seed", "1"]
    assert main(words) == 0
    assert main([*words, "--ensemble", str(first), str(first), "-o", str(tmp_path / "same")]) == 0
    alone, same = (
        json.loads((folder / "metrics.json").read_text()) for folder in (first / "evaluation/val", tmp_path / "same")
    )
    assert same["full_resolution"]["pooled"] == pytest.approx(alone["full_resolution"]["pooled"])
    assert same["network_size"]["pooled"] == pytest.approx(alone["network_size"]["pooled"])
    assert same["ensemble"] == [str(first)] * 2
    assert alone["ensemble"] == []
    capsys.readouterr()
    assert main([*words, "--ensemble", str(other)]) == 0
    assert f"with {other}" in capsys.readouterr().out
    assert (first / "evaluation/val-ensemble/metrics.json").is_file()


def test_networks_that_say_other_things_are_not_averaged(make_run, make_manifest, capsys):
    first = make_run(manifest=make_manifest(), name="first")
    other = make_run(classes=3, name="other")
    assert main(["evaluate", str(first), "--device", "cpu", "--ensemble", str(other)]) == 2
    assert "other with classes 3, where" in capsys.readouterr().err
    assert main(["evaluate", str(first), "--device", "cpu", "--ensemble", str(first / "gone")]) == 2


def test_quarter_turns_are_told(make_run, make_manifest, capsys):
    run = make_run(manifest=make_manifest())
    assert main(["evaluate", str(run), "--device", "cpu", "--tta-turns"]) == 0
    assert "mirror images and quarter turns averaged" in capsys.readouterr().out
    folder = evaluate_run(run, "val", tta="turns", force=True)
    assert folder == run / "evaluation/val-tta-turns"
    assert json.loads((folder / "metrics.json").read_text())["tta"] == "turns"


@pytest.mark.parametrize(("channels", "classes"), [(1, 3), (5, 2)])
def test_table_with_other_channels_and_classes(make_run, make_manifest, capsys, channels, classes):
    run = make_run(channels, classes, make_manifest(channels=channels, classes=classes))
    assert main(["evaluate", str(run), "--device", "cpu", "--tta"]) == 0
    out = capsys.readouterr().out
    assert "32 x 24" in out
    assert "full" in out
    assert ("pixels, class 2" in out) == (classes > 2)
    assert "…" not in out  # nothing is cut off in a narrow terminal
    assert (run / "evaluation/val-tta/metrics.json").is_file()


def test_results_are_not_overwritten_unless_forced(make_run, make_manifest, capsys):
    run = make_run(manifest=make_manifest(), weights=("best", "last"))
    command = ["evaluate", str(run), "--device", "cpu"]
    assert main(command) == 0
    assert main(command) == 2
    assert "--force" in capsys.readouterr().err
    assert main([*command, "--force"]) == 0
    assert main([*command, "--weights", "last"]) == 0
    figures = json.loads((run / "evaluation/val-last/metrics.json").read_text())
    assert (figures["weights"], figures["epoch"]) == ("last", 8)


def test_other_manifest_and_folder(make_run, make_manifest, tmp_path):
    run, out = make_run(), tmp_path / "out"
    manifest = make_manifest(split="b")
    command = ["evaluate", str(run), "--device", "cpu", "--split", "b", "--manifest", str(manifest), "-o", str(out)]
    assert main(command) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "counts.csv",
        "examples.png",
        "images.csv",
        "metrics.json",
        "reliability.svg",
    ]


def test_mistakes_are_named(make_run, make_manifest, tmp_path, capsys):
    def error(*arguments):
        assert main(["evaluate", *map(str, arguments), "--device", "cpu"]) == 2
        return capsys.readouterr().err

    manifest = make_manifest(classes=3)
    run = make_run(manifest=manifest)
    assert "masks in" in error(run)
    assert "but the network 2" in error(run)
    assert "its splits are val" in error(run, "--split", "test")
    assert "say --manifest" in error(make_run(manifest="gone.csv", name="other"))
    assert "--overlap is 1.5" in error(run, "--overlap", "1.5")
    assert "--scale is 0.0" in error(run, "--scale", "0")
    assert "no run folder" in error(tmp_path / "nothing")


def test_split_without_masks(make_run, make_manifest, capsys):
    run = make_run(manifest=make_manifest(sizes=()))
    assert main(["evaluate", str(run), "--device", "cpu"]) == 2
    assert "none of the 1 images in the split 'val'" in capsys.readouterr().err
    assert not (run / "evaluation").exists()


def test_figures_are_those_of_the_validation_during_training(make_manifest, tmp_path):
    manifest, run = make_manifest(), tmp_path / "trained"
    records = read_manifest(manifest)
    write_manifest(manifest, [*records, *(replace(record, split="train") for record in records)])
    settings = ["--sn.first_layer_out_channels=4", "--sn.num_fcn_blocks=3", "--training.num_epochs=1"]
    more = ["--training.device=cpu", "--training.tensorboard=false", "--data.image_size=[24,32]"]
    assert main(["train", f"--data.manifest={manifest}", "-o", str(run), *settings, *more]) == 0
    assert main(["evaluate", str(run), "--device", "cpu"]) == 0
    pooled = json.loads((run / "evaluation/val/metrics.json").read_text())["network_size"]["pooled"]
    names = {"val_acc": "accuracy", "iou_score": "iou", "dice": "dice", "precision": "precision", "recall": "recall"}
    lines = [json.loads(line) for line in (run / "record.jsonl").read_text().splitlines()]
    epoch = next(line for line in lines if line["event"] == "epoch")
    assert {ours: epoch[ours] for ours in names} == {ours: pooled[theirs] for ours, theirs in names.items()}


def test_a_checkpoint_file_is_its_own_weights(make_run, make_manifest, capsys):
    run = make_run(manifest=make_manifest(), weights=("best", "last"))
    for which in ("best", "last"):
        assert main(["evaluate", str(run / "last.ckpt"), "--weights", which, "--device", "cpu"]) == 2
        assert f"last.ckpt is a checkpoint: leave --weights {which} out" in capsys.readouterr().err
    assert main(["evaluate", str(run / "last.ckpt"), "--device", "cpu"]) == 0
    figures = json.loads((run / "evaluation/val-last/metrics.json").read_text())
    assert (figures["weights"], figures["epoch"]) == ("last", 8)
    (run / "last.ckpt").rename(run / "kept.ckpt")
    assert main(["evaluate", str(run / "kept.ckpt"), "--device", "cpu"]) == 0
    assert json.loads((run / "evaluation/val-kept/metrics.json").read_text())["weights"] == "kept"


@pytest.mark.parametrize("place", ["file", "file/below", "file/far/below"])
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_an_output_that_cannot_be_a_folder_stops_before_any_work(make_run, tmp_path, capsys, monkeypatch, place, force):
    monkeypatch.setattr("flexdan.cli.evaluation.load_segmenter", lambda *_: pytest.fail("too late"))
    (tmp_path / "file").write_text("mine")
    assert main(["evaluate", str(make_run()), "--device", "cpu", "-o", str(tmp_path / place), *force]) == 2
    message = f"cannot write into the folder {tmp_path / place}: {tmp_path / 'file'} is a file"
    assert message in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"
