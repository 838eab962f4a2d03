"""`flexdan predict --save instances` as a user meets it."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from flexdan import inference
from flexdan.cli.main import main
from flexdan.cli.predict_files import COLOURS, result_files, write_result
from flexdan.config import PostprocessingConfig, Tuning, write_postprocessing
from flexdan.data import read_image, read_mask
from flexdan.engine.checkpoint import load_run
from flexdan.inference import predict_image, to_instances

TUNING = Tuning(
    split="val",
    manifest="m.csv",
    manifest_sha256="",
    images=1,
    weights="best",
    tta=False,
    scale=None,
    metric="f1",
    before=0,
    after=1,
    trials=2,
)


def predict(run, *arguments):
    return main(["predict", str(run), *map(str, arguments), "--device", "cpu"])


def expected_instances(run, image, settings, channels=3):
    loaded = load_run(run)
    pixels = read_image(image, channels)
    probabilities = predict_image(
        loaded.network, pixels, image_size=(24, 32), native_size=loaded.native_size, mean=0.5, std=0.25
    )
    return to_instances(probabilities, settings)


def middle_threshold(run, image) -> float:
    """Return a threshold that about half of the pixels of an image pass, whatever a random network says."""
    loaded = load_run(run)
    found = predict_image(
        loaded.network, read_image(image, 3), image_size=(24, 32), native_size=loaded.native_size, mean=0.5, std=0.25
    )
    return round(float(np.median(found[1])), 4)


@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 3)])
def test_instances_are_the_objects_in_the_probabilities(make_run, picture, tmp_path, capsys, channels, classes):
    run, out = make_run(channels, classes), tmp_path / "out"
    images = [picture(tmp_path / "in" / f"{size[0]}.png", size, channels) for size in ((48, 64), (101, 333))]
    kinds = ("instances", "instance_outlines")
    assert predict(run, tmp_path / "in", "-o", out, "--save", *kinds, "--fill-holes", "--threshold", "0.4") == 0
    settings = PostprocessingConfig(threshold=0.4, fill_holes=True)
    assert f"objects: {settings} (from the options)" in capsys.readouterr().out
    for image in images:
        labels = read_mask(out / "instances" / image.name)
        np.testing.assert_array_equal(labels, expected_instances(run, image, settings, channels))
        with Image.open(out / "instances" / image.name) as file:
            assert file.mode == "I;16"
        assert read_image(out / "instance_outlines" / image.name).shape == (*labels.shape, 3)


def test_the_post_processing_of_the_run_is_used_and_options_go_over_it(make_run, picture, tmp_path, capsys):
    run, image = make_run(), picture(tmp_path / "a.png", (48, 64))
    stored = PostprocessingConfig(threshold=middle_threshold(run, image), min_size=30, split="distance", split_depth=1)
    write_postprocessing(run, stored, TUNING)
    plain = replace(stored, min_size=0, split="none")
    for number, (words, settings, source) in enumerate(
        [([], stored, "run"), (["--min-size", "0", "--split-objects", "none"], plain, "run and options")]
    ):
        out = tmp_path / str(number)
        assert predict(run, image, "-o", out, "--save", "instances", *words) == 0
        captured = capsys.readouterr()
        assert f"objects: {settings} (from the {source})" in captured.out
        assert captured.err == ""
        labels = read_mask(out / "instances/a.png")
        np.testing.assert_array_equal(labels, expected_instances(run, image, settings))
        assert 0 < (labels > 0).mean() < 1
    checkpoint = run / "best.ckpt"  # lies beside the file
    assert predict(checkpoint, image, "-o", tmp_path / "c", "--save", "instances", "--tta") == 0
    captured = capsys.readouterr()
    assert "from the run" in captured.out
    assert "note: the post-processing of the run was tuned with tta False; this may need another one" in captured.err


def test_without_any_the_defaults_are_the_most_probable_class(make_run, picture, tmp_path, capsys):
    run, image = make_run(), picture(tmp_path / "a.png", (48, 64))
    words = ["--save", "mask", "instances", "--mask-format", "index"]
    assert predict(run, image, "-o", tmp_path / "out", *words) == 0
    assert "objects: threshold 0.5, touching objects stay one (default)" in capsys.readouterr().out
    labels = read_mask(tmp_path / "out/instances/a.png")
    np.testing.assert_array_equal(labels > 0, read_mask(tmp_path / "out/mask/a.png"))


def test_more_objects_than_16_bits_hold_become_a_tiff(make_run, picture, tmp_path, capsys, monkeypatch):
    run, image, out = make_run(), picture(tmp_path / "a.png", (260, 260)), tmp_path / "out"
    many = np.arange(260 * 260, dtype=np.int32).reshape(260, 260)
    words = [run, image, "-o", out, "--save", "instances"]
    monkeypatch.setattr(inference, "to_instances", lambda *_: many)
    assert predict(*words) == 0
    assert [path.name for path in (out / "instances").iterdir()] == ["a.tif"]
    np.testing.assert_array_equal(read_mask(out / "instances/a.tif"), many)
    assert predict(*words) == 2
    assert "1 results are there already, such as" in capsys.readouterr().err
    assert predict(*words, "--skip-existing") == 0
    assert "0 images segmented" in capsys.readouterr().out
    monkeypatch.setattr(inference, "to_instances", lambda *_: np.minimum(many, 65535))
    assert predict(*words, "--force") == 0
    assert [path.name for path in (out / "instances").iterdir()] == ["a.png"]  # not both
    np.testing.assert_array_equal(read_mask(out / "instances/a.png"), np.minimum(many, 65535))


def test_touching_objects_are_seen_apart_in_their_outlines(tmp_path):
    pixels = np.zeros((20, 30, 3), np.uint8)
    classes = np.zeros((20, 30))
    classes[5:15, 5:25] = 1
    labels = np.zeros((20, 30), np.int32)
    labels[5:15, 5:15], labels[5:15, 15:25] = 1, 2
    kinds = ("outlines", "instance_outlines")
    for kind, files in result_files(tmp_path, kinds, tmp_path.relative_to(tmp_path) / "a").items():
        write_result(
            kind, files, pixels=pixels, probabilities=np.stack([1 - classes, classes]), instances=labels, binary=True
        )
    whole, parted = (read_image(tmp_path / kind / "a.png") for kind in kinds)
    assert not whole[10, 14:16].any()
    np.testing.assert_array_equal(parted[10, 14:16], COLOURS[:2])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--save", "mask", "--min-size", "3", "--split-objects", "none"],
            "--min-size, --split-objects: post-processing",
        ),
        (["--threshold", "0.5"], "--save names neither instances nor instance_outlines"),
        (["--save", "instances", "--threshold", "1.5"], "threshold is 1.5: it is a probability"),
        (["--save", "instances", "--min-size", "-3"], "min_size is -3: it must be 0"),
        (["--save", "instances", "--split-depth", "3"], "--split-depth is 3.0, but has no effect with --split-objects"),
        (
            ["--save", "instances", "--split-objects", "distance", "--marker-threshold", "0.9"],
            "say --split-objects marker too",
        ),
        (
            ["--save", "instances", "--split-objects", "marker", "--threshold", "0.9"],
            "marker_threshold is 0.8, but threshold is 0.9",
        ),
    ],
)
def test_options_that_do_not_fit_stop_before_any_work(make_run, picture, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.setattr("flexdan.cli.predict.find_images", lambda _: pytest.fail("too late"))
    assert predict(make_run(), picture(tmp_path / "a.png", (20, 30)), "-o", tmp_path / "out", *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_broken_post_processing_stops_only_what_needs_it(make_run, picture, tmp_path, capsys):
    run, image = make_run(), picture(tmp_path / "a.png", (20, 30))
    (run / "postprocessing.json").write_text("{}")
    assert predict(run, image, "-o", tmp_path / "out") == 0
    assert predict(run, image, "-o", tmp_path / "out", "--save", "instances") == 2
    assert "postprocessing.json is no post-processing of a run" in capsys.readouterr().err
