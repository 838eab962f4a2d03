"""`flexdan experiments list | show | run` as a user runs them."""

import pytest
import yaml

from flexdan.cli.main import main
from flexdan.config import config_from_mapping, to_dict
from flexdan.config.record import read_record
from flexdan.experiments import EXPERIMENTS, find_experiment
from flexdan.experiments.smoke import smoke

FEW = ["--set", "num_epochs=1", "--set", "training.updates_per_epoch=1"]


def run(*argv: str) -> int:
    return main(["experiments", "run", *argv])


def test_list_names_every_experiment_and_its_trainings(capsys):
    assert main(["experiments", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(EXPERIMENTS)
    assert "163 trainings" in lines[4]
    assert "  1 training   ZhengSN against ZhengEN" in lines[1]


@pytest.mark.parametrize("name", ["1", "6a", "scarce"])
def test_show_prints_settings_that_train_reads_and_what_was_recorded(name, capsys):
    assert main(["experiments", "show", name]) == 0
    text = capsys.readouterr().out
    experiment = find_experiment(name)
    config = config_from_mapping(yaml.safe_load(text))[0]
    assert config in [cell.config for cell in experiment.cells]
    if name == "6a":
        assert config.strategy == "dan"  # not of the SN that it starts from
        assert "#   dan   from the SN of trained_sn" in text
    for cell in experiment.cells:
        assert f"#   {cell.name}" in text
    flat = " ".join(line.removeprefix("#").strip() for line in text.splitlines())
    assert experiment.recorded in flat
    assert experiment.fault in flat


def test_show_one_training_at_smoke_scale(capsys):
    name = "num_fcn_blocks=3,block_depth=2,first_layer_out_channels=64,block_pattern=double_run"
    assert main(["experiments", "show", "3", "--cell", name, "--scale", "smoke"]) == 0
    cell = next(cell for cell in find_experiment("3").cells if cell.name == name)
    assert yaml.safe_load(capsys.readouterr().out) == to_dict(smoke(cell.config))


def test_run_resumes_where_it_was_stopped_and_does_nothing_twice(discs, tmp_path, capsys):
    argv = ["scarce", "--scale", "smoke", "--data", str(discs), "-o", str(tmp_path / "out"), *FEW]
    argv += ["data.annotated=2", "--seeds", "0", "1"]
    assert run(*argv, "--cells", "supervised") == 0
    first = (tmp_path / "out/scarce/seed=0/supervised/record.jsonl").read_text()
    assert run(*argv) == 0
    out = capsys.readouterr().out
    assert "[12/12, about 0 min left] dan_from_trained: trained: validation IoU 0." in out
    assert out.count("supervised: done before") == 2
    assert (tmp_path / "out/scarce/seed=0/supervised/record.jsonl").read_text() == first
    assert run(*argv) == 0
    assert capsys.readouterr().out.count(": done before: validation IoU") == 12
    start = read_record(tmp_path / "out/scarce/seed=1/dan_from_trained/record.jsonl")[0]
    assert start["config"]["init_sn"] == str(tmp_path / "out/scarce/seed=1/trained_sn")
    assert start["seed"] == 1
    assert len(start["annotated"]) == 2
    table = (tmp_path / "out/scarce/table.md").read_text()
    header, _, *rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
    assert [row[0].removeprefix("| ") for row in rows] == [cell.name for cell in find_experiment("scarce").cells]
    assert all(row[1] == "2 of 2" for row in rows)
    assert rows[-1][header.index("SN updates")] == "2"  # one of its own, one of the trained SN


def test_a_training_that_was_stopped_goes_on(discs, tmp_path, capsys):
    argv = ["7", "--scale", "smoke", "--data", str(discs), "-o", str(tmp_path), "--set", "training.updates_per_epoch=1"]
    assert run(*argv, "num_epochs=2") == 0
    folder = tmp_path / "7" / "seed=0" / "dan"
    record = folder / "record.jsonl"
    record.write_text("".join(line + "\n" for line in record.read_text().splitlines() if '"end"' not in line))
    assert run(*argv, "num_epochs=2") == 0
    assert [event["event"] for event in read_record(record)] == ["start", "epoch", "epoch", "resume", "end"]


def test_other_settings_are_refused_and_force_trains_anew(discs, tmp_path, capsys):
    argv = ["7", "--scale", "smoke", "--data", str(discs), "-o", str(tmp_path), *FEW]
    assert run(*argv) == 0
    assert run(*argv, "sigma=0.7") == 2
    assert "holds a training with adversarial.sigma 0.1, not 0.7: name another folder" in capsys.readouterr().err
    assert run(*argv, "sigma=0.7", "--force") == 0
    assert read_record(tmp_path / "7/seed=0/dan/record.jsonl")[0]["config"]["adversarial"]["sigma"] == 0.7


def test_results_of_other_data_are_not_passed_off_as_done(discs, tmp_path, capsys):
    manifest = discs.parent / "changing_data.csv"
    manifest.write_text(discs.read_text())
    argv = ["7", "--scale", "smoke", "--data", str(manifest), "-o", str(tmp_path / "out"), *FEW]
    assert run(*argv) == 0
    manifest.write_text("\n".join(discs.read_text().splitlines()[:-1]))
    assert run(*argv) == 2
    assert "holds a training on other data than" in capsys.readouterr().err


def test_results_can_move_and_what_changes_no_result_may_differ(discs, tmp_path, capsys):
    argv = ["6a", "--scale", "smoke", "--data", str(discs), *FEW]
    assert run(*argv, "-o", str(tmp_path / "here")) == 0
    (tmp_path / "here").rename(tmp_path / "there")
    assert run(*argv, "-o", str(tmp_path / "there"), "--set", "data.cache_gib=1") == 0
    assert capsys.readouterr().out.count("done before") == 2


def test_other_things_are_not_overwritten(discs, tmp_path, capsys):
    folder = tmp_path / "7" / "seed=0" / "dan"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("mine")
    for force in ([], ["--force"]):
        assert run("7", "--scale", "smoke", "--data", str(discs), "-o", str(tmp_path), *FEW, *force) == 2
        assert "holds other things than a run" in capsys.readouterr().err
    assert (folder / "config.yaml").read_text() == "mine"


def test_smoke_takes_annotated_and_unannotated_images_in_whatever_order_they_stand(discs, tmp_path):
    header, *rows = discs.read_text().splitlines()
    for name, lines in (("a", rows), ("b", rows[::-1])):
        manifest = discs.parent / f"order_{name}.csv"
        manifest.write_text("\n".join([header, *lines]))
        argv = ["8", "--scale", "smoke", "--data", str(manifest), "-o", str(tmp_path / name), "--method", "paper", *FEW]
        assert run(*argv) == 0
        start = read_record(tmp_path / name / "8/seed=0/dan/record.jsonl")[0]
        assert (len(start["annotated"]), start["unannotated"]) == (6, 3)


def test_failures_are_outcomes_and_the_rest_goes_on(discs, tmp_path, capsys):
    argv = ["5", "--scale", "smoke", "--data", str(discs), "-o", str(tmp_path), *FEW, "lr=1e30", "optimizer_type=sgd"]
    argv += ["training.precision=fp32", "training.updates_per_epoch=3"]
    cell = "num_fcn_blocks=4,depth_linear_block=1,first_linear_layer_out_features=128,sigma=0.1,sigma_weight=30.0"
    assert run(*argv, "--cells", cell) == 1
    out = capsys.readouterr().out
    assert "trained_sn: failed: the training loss is nan" in out
    assert f"{cell}: left out: trained_sn gave no network to start from" in out


def test_networks_too_large_for_smoke_are_named_and_left_out(discs, tmp_path, capsys):
    cell = "num_fcn_blocks=6,block_depth=2,first_layer_out_channels=64,block_pattern=single_run"
    argv = ["3", "--data", str(discs), "-o", str(tmp_path), "--cells", cell, *FEW]
    assert run(*argv, "--scale", "smoke") == 0
    assert "left out: 23,090 million parameters, and the smoke scale ends at 60" in capsys.readouterr().out
    assert run(*argv) == 0
    out = capsys.readouterr().out
    assert "left out: does not fit: it needs " in out
    assert "(1,477,740.28 M parameters; largest batch that fits: 0)" in out
    assert "left out: " in (tmp_path / "3" / "part.md").read_text()
    assert not (tmp_path / "3" / "table.md").exists()


def test_the_paper_s_method_needs_unannotated_images_and_a_synthetic_set_is_drawn(tmp_path, capsys):
    assert run("7", "--scale", "smoke", "-o", str(tmp_path), "--method", "paper", *FEW) == 1
    assert "failed: strategy is dan, but all 12 images of the split 'train' are annotated" in capsys.readouterr().out
    assert run("7", "--scale", "smoke", "-o", str(tmp_path), "--method", "paper", *FEW, "data.annotated=4") == 0
    config = read_record(tmp_path / "7/seed=0/dan/record.jsonl")[0]["config"]["adversarial"]
    assert (config["sn_update"], config["en_annotated"], config["unannotated_source"]) == (
        *("separate", "prediction"),
        "split",
    )


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["10"], "there is no experiment '10'"),
        (["7"], "--data is missing"),
        (["7", "--data", "nowhere.csv"], "cannot read the manifest"),
        (["7", "--scale", "smoke", "--set", "sigma"], "it must be NAME=VALUE"),
        (["7", "--scale", "smoke", "--set", "sigmo=1"], "did you mean sigma"),
        (["7", "--scale", "smoke", "--set", "sn.model_args={a"], "--set has a value that is not YAML"),
        (["7", "--scale", "smoke", "--set", "seed=4"], "say --seeds"),
        (["7", "--scale", "smoke", "--set", "batch_size=2"], "would see 2 images at once"),
        (["scarce", "--scale", "smoke", "--method", "paper"], "--method paper is for experiments of the log"),
        (["3", "--scale", "smoke", "--cells", "nothing"], "which no training of experiment 3 matches"),
    ],
)
def test_mistakes_are_refused_before_anything_is_trained(argv, message, tmp_path, capsys):
    assert run(*argv, "-o", str(tmp_path / "out")) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("out/*/seed=*"))


def test_show_refuses_an_unknown_cell(capsys):
    assert main(["experiments", "show", "8", "--cell", "gan"]) == 2
    assert "--cell is 'gan', which is none of: dan" in capsys.readouterr().err
