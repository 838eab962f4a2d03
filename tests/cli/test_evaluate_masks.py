import json

import numpy as np
import pytest
import tifffile
from naive_objects import naive_metrics
from PIL import Image

from flexdan.cli.main import main
from flexdan.data import read_manifest, read_mask, write_manifest
from flexdan.metrics import read_scores


def write_labels(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels.astype(np.uint16)).save(path)


@pytest.fixture
def labels(tmp_path):
    """Folders truth/ and found/ with label images of three pictures, and the pairs."""
    random = np.random.default_rng(5)
    pairs = []
    for number in range(3):
        truth = np.zeros((40, 50), int)
        for label in range(1, 6):
            row, column = random.integers(0, 30, 2)
            truth[row : row + 9, column : column + 9] = 300 * label
        found = np.where(random.random(truth.shape) < 0.1, 0, np.roll(truth, 1, 0))
        write_labels(tmp_path / "truth" / f"image{number}_anno.png", truth)
        write_labels(tmp_path / "found" / f"image{number}.png", found)
        pairs.append((truth, found))
    return pairs


def command(tmp_path, *more):
    words = ["evaluate", "--predictions", tmp_path / "found", "--truth", tmp_path / "truth", "--json", *more]
    return list(map(str, words))


INSTANCES = ("--truth-values", "instances", "--prediction-values", "instances")


def test_figures_are_those_of_the_definitions(labels, tmp_path, capsys):
    assert main(command(tmp_path, *INSTANCES)) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures == json.loads((tmp_path / "found/evaluation/metrics.json").read_text())
    expected = naive_metrics(labels)
    objects = figures["objects"]
    assert {name: objects["pooled"][name] for name in expected} == pytest.approx(expected)
    images = [naive_metrics([pair]) for pair in labels]
    for name in expected:
        assert objects["image_mean"][name] == pytest.approx(np.mean([one[name] for one in images]))
        for way in ("pooled", "image_mean"):
            low, high = objects[f"{way}_interval"][name]
            assert low <= objects[way][name] <= high
    assert objects["pooled"]["hd95"] is None
    assert objects["image_mean"]["hd95"] > 0
    foreground = [(truth > 0, found > 0) for truth, found in labels]
    both, either = (sum(f(a, b).sum() for a, b in foreground) for f in (np.logical_and, np.logical_or))
    assert figures["full_resolution"]["pooled"]["iou"] == pytest.approx(both / either)
    assert "network_size" not in figures
    assert "calibration" not in figures


def test_the_table_names_both_ways(labels, tmp_path, capsys):
    assert main([word for word in command(tmp_path, *INSTANCES) if word != "--json"]) == 0
    out = capsys.readouterr().out
    assert "all objects (as the challenge)" in out
    assert "mean of images" in out
    assert f"{naive_metrics(labels)['f1']:.3f} [" in out
    assert "bootstrap over images, 2000 resamples" in out


def test_masks_without_objects_have_one_for_each_connected_region(labels, tmp_path):
    for folder in ("truth", "found"):
        for path in (tmp_path / folder).iterdir():
            write_labels(path, (read_mask(path) > 0) * 255)
    assert main(command(tmp_path)) == 0
    counts = read_scores(tmp_path / "found/evaluation/counts.csv").counts
    from scipy.ndimage import label

    expected = [label(truth > 0, np.ones((3, 3)))[1] for truth, _ in labels]
    assert counts["objects.truth_objects"].tolist() == expected


def test_objects_of_several_classes_are_measured_without_their_classes(make_manifest, tmp_path, capsys):
    manifest = make_manifest(classes=3)
    for record in read_manifest(manifest)[:3]:
        write_labels(tmp_path / "found" / f"{record.name}.png", read_mask(record.mask) % 9)
    words = ["evaluate", "--predictions", tmp_path / "found", "--manifest", manifest, "--prediction-values", "binary"]
    assert main([*map(str, words)]) == 0
    told = capsys.readouterr()
    assert "the truth has 3 classes, which predictions of binary do not tell" in told.err
    assert "pixels, full resolution" not in told.out
    assert "objects, GlaS challenge" in told.out


def test_masks_that_are_not_measured_and_blurred_ones_are_told(labels, tmp_path, capsys):
    write_labels(tmp_path / "found" / "more.png", np.zeros((3, 3)))
    assert main(command(tmp_path, *INSTANCES)) == 0
    assert "1 mask in" in capsys.readouterr().err
    Image.fromarray(np.zeros((40, 50), np.uint8)).save(tmp_path / "found" / "image0.jpg")
    (tmp_path / "found" / "image0.png").unlink()
    for number in (1, 2):
        write_labels(tmp_path / "found" / f"image{number}.png", np.zeros((40, 50)))
    assert main([*command(tmp_path, *INSTANCES[:2]), "--force"]) == 0
    assert "has JPEG masks" in capsys.readouterr().err


def test_two_labels_without_background_are_not_binary(tmp_path, capsys):
    halves = np.ones((8, 8))
    write_labels(tmp_path / "found" / "a.png", halves)
    halves[4:] = 2
    write_labels(tmp_path / "truth" / "a.png", halves)
    assert main(command(tmp_path)) == 2
    assert "holds the values 1, 2, …" in capsys.readouterr().err


