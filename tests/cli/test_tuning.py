import json

import numpy as np
import pytest
from PIL import Image

from flexdan.cli.main import main
from flexdan.config import PostprocessingConfig, read_postprocessing, write_postprocessing
from flexdan.data import read_manifest, read_mask


def figures_of(run, name="val"):
    return json.loads((run / "evaluation" / name / "metrics.json").read_text())


@pytest.fixture
def run(make_run, make_manifest):
    return make_run(manifest=make_manifest())


COMMAND = ("--device", "cpu", "--tune-postprocessing")


def test_what_is_found_is_kept_and_used(run, capsys):
    assert main(["evaluate", str(run), *COMMAND]) == 0
    assert "tuned on 3 images of val" in capsys.readouterr().err
    settings, tuning = read_postprocessing(run)
    assert (tuning.split, tuning.images, tuning.weights, tuning.metric) == ("val", 3, "best", "f1+object_dice")
    assert tuning.after >= tuning.before
    figures = figures_of(run)
    assert figures["postprocessing"]["source"] == "run"
    assert PostprocessingConfig(**figures["postprocessing"]["settings"]) == settings
    pooled = figures["objects"]["pooled"]
    assert (pooled["f1"] + pooled["object_dice"]) / 2 == pytest.approx(
        tuning.after, abs=0.01
    )  # tuned in half precision
    assert main(["evaluate", str(run), "--device", "cpu", "--threshold", "0.5", "--force"]) == 0
    assert figures_of(run)["postprocessing"]["source"] == "run and options"


def test_it_is_tuned_on_the_validation_split_whatever_is_measured(run, tmp_path):
    manifest = tmp_path / "manifest.csv"
    text = manifest.read_text()
    manifest.write_text(text.replace(",val,", ",test,", 1))
    assert main(["evaluate", str(run), *COMMAND, "--split", "test"]) == 0
    assert read_postprocessing(run)[1].images == 2
    assert figures_of(run, "test")["images"] == 1
    assert figures_of(run, "test")["postprocessing"]["tuning"]["split"] == "val"


def test_ignored_pixels_belong_to_no_object(make_run, make_manifest):
    manifest = make_manifest(classes=3)
    for record in read_manifest(manifest)[:3]:
        mask = read_mask(record.mask).astype(np.uint8)
        mask[:, : mask.shape[1] // 2] = 9
        Image.fromarray(mask).save(record.mask)
    run = make_run(classes=3, manifest=manifest)
    assert main(["evaluate", str(run), *COMMAND, "--tune-metric", "panoptic_quality"]) == 0
    after = read_postprocessing(run)[1].after
    assert figures_of(run)["objects"]["pooled"]["panoptic_quality"] == pytest.approx(after, abs=0.01)


def test_mistakes_are_named_before_any_work(run, capsys, monkeypatch):
    def error(*words):
        assert main(["evaluate", str(run), *COMMAND, *words]) == 2
        return capsys.readouterr().err

    monkeypatch.setattr("flexdan.cli.evaluation.load_segmenter", lambda *_: pytest.fail("too late"))
    assert "'beauty' is none of objects" in error("--tune-metric", "beauty")
    assert "--tune-postprocessing finds --min-size by itself" in error("--min-size", "3")
    write_postprocessing(run, PostprocessingConfig(min_size=7), some_tuning())
    assert "--force" in error()
    assert read_postprocessing(run)[0].min_size == 7


def some_tuning():
    from flexdan.config import Tuning

    return Tuning(
        split="val",
        manifest="m",
        manifest_sha256="0",
        images=1,
        weights="best",
        tta=False,
        scale=None,
        metric="f1",
        before=0.0,
        after=1.0,
        trials=1,
    )
