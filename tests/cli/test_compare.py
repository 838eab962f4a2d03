"""`flexdan compare` as a user runs it."""

import csv
import json
from dataclasses import replace

import pytest

from flexdan.cli.main import main
from flexdan.data import read_manifest, write_manifest

DAN = {"strategy": "dan", "training.batch_size": 3}


def compare(*arguments) -> int:
    return main(["compare", *map(str, arguments), "--resamples", "200"])


@pytest.fixture
def runs(tmp_path, measured_run):
    """Two seeds of two configurations."""
    for seed in (0, 1):
        measured_run(tmp_path / f"runs/supervised{seed}", seed=seed, quality=0.7)
        measured_run(tmp_path / f"runs/dan{seed}", seed=seed, quality=0.9, settings=DAN)
    return tmp_path / "runs"


def test_text_has_figures_differences_and_the_check(runs, capsys):
    assert compare(runs, "--by", "grade") == 0
    out = capsys.readouterr().out
    assert out.count("test: 8 images, pooled over all images:") == out.count("test: 8 images, mean over images:") == 1
    assert out.index("pooled over all images") < out.index("mean over images")
    assert "minus supervised, by grade, pooled over all images:" in out
    assert "fair comparison: 10 of 10 checks passed" in out
    assert "there are 4 groups: see --clusters" in out
    assert compare(runs, "--over", "pooled", "--clusters") == 0
    out = capsys.readouterr().out
    assert "mean over images" not in out
    assert "bootstrap of 4 groups, 200 resamples" in out


def test_the_same_command_gives_the_same_numbers_and_another_seed_others(runs, capsys):
    texts = []
    for seed in (0, 0, 1):
        assert compare(runs, "--seed", seed) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]


def test_files_are_written_and_kept(runs, tmp_path, capsys):
    table, picture = tmp_path / "table.tex", tmp_path / "picture.svg"
    command = [runs, "--format", "latex", "-o", table, "--picture", picture]
    assert compare(*command) == 0
    captured = capsys.readouterr()
    assert "fair comparison: 10 of 10 checks passed" in captured.out
    assert "same annotated images: 2 for each seed" in captured.err
    assert r"\toprule" in table.read_text()
    assert picture.read_text().startswith("<svg xmlns=")
    assert compare(*command) == 2
    assert "--force" in capsys.readouterr().err
    assert compare(*command, "--force") == 0
    assert compare(runs, "--format", "csv", "-o", tmp_path / "all.csv", "--metrics", "all") == 0
    with (tmp_path / "all.csv").open() as file:
        assert {row["metric"] for row in csv.DictReader(file)} >= {"f1", "aji", "iou", "hd95", "recall"}


def test_markdown_has_the_check_as_a_table(runs, capsys):
    assert compare(runs, "--format", "markdown", "--metric", "f1") == 0
    out = capsys.readouterr().out
    assert "| configuration | seeds | F1 |\n| --- | --- | --- |" in out
    assert "| same training data | pass | manifest abababab | - |" in out


def test_an_unfair_comparison_ends_with_code_1_where_that_is_asked_for(runs, measured_run, capsys):
    assert compare(runs, "--require-fair") == 0
    measured_run(runs / "longer", quality=0.9, settings={"optimizer.lr": 0.5}, updates=50)
    assert compare(runs) == 0
    assert "same number of SN updates (FAILS)" in capsys.readouterr().out
    assert compare(runs, "--require-fair") == 1


def test_one_configuration_alone_has_figures_and_no_difference(tmp_path, measured_run, capsys):
    measured_run(tmp_path / "a")
    assert compare(tmp_path) == 0
    captured = capsys.readouterr()
    assert "nothing to compare it with" in captured.err
    assert "supervised" in captured.out
    assert "minus" not in captured.out
    assert compare(tmp_path, "--picture", tmp_path / "p.svg") == 2
    assert "--picture draws differences, and there are none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "dise"], "--metric is 'dise'"),
        (["--baseline", "other"], "--baseline is 'other'"),
        (["--split", "val", "--no-evaluate"], "has no evaluation of the split 'val' with best weights"),
        (["--weights", "last", "--no-evaluate"], "has no evaluation of the split 'test' with last weights"),
        (["--resamples", "10"], "--resamples is 10"),
        (["--seed", "-1"], "--seed is -1"),
        (["-o", "."], ". is a folder: name a file"),
    ],
)
def test_mistakes_are_named(runs, capsys, arguments, message):
    assert main(["compare", str(runs), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_folders_without_runs_and_without_epochs_are_named(tmp_path, measured_run, capsys):
    assert compare(tmp_path) == 2
    assert "holds no run" in capsys.readouterr().err
    measured_run(tmp_path / "a", rows=0)
    assert compare(tmp_path) == 2
    captured = capsys.readouterr().err
    assert "is left out: no epoch of it is finished" in captured
    assert "there is nothing to compare" in captured


def test_runs_that_are_not_measured_or_have_gone_on_are_measured_first(discs, tmp_path, capsys):
    manifest = tmp_path / "manifest.csv"
    records = read_manifest(discs)
    write_manifest(manifest, [*records, *(replace(one, split="test") for one in records if one.split == "val")])
    settings = ["--sn.first_layer_out_channels=4", "--sn.num_fcn_blocks=3", "--training.tensorboard=false"]
    settings += ["--data.image_size=[16,24]", "--scheduler_type=none", "--training.updates_per_epoch=1"]
    for name, lr in (("a", 0.01), ("b", 0.001)):
        command = ["train", f"--data.manifest={manifest}", "-o", str(tmp_path / "runs" / name), f"--lr={lr}", *settings]
        assert main([*command, "--num_epochs=1"]) == 0
    assert compare(tmp_path / "runs", "--no-evaluate") == 2
    assert compare(tmp_path / "runs", "--require-fair") == 0
    assert "test: 4 images" in capsys.readouterr().out
    figures = tmp_path / "runs/a/evaluation/test/metrics.json"
    before = figures.stat().st_mtime_ns
    assert compare(tmp_path / "runs") == 0
    assert figures.stat().st_mtime_ns == before
    figures.write_text(json.dumps(json.loads(figures.read_text()) | {"epoch": 7}))
    assert compare(tmp_path / "runs", "--no-evaluate") == 0
    assert "finished, and measured at its best (FAILS)" in capsys.readouterr().out
    assert compare(tmp_path / "runs") == 0
    assert json.loads(figures.read_text())["epoch"] == 1
    assert compare(tmp_path / "runs", "--weights", "last", "--split", "val", "--require-fair") == 0
