"""The studies: their definitions hold, and a small one runs from the images to the records."""

import csv
import itertools
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import figure
import pytest
import records
import study
import tables
import yaml

from flexdan.cli.main import main as flexdan
from flexdan.config import config_from_mapping
from flexdan.data import read_manifest
from flexdan.data.manifest import ImageRecord
from flexdan.data.splits import mark_annotated
from flexdan.experiments.annotated import CURVES

STUDIES = Path(__file__).parents[2] / "benchmarks" / "studies"
NAMES = sorted(path.stem for path in STUDIES.glob("*.yaml"))


def load(path: Path):
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("name", NAMES)
def test_parts_have_no_image_in_common_and_draws_are_those_of_the_settings(name):
    splits = load(STUDIES / "splits" / f"{name}.yaml")
    parts = [set(splits[part]) for part in ("choose", "validation", "test")]
    assert all(not one & other for one, other in itertools.combinations(parts, 2))
    assert [len(splits[part]) for part in ("choose", "validation", "test")] == [len(one) for one in parts]
    assert set(splits["held"]) < parts[0] | parts[1]
    train = [
        ImageRecord(image=Path(f"{one}.png"), mask=Path(f"{one}.mask.png"), mask_values="instances", split="train",
                    annotated=True, sha256=one)
        for one in (*splits["choose"], *splits["validation"])
    ]  # fmt: skip
    for key, names in splits["annotated"].items():
        count, seed = int(key.split()[0]), int(key.split()[-1])
        drawn = mark_annotated(train, count, split="train", seed=seed)
        assert {one.image.stem for one in drawn if one.annotated} == set(names)


@pytest.mark.parametrize("name", NAMES)
def test_every_training_of_a_study_has_valid_settings(name):
    definition = load(STUDIES / f"{name}.yaml")
    base = definition["settings"]
    for variant in definition["choose"]["variants"].values():
        config_from_mapping(base | definition["choose"]["settings"] | (variant or {}))
    assert len(definition["tune"].get("networks", [{}])) == len(definition["everything"].get("networks", [{}]))
    for step in ("tune", "everything"):
        for changes in definition[step].get("networks", [{}]):
            config_from_mapping(base | definition[step]["settings"] | changes)
    for plan in definition["prove"].values():
        for strategy in plan["strategies"]:
            config_from_mapping(plan["settings"] | study.LAST_EPOCH | CURVES[strategy])


def test_the_tables_and_the_figure_of_the_results_are_those_of_the_records():
    assert tables.page_text() == tables.PAGE.read_text(encoding="utf-8")
    assert figure.figure_text("glas") == figure.FIGURE.read_text(encoding="utf-8")


