import pytest

from flexdan.report import read_run
from flexdan.report.facts import facts, many


def test_facts_tell_what_was_run(folder):
    told = dict(facts(read_run(folder)))
    expected = {
        "Network": "ZhengSN, 519,744 parameters",
        "Training images": "2 annotated, 5 unannotated (not used by the supervised strategy)",
        "Validation images": "7",
        "Image size": "24 x 32 pixels (height x width)",
        "Precision": "fp32",
        "Device": "cpu: Some CPU, 2 threads",
        "Seed": "3",
        "Started": "2025-03-01 10:00 UTC",
        "Duration": "2 min 0 s of training steps in 4 epochs; 3 min 0 s with validation",
        "Speed": "5.00 images/s in training (median over epochs)",
        "Peak memory": "1,004 MiB of the process",
        "Manifest": f"set.csv, SHA-256 {'ab' * 32}",
        "Code": "git commit c0ffee, with changes that are not committed",
        "Versions": "flexdan 0.1.0, Python 3.11.7, torch 2.9",
        "Command": "flexdan train -o 'my run'",
    }
    assert {name: told[name] for name in expected} == expected


def test_facts_of_windows(tmp_path, record, events):
    events[0]["config"]["data"] |= {"crop": True, "reduce": 1.5}
    told = dict(facts(read_run(record(tmp_path, events))))
    assert told["Image size"] == "24 x 32 pixels (height x width), windows of images reduced by 1.5"


def test_facts_of_gpus_resumed_runs_and_records_that_lack_them(tmp_path, record, events):
    events[0] |= {"device": "cuda:0", "processes": 2}
    events[0]["environment"]["gpus"] = ["Some GPU", "Some GPU"]
    resume = {"event": "resume", "after_epoch": 2}
    told = dict(facts(read_run(record(tmp_path, [*events[:3], resume, *events[3:]]))))
    assert told["Device"] == "cuda:0: Some GPU, 2 processes"
    assert told["Duration"] == "2 min 0 s of training steps in 4 epochs; resumed 1 time"
    assert told["Peak memory"] == "1,004 MiB of the GPU"
    bare = dict(facts(read_run(record(tmp_path, [{"event": "start"}]))))
    assert bare["Seed"] == bare["Speed"] == bare["Image size"] == "-"
    assert bare["Code"] == "an installed package, without a git commit"


def test_facts_of_adversarial_runs(tmp_path, record, adversarial_events):
    told = dict(facts(read_run(record(tmp_path, adversarial_events))))
    assert told["Strategy"] == "dan, with the EN from epoch 3 on"
    assert told["Evaluation network"] == (
        "FlexVGG, 1,234,567 parameters, sees the image and the foreground probabilities; sigma 0.1 + epoch / 300"
    )
    assert told["Training images"] == "2 annotated, 5 unannotated (used by dan from epoch 3 on)"
    assert told["Optimiser"].startswith("adam, learning rate 0.002, scheduler OneCycle")


def test_facts_of_variants_of_adversarial_training(tmp_path, record, adversarial_events):
    adversarial_events[0]["config"]["adversarial"] |= {
        "sigma_schedule": "paper",
        "gan_start_epoch": 0,
        "sn_update": "joint",
        "en_input": "mask",
        "unannotated_source": "half_batch",
        "en_lr": 0.0005,
        "label_smoothing": 0.1,
    }
    told = dict(facts(read_run(record(tmp_path, adversarial_events))))
    assert told["Strategy"] == "dan, with the EN from epoch 1 on, sn_update joint, label_smoothing 0.1"
    assert told["Evaluation network"] == (
        "FlexVGG, 1,234,567 parameters, sees the image multiplied by the foreground probability; "
        "sigma 0.1 to 1 over the first 30,000 updates against the EN"
    )
    assert told["Training images"] == (
        "2 annotated, 5 unannotated (not used: half of each annotated batch plays their part)"
    )
    assert told["Optimiser"].startswith("adam, learning rate 0.002 (EN: 0.0005), scheduler")


def test_facts_of_adversarial_records_that_lack_settings(tmp_path, record):
    told = dict(facts(read_run(record(tmp_path, [{"event": "start", "config": {"strategy": "dan"}}]))))
    assert told["Strategy"] == "dan, with the EN"
    assert told["Evaluation network"] == "-, - parameters, input -; sigma - + epoch / -"


def test_supervised_runs_have_no_evaluation_network(folder):
    assert "Evaluation network" not in dict(facts(read_run(folder)))


@pytest.mark.parametrize(("count", "text"), [(1, "1 image"), (2, "2 images"), (None, "- images")])
def test_counts_have_their_words(count, text):
    assert many(count, "image") == text