def test_against_a_split_of_a_manifest_with_its_grades_and_ignored_pixels(make_manifest, tmp_path, capsys):
    manifest = make_manifest(classes=3)
    records = read_manifest(manifest)
    for record in records[:3]:
        write_labels(tmp_path / "found" / f"{record.name}.png", read_mask(record.mask))
    words = ["--manifest", manifest, "--prediction-values", "0=0 1=1 2=2", "-o", tmp_path / "out", "--json"]
    assert main(["evaluate", "--predictions", str(tmp_path / "found"), *map(str, words)]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["split"] == "val"
    assert figures["objects"]["pooled"]["f1"] == 1
    assert figures["full_resolution"]["pooled"]["iou"] == 1
    assert len(figures["full_resolution"]["classes_pooled"]) == 3
    assert figures["groups"] == {}  # all have one grade


def test_grades_and_groups_have_figures_of_their_own(make_manifest, tmp_path, capsys):
    from dataclasses import replace

    manifest = make_manifest()
    records = read_manifest(manifest)
    grades = ("benign", "malignant", "malignant", "")
    write_manifest(manifest, [replace(one, grade=grade, group="p") for one, grade in zip(records, grades, strict=True)])
    for number, record in enumerate(records[:3]):
        mask = (read_mask(record.mask) != 0).astype(int)
        write_labels(tmp_path / "found" / f"{record.name}.png", mask if number else 0 * mask)
    words = ["evaluate", "--predictions", tmp_path / "found", "--manifest", manifest, "--prediction-values", "binary"]
    assert main([*map(str, words), "--json"]) == 0
    groups = json.loads(capsys.readouterr().out)["groups"]
    assert list(groups) == ["grade"]
    assert {name: figures["images"] for name, figures in groups["grade"].items()} == {"benign": 1, "malignant": 2}
    assert groups["grade"]["benign"]["objects"]["pooled"]["f1"] == 0
    assert groups["grade"]["malignant"]["objects"]["pooled"]["f1"] == 1
    assert groups["grade"]["benign"]["objects"]["pooled_interval"]["f1"] is None  # of a single image
    assert main([*map(str, words), "--force"]) == 0
    assert "by grade, pooled" in capsys.readouterr().out


def test_distances_are_in_units_of_the_spacing(labels, tmp_path, capsys):
    assert main(command(tmp_path, *INSTANCES, "--spacing", "0.5", "0.5")) == 0
    figures = json.loads(capsys.readouterr().out)
    expected = naive_metrics(labels)["object_hausdorff"]
    assert figures["objects"]["pooled"]["object_hausdorff"] == pytest.approx(expected / 2)


def test_mistakes_are_named(labels, tmp_path, capsys):
    def error(*words):
        assert main([*map(str, words)]) == 2
        return capsys.readouterr().err

    found, truth = ("--predictions", tmp_path / "found"), ("--truth", tmp_path / "truth")
    assert "either RUN" in error("evaluate")
    assert "either RUN" in error("evaluate", tmp_path, *found, *truth)
    assert "say either --truth DIR or --manifest FILE" in error("evaluate", *found)
    assert "belong to --predictions" in error("evaluate", tmp_path, *truth)
    assert "--tta belongs to a run" in error("evaluate", *found, *truth, "--tta")
    assert "error: --min-size would make objects" in error("evaluate", *found, *truth, "--min-size", 3)
    assert "say --truth-values instances" in error("evaluate", *found, *truth)
    assert "say --prediction-values instances" in error("evaluate", *found, *truth, *INSTANCES[:2])
    assert "--spacing is 0 1" in error(*command(tmp_path, *INSTANCES, "--spacing", 0, 1))
    assert "--spacing is nan 1" in error(*command(tmp_path, *INSTANCES, "--spacing", "nan", 1))
    assert "--resamples is 0" in error(*command(tmp_path, *INSTANCES, "--resamples", 0))
    assert "which is not there" in error("evaluate", "--predictions", tmp_path / "none", *truth, *INSTANCES)
    ignoring = ("--truth-values", "instances", "--prediction-values", "0=0 1=1 2=ignore")
    assert "--prediction-values has ignore" in error(*command(tmp_path, *ignoring))
    assert "have none: leave it out" in error(*command(tmp_path, *INSTANCES, "--clusters"))
    write_labels(tmp_path / "truth" / "image1.png", np.ones((40, 50)))
    assert "belongs to two images, image1" in error(*command(tmp_path, *INSTANCES))
    (tmp_path / "truth" / "image1.png").unlink()
    tifffile.imwrite(tmp_path / "found" / "image1.tif", np.full((40, 50), -1, np.int16))
    (tmp_path / "found" / "image1.png").unlink()
    assert "image1.tif holds the label -1" in error(*command(tmp_path, *INSTANCES))
    (tmp_path / "found" / "image1.tif").unlink()
    write_labels(tmp_path / "found" / "image1.png", np.ones((3, 4)))
    assert "has 4 x 3 pixels, but" in error(*command(tmp_path, *INSTANCES))
    (tmp_path / "found" / "image1.png").unlink()
    assert "lacks the masks of 1 of 3 images, such as image1" in error(*command(tmp_path, *INSTANCES))
    assert not (tmp_path / "found/evaluation").exists()
