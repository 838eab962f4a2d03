import json

import pytest

from flexdan.cli.evaluated import read_contestants
from flexdan.config import UserError
from flexdan.report.configurations import differing_settings, find_baseline, group_runs
from flexdan.report.contestants import find_runs

DAN = {"strategy": "dan", "training.batch_size": 3}


def read(*folders):
    return read_contestants(folders, "test", "best", evaluate=False)


def test_runs_are_found_below_folders_in_the_order_of_their_numbers_but_not_inside_of_runs(tmp_path):
    for name in ("sweep/trials/10", "sweep/trials/9", "one", "one/baseline", "sweep/trials/9/evaluation/test"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "record.jsonl").touch()
    found = find_runs([tmp_path / "sweep", tmp_path / "one", tmp_path, tmp_path / "one/baseline"])
    assert [str(run.relative_to(tmp_path)) for run in found] == [
        *("sweep/trials/9", "sweep/trials/10", "one", "one/baseline")
    ]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no run: there is no record"):
        find_runs([tmp_path / "empty"])
    with pytest.raises(UserError, match="it is no folder"):
        find_runs([tmp_path / "nothing"])


def test_runs_that_differ_in_seed_and_in_what_changes_no_result_are_one_configuration(tmp_path, measured_run):
    more = {"training.num_workers": 7, "data.manifest": "elsewhere.csv", "data.cache_gib": 0.0}
    measured_run(tmp_path / "b", seed=1, settings=more | {"training.tensorboard": False})
    measured_run(tmp_path / "a", seed=0)
    measured_run(tmp_path / "c", seed=0, settings={"optimizer.lr": 0.5})
    found = group_runs(read(tmp_path))
    assert [(one.name, list(one.members)) for one in found] == [("lr 0.002", [0, 1]), ("lr 0.5", [0])]


def test_settings_of_the_adversarial_part_do_not_divide_supervised_runs(tmp_path, measured_run):
    measured_run(tmp_path / "a", seed=0)
    measured_run(tmp_path / "b", seed=1, settings={"adversarial.sigma": 0.7, "en.head": "global_average"})
    measured_run(tmp_path / "c", settings=DAN | {"adversarial.sigma": 0.7})
    measured_run(tmp_path / "d", settings=DAN)
    found = group_runs(read(tmp_path))
    assert [one.name for one in found] == ["supervised", "dan, sigma 0.7", "dan, sigma 0.1"]
    assert differing_settings(found) == {
        "strategy": ["supervised", "dan", "dan"],
        "adversarial.sigma": ["", "0.7", "0.1"],
        "training.batch_size": ["2", "3", "3"],
    }


def test_an_average_that_a_strategy_takes_by_itself_is_one_that_is_asked_for(tmp_path, measured_run):
    measured_run(tmp_path / "a", seed=0, settings={"strategy": "mean_teacher"})
    measured_run(tmp_path / "b", seed=1, settings={"strategy": "mean_teacher", "training.weight_averaging": "ema"})
    measured_run(tmp_path / "c", settings={"unannotated.weight": 3.0})
    found = group_runs(read(tmp_path))
    assert [one.name for one in found] == ["mean_teacher", "supervised"]
    assert differing_settings(found) == {
        "strategy": ["mean_teacher", "supervised"],
        "training.weight_averaging": ["ema", "none"],
    }


def test_starting_runs_are_told_by_their_names_without_the_seed(tmp_path, measured_run):
    for seed in (0, 1):
        for name, start in (("sn", f"x/seed={seed}/sn"), ("net", f"net-seed{seed}/best.ckpt"), ("none", "")):
            measured_run(tmp_path / f"{name}{seed}", seed=seed, settings={"init_sn": start})
    found = group_runs(read(tmp_path))
    assert {one.name: len(one.members) for one in found} == {
        "init_sn net-seed*": 2,
        "init_sn none": 2,
        "init_sn sn": 2,
    }


def test_other_data_make_another_configuration(tmp_path, measured_run):
    measured_run(tmp_path / "a")
    measured_run(tmp_path / "b", start={"manifest_sha256": "cd" * 32})
    assert [one.name for one in group_runs(read(tmp_path))] == ["supervised (1)", "supervised (2)"]


def test_the_same_training_twice_is_refused(tmp_path, measured_run):
    measured_run(tmp_path / "a")
    measured_run(tmp_path / "b")
    with pytest.raises(UserError, match=r"have the same settings and the same seed, 0: name one of them only"):
        group_runs(read(tmp_path))


def test_other_images_are_refused_and_another_order_is_mended(tmp_path, measured_run, made_up):
    first, second = made_up(0, 0.8), made_up(1, 0.8)
    measured_run(tmp_path / "a", scores=first)
    measured_run(tmp_path / "b", seed=1, scores=second.select([7, 6, 5, 4, 3, 2, 1, 0]))
    one = group_runs(read(tmp_path))[0]
    assert one.scores[1].images == one.scores[0].images == first.images
    for name, values in second.counts.items():
        assert one.scores[1].counts[name] == pytest.approx(values)
    measured_run(tmp_path / "c", seed=2, scores=first.select(range(5)))
    with pytest.raises(
        UserError, match=r"measured on 8 images, .*c on 5; 3 are in only one of them, such as image5.png"
    ):
        group_runs(read(tmp_path))


def test_the_baseline_is_the_named_the_only_supervised_or_the_first_one(tmp_path, measured_run):
    measured_run(tmp_path / "a", settings=DAN)
    measured_run(tmp_path / "b", settings={"optimizer.lr": 0.5})
    both = group_runs(read(tmp_path))
    assert find_baseline(both).name == "supervised"
    assert find_baseline(both, "dan").name == find_baseline(both, str(tmp_path / "a")).name == "dan"
    with pytest.raises(
        UserError, match=r"--baseline is 'en': it must be one of the configurations \(dan; supervised\)"
    ):
        find_baseline(both, "en")
    measured_run(tmp_path / "c", settings={"optimizer.lr": 0.7})
    assert find_baseline(group_runs(read(tmp_path))).name == "dan, lr 0.002"


def test_records_of_older_versions_lack_settings_which_are_as_by_default_then(tmp_path, measured_run):
    measured_run(tmp_path / "a")
    measured_run(tmp_path / "b", seed=1)
    record = tmp_path / "b/record.jsonl"
    start, *rest = record.read_text().splitlines()
    event = json.loads(start)
    del (
        event["config"]["adversarial"],
        event["config"]["training"]["wandb"],
        event["config"]["optimizer"]["implementation"],
    )
    record.write_text("\n".join([json.dumps(event), *rest]) + "\n")
    assert len(group_runs(read(tmp_path))) == 1