def test_a_small_study_from_images_to_records(discs, tmp_path, monkeypatch, capsys):
    discs_images = [one for one in read_manifest(discs) if one.split]
    images = tmp_path / "images"
    for kind in ("images", "masks"):
        (images / kind).mkdir(parents=True)
    names = []
    for number, one in enumerate(one for one in discs_images if one.annotated):
        names.append(f"image_{number}")
        shutil.copy(one.image, images / "images" / f"image_{number}{one.image.suffix}")
        shutil.copy(one.mask, images / "masks" / f"image_{number}{one.mask.suffix}")
    train = [ImageRecord(image=Path(one), mask=Path(one), mask_values="binary", split="train", annotated=True)
             for one in names[:6]]  # fmt: skip
    drawn = mark_annotated([replace(one, sha256=str(one.image)) for one in train], 2, split="train", seed=0)
    splits = {
        "choose": names[:4],
        "validation": names[4:6],
        "held": names[3:6],
        "test": names[6:8],
        "annotated": {"2 of seed 0": [one.image.name for one in drawn if one.annotated]},
    }
    small = {"data.image_size": [32, 40], "training.num_epochs": 1, "training.updates_per_epoch": 2}
    network = {"sn.first_layer_out_channels": 4, "sn.num_fcn_blocks": 3}
    network |= {"training.tensorboard": False, "training.batch_size": 2}
    definition = {
        "settings": network,
        "choose": {"seeds": 1, "settings": small, "variants": {"base": None, "contours": {"sn.contour_width": 1}}},
        "tune": {"settings": small | {"sn.contour_width": 1}, "networks": [{}, {"data.image_size": [24, 32]}]},
        "everything": {
            "seeds": 1,
            "settings": small | {"sn.contour_width": 1},
            "networks": [{}, {"data.image_size": [24, 32], "training.updates_per_epoch": 3}],
        },
        "prove": {
            name: {
                "counts": [2],
                "seeds": 1,
                "strategies": ["supervised", "fixmatch"],
                "settings": network | small,
                "evaluate": "--tta --min-size 3",
            }
            for name in ("small", "same")
        },
    }
    here = tmp_path / "studies"
    for folder, content in (("", definition), ("splits", splits)):
        (here / folder).mkdir(exist_ok=True, parents=True)
        (here / folder / "discs.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    monkeypatch.setattr(study, "HERE", here)
    (here / "records").mkdir()
    in_parts = (
        "prove --networks same",
        "prove --networks small --counts 2 --strategies supervised",
        "prove --workers 2",
    )
    for step in ("choose", "tune", "everything", *in_parts):
        command = ["study.py", *step.split(), "--images", str(images), "-o", str(tmp_path / "out")]
        monkeypatch.setattr(sys, "argv", [*command[:2], "discs", *command[2:]])
        study.main()
    assert "nothing is left to train" in capsys.readouterr().out

    def rows(name):
        with (here / "records" / f"discs_{name}.csv").open(newline="") as lines:
            return list(csv.DictReader(lines))

    assert [one["variant"] for one in rows("choose")] == ["base", "contours"]
    measured = [float(one["dice.pooled"]) for one in rows("choose")]
    (difference,) = [one for one in rows("choose_differences") if (one["metric"], one["over"]) == ("dice", "pooled")]
    assert difference["variant"] == "contours"
    assert float(difference["difference"]) == pytest.approx(measured[1] - measured[0], abs=2e-5)
    assert [one["networks"] for one in rows("tune")] == ["1", "2"]
    assert [one["sn_updates"] for one in rows("everything")] == ["2", "2 and 3"]
    for tuned, found in zip(rows("tune"), rows("everything"), strict=True):
        assert found["postprocessing"] == tuned["postprocessing"]
        assert float(found["f1.pooled.low"]) <= float(found["f1.pooled"]) <= float(found["f1.pooled.high"])
    together = json.loads((tmp_path / "out/everything/0/1/evaluation/test/metrics.json").read_text())
    assert together["ensemble"] == [str(tmp_path / "out/everything/0/0")]
    assert [(one["network"], one["strategy"], one["annotated"], one["sn_updates"]) for one in rows("prove")] == [
        (network, strategy, "2", "2") for network in ("small", "same") for strategy in ("supervised", "fixmatch")
    ]
    assert len(rows("prove_images")) == 2 * 2 * 2
    found = [one for one in rows("prove_differences") if one["network"] == "small"]
    dice = next(one for one in found if one["metric"] == "dice" and one["over"] == "pooled")
    trained = {one["strategy"]: float(one["dice.pooled"]) for one in rows("prove") if one["network"] == "small"}
    assert float(dice["difference"]) == pytest.approx(trained["fixmatch"] - trained["supervised"], abs=2e-5)
    table, columns = tmp_path / "compare.csv", ("difference", "images_low", "images_high", "better", "worse")
    words = ["compare", str(tmp_path / "out/prove/small"), "--split", "test", "--no-evaluate", "--format", "csv"]
    assert flexdan([*words, "--metric", *(".".join(one) for one in records.METRICS), "-o", str(table)]) == 0
    with table.open(newline="") as lines:
        compared = [one for one in csv.DictReader(lines) if one["difference"]]
    assert len(compared) == len(found) == 2 * len(records.METRICS)
    for ours, theirs in zip(found, compared, strict=True):
        assert [ours[name] for name in ("level", "metric", "over")] == [
            theirs[name] for name in ("level", "metric", "over")
        ]
        assert [float(ours[name]) for name in columns] == pytest.approx(
            [float(theirs[name]) for name in columns], abs=1e-6
        )


@pytest.mark.parametrize(
    ("gpus", "device", "expected"), [([], "auto", "a CPU"), (["a GPU"], "cpu", "a CPU"), (["a GPU"], "auto", "a GPU")]
)
def test_trainings_on_a_gpu_and_beside_it_are_told_apart(gpus, device, expected):
    start = {"environment": {"processor": "a CPU", "gpus": gpus}, "config": {"training": {"device": device}}}
    assert records.processor(start) == expected


def test_other_settings_are_another_recipe():
    assert records.recipe({"a": 1, "b": [1, 2]}, True) == records.recipe({"b": (1, 2), "a": 1}, True)
    assert len({records.recipe({"a": value}, views) for value in (1, 2) for views in (True, False)}) == 4


def test_rows_take_the_place_of_those_with_the_same_key_and_leave_others(tmp_path):
    (tmp_path / "records").mkdir()
    for rows in ([{"of": 1, "value": 10}, {"of": 2, "value": 20}], [{"of": 3, "value": 30}, {"of": 1, "value": 11}]):
        records.merge_rows("some", rows, ["of"], tmp_path)
    found = records.read_rows("some", tmp_path)
    assert [(one["of"], one["value"]) for one in found] == [("2", "20"), ("3", "30"), ("1", "11")]
