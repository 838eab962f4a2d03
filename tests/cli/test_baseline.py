"""`flexdan baseline` as a user runs it."""

import json

import pytest

from flexdan.cli.main import main
from flexdan.config import read_postprocessing
from flexdan.config.record import read_record

FEW = [
    *("--use_gan=true", "--num_epochs=3", "--gan_start_epoch=2", "--training.updates_per_epoch=2"),
    *("--sn.first_layer_out_channels=4", "--sn.num_fcn_blocks=3", "--data.image_size=[16,24]"),
    *("--en.head=global_average", "--en.first_layer_out_channels=4", "--en.num_fcn_blocks=2"),
    *("--training.tensorboard=false", "--data.annotated=4", "--scheduler_type=none"),
]


@pytest.fixture
def train(discs, tmp_path):
    """Return a function that trains for a few updates."""

    def make(name, *settings):
        folder = tmp_path / name
        assert main(["train", f"--data.manifest={discs}", "-o", str(folder), *FEW, *settings]) == 0
        return folder

    return make


def baseline(*arguments) -> int:
    return main(["baseline", *map(str, arguments), "--resamples", "100", "--metric", "f1"])


def updates(folder) -> int:
    return sum(event.get("sn_updates", 0) for event in read_record(folder / "record.jsonl"))


def test_the_baseline_has_equal_data_start_and_updates_and_is_trained_once(train, capsys):
    start = train("start")
    runs = [train(f"dan{seed}", f"--seed={seed}", f"--init_sn={start}") for seed in (0, 1)]
    capsys.readouterr()
    assert baseline(*runs, "--require-fair", "--split", "val", "--weights", "last") == 1
    out = capsys.readouterr().out
    assert "9 of 10 checks passed; not selection on validation only (FAILS)" in out
    assert "it started from an SN that saw the measured images" in out
    assert f"{runs[0]}: 10 SN updates in 3 epochs; {runs[0]}/baseline: 10 (as many), 2 epochs of 5" in out
    assert "minus supervised, pooled over all images" in out
    for run in runs:
        own, other = (read_record(folder / "record.jsonl")[0] for folder in (run, run / "baseline"))
        assert updates(run) == updates(run / "baseline") == 10
        for name in ("seed", "annotated", "manifest_sha256", "parameters", "precision"):
            assert own[name] == other[name]
        assert other["config"]["init_sn"] == str(start)
        assert other["config"]["strategy"] == "supervised"
    assert baseline(*runs, "--split", "val") == 0
    assert capsys.readouterr().out.count("baseline: done before") == 2


def test_the_baseline_of_a_mean_teacher_keeps_an_average_too(train, capsys):
    run = train("teacher", "--strategy=mean_teacher")
    assert baseline(run, "--split", "val") == 0
    config = read_record(run / "baseline" / "record.jsonl")[0]["config"]
    assert (config["strategy"], config["training"]["weight_averaging"]) == ("supervised", "ema")
    assert updates(run) == updates(run / "baseline") > 0
    out = capsys.readouterr().out
    assert "weight_averaging" not in out  # they do not differ in it


def test_a_baseline_that_was_stopped_goes_on(train, capsys):
    run = train("dan")
    assert baseline(run, "--require-fair", "--split", "val", "--weights", "last") == 0
    record = run / "baseline/record.jsonl"
    record.write_text("".join(line + "\n" for line in record.read_text().splitlines() if '"end"' not in line))
    assert baseline(run) == 0
    assert [event["event"] for event in read_record(record)][-2:] == ["resume", "end"]
    assert updates(run / "baseline") == 10


def test_runs_with_the_same_baseline_share_it_and_it_may_stand_elsewhere(train, tmp_path, capsys):
    runs = [train("dan", "--sigma=0.2"), train("more/dan", "--sigma=0.4")]
    assert baseline(*runs, "-o", tmp_path / "out", "--split", "val") == 0
    out = capsys.readouterr().out
    assert "[1/1]" in out
    assert "dan, sigma 0.2" in out
    assert "dan, sigma 0.4" in out
    assert (tmp_path / "out/dan/record.jsonl").is_file()
    assert not (tmp_path / "out/more").exists()
    assert not (runs[0] / "baseline").exists()


def test_a_total_without_a_near_divisor_is_missed_and_told(train, capsys):
    run = train("dan")
    record = run / "record.jsonl"
    events = read_record(record)
    events[1]["sn_updates"] = 3  # 11 in all, a prime
    record.write_text("".join(json.dumps(event) + "\n" for event in events))
    assert baseline(run, "--split", "val") == 0
    out = capsys.readouterr().out
    assert "11 SN updates in 3 epochs" in out
    assert "12 (1 more), 3 epochs of 4" in out
    assert "same number of SN updates (FAILS)" in out


def test_mistakes_are_refused_before_anything_is_trained(train, discs, tmp_path, capsys):
    def error(*arguments):
        capsys.readouterr()
        assert baseline(*arguments) == 2
        return capsys.readouterr().err

    run = train("dan")
    record, text = run / "record.jsonl", (run / "record.jsonl").read_text()
    assert "supervised is a supervised run already" in error(train("supervised", "--use_gan=false"))
    assert "gone a run folder?" in error(tmp_path / "gone")
    record.write_text("".join(line + "\n" for line in text.splitlines() if '"end"' not in line))
    assert "is not finished (still running or stopped after epoch 3)" in error(run)
    record.write_text(text.replace('"sn_updates"', '"other"'))
    assert "does not say how many updates its SN had" in error(run)
    record.write_text(text.replace('"sn_updates": 4', '"sn_updates": 0').replace('"sn_updates": 2', '"sn_updates": 0'))
    assert "had no update" in error(run)
    record.write_text(text.replace('"processes": 1', '"processes": 2'))
    assert "was trained by 2 processes, and here are 1" in error(run)
    record.write_text(text)
    other = tmp_path / "other.csv"
    other.write_text(discs.read_text() + "\n")
    assert "is not as it was when" in error(run, "--manifest", other)
    assert "is not there: say --manifest" in error(run, "--manifest", tmp_path / "gone.csv")
    assert not (run / "baseline").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--split", "nosuch"), "no images in the split 'nosuch'"),
        (("--metric", "nosuch"), "--metric is 'nosuch'"),
        (("--picture", "a.png"), "must end in .svg"),
    ],
)
def test_what_is_wrong_with_the_comparison_is_told_before_training(train, tmp_path, capsys, words, told):
    run = train("dan")
    assert main(["baseline", str(run), "-o", str(tmp_path / "out"), *words]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_baseline_is_tuned_where_its_run_was(train, capsys):
    run = train("dan")
    words = ["evaluate", str(run), "--tune-postprocessing", "--tune-metric", "object_dice"]
    assert main(words) == 0
    assert baseline(run, "--split", "val") == 0
    assert "finding its post-processing, for object_dice as in the run" in capsys.readouterr().out
    tuning = read_postprocessing(run / "baseline")[1]
    assert (tuning.metric, tuning.split) == ("object_dice", "val")
    assert baseline(run, "--split", "val") == 0
    assert "finding" not in capsys.readouterr().out
