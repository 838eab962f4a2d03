import math
from pathlib import Path

import pytest

from flexdan.config import UserError, setting_values
from flexdan.experiments import SWEEPS, Choice, Pruner, Range, Sweep, find_experiment, find_sweep
from flexdan.sweep import Space, is_sweep, read_sweep

EXAMPLES = Path(__file__).parents[2] / "examples" / "sweeps"
GRID = """
program: train.py
name: blocks
project: glands
method: grid
metric: {name: val_loss, goal: minimize}
run_cap: 5
parameters:
  sn_num_fcn_blocks: {values: [4, 5]}
  lr: {values: [0.1, 1e-2, 0.001]}
  batch_size: {value: 3}
  training:
    parameters:
      num_epochs: {values: [7]}
  data.image_size: {values: [[32, 48], [64, 96]]}
  use_gan: {value: true}
"""

LR = "method: grid\nparameters: {lr: {values: [1]}}\n"


def write(tmp_path, text, name="sweep.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def configs(sweep):
    space = Space(sweep)
    return [space.config(params) for params in sweep.cells()]


def read(tmp_path, parameters, head="method: random\n"):
    return read_sweep(write(tmp_path, f"{head}parameters:\n  {parameters}"))[0]


def test_a_wandb_file_is_read_as_it_is(tmp_path):
    sweep, notes = read_sweep(write(tmp_path, GRID))
    assert sweep == Sweep(
        parameters={
            "sn_num_fcn_blocks": Choice((4, 5)),
            "lr": Choice((0.1, "1e-2", 0.001)),  # as PyYAML reads it, and W&B
            "training.num_epochs": Choice((7,)),
            "data.image_size": Choice(([32, 48], [64, 96])),
        },
        settings={"training.batch_size": 3, "strategy": "dan"},
        metric="val_loss",
        run_cap=5,
    )
    assert sweep.goal == "min"
    assert notes == []
    found = configs(sweep)
    assert [config.optimizer.lr for config in found] == [0.1, 0.1, 0.01, 0.01, 0.001]
    assert [config.data.image_size for config in found][:2] == [(32, 48), (64, 96)]
    assert {config.training.num_epochs for config in found} == {7}


@pytest.mark.parametrize(
    ("text", "space"),
    [
        ("lr: {min: 0.1, max: 1}", Range(low=0.1, high=1)),
        ("batch_size: {min: 2, max: 5}", Range(low=2, high=5, integer=True)),
        ("batch_size: {distribution: int_uniform, min: 2, max: 5}", Range(low=2, high=5, integer=True)),
        ("lr: {distribution: uniform, min: 1, max: 2}", Range(low=1, high=2)),
        ("lr: {distribution: log_uniform_values, min: 1.0e-4, max: 0.1}", Range(low=1e-4, high=0.1, log=True)),
        ("lr: {distribution: log_uniform, min: -3, max: 0}", Range(low=math.exp(-3), high=1, log=True)),
        ("lr: {distribution: q_uniform, min: 0.1, max: 0.5, q: 0.2}", Range(low=0.0, high=0.4, step=0.2)),
        ("sigma: {distribution: q_uniform, min: 1, max: 5}", Range(low=1, high=5, step=1, integer=True)),
        ("lr: {distribution: categorical, values: [1, 2]}", Choice((1, 2))),
    ],
)
def test_distributions_of_wandb(tmp_path, text, space):
    found = next(iter(read(tmp_path, text).parameters.values()))
    if isinstance(space, Range) and space.step:
        assert found == Range(
            low=pytest.approx(space.low), high=pytest.approx(space.high), step=space.step, integer=space.integer
        )
    else:
        assert found == space


def test_a_grid_lists_ranges_with_steps(tmp_path):
    sweep = read(
        tmp_path,
        "batch_size: {min: 2, max: 4}\n  lr: {distribution: q_uniform, min: 0.1, max: 0.3, q: 0.1}",
        "method: grid\n",
    )
    assert [tuple(cell.values()) for cell in sweep.cells()] == [
        (size, rate) for size in (2, 3, 4) for rate in (0.1, 0.2, 0.3)
    ]


@pytest.mark.parametrize(
    ("text", "pruner"),
    [
        ("{type: hyperband, min_iter: 3}", Pruner(kind="hyperband", min_epochs=3)),
        ("{type: hyperband, max_iter: 27, s: 2}", Pruner(kind="hyperband", min_epochs=3, max_epochs=27)),
        ("{type: hyperband, max_iter: 32, s: 3, eta: 2}", Pruner(kind="hyperband", min_epochs=4, max_epochs=32, eta=2)),
        ("{type: median, min_iter: 4, startup_trials: 2}", Pruner(kind="median", min_epochs=4, startup_trials=2)),
    ],
)
def test_early_terminate(tmp_path, text, pruner):
    assert read(tmp_path, "lr: {values: [1, 2]}", f"method: grid\nearly_terminate: {text}\n").pruner == pruner


def test_the_settings_of_the_command_count_too(tmp_path):
    base = write(tmp_path, "optimizer: {weight_decay: 0.1}", "base.yaml")
    command = f"command: ['${{env}}', python, -m, flexdan, train, --config, {base}, --num_epochs=9, '${{args}}']"
    sweep = read(tmp_path, "lr: {values: [1, 2]}\n  batch_size: {value: 3}", f"method: grid\n{command}\n")
    assert sweep.settings == {"optimizer.weight_decay": 0.1, "training.num_epochs": 9, "training.batch_size": 3}
    swept = read(tmp_path, "num_epochs: {values: [1, 2]}", f"method: grid\n{command}\n")  # which wins
    assert swept.settings == {"optimizer.weight_decay": 0.1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "method: hyper\nparameters: {lr: {values: [1]}}",
            "has the method 'hyper', but must have grid",
        ),
        ("method: grid\nparameters: {lr: {min: 0.1, max: 1}}", "lr has any value from 0.1 to 1, which a grid"),
        ("method: grid\nparameters: {lr: {values: []}}", "values must be a list with something in it"),
        ("method: grid\nparameters: {lr: {values: [1, 1]}}", "lr has a value twice"),
        ("method: grid\nparameters: {lr: 1}", "the parameter lr is 1, but needs `values"),
        ("method: grid\nparameters: {lr: {vlaues: [1]}}", "lr is {'vlaues': .1.}, but needs"),
        ("method: grid\nparameters: {lr: {values: [1], probabilities: [1]}}", "probabilities, which categorical does"),
        ("method: grid\nparameters: []", "has no parameters"),
        ("method: grid\nparameters: {lrr: {value: 1}}", "unknown setting 'lrr'"),
        ("method: random\nparameters: {lr: {distribution: normal, mu: 0}}", "distribution 'normal', which is not supp"),
        ("method: random\nparameters: {lr: {distribution: uniform, min: 1}}", "uniform, which needs max"),
        ("method: random\nparameters: {lr: {min: 2, max: 1}}", "min 2 above max 1"),
        ("method: random\nparameters: {lr: {distribution: log_uniform_values, min: 0, max: 1}}", "logarithm needs it"),
        ("method: random\nparameters: {lr: {min: a, max: b}}", "lr is .*could not convert"),
        (f"{LR}run_cap: 0", "run_cap 0, but it must be a whole number"),
        (f"{LR}early_terminate: {{type: hyperband}}", "needs either min_iter, or both"),
        (f"{LR}early_terminate: {{type: hyperband, min_iter: 1, s: 2}}", "needs either min_iter, or both"),
        (f"{LR}early_terminate: hyperband", "needs `type: hyperband` or"),
        (f"{LR}method: grid", "the key method is there twice"),
        ("method: grid\nparameters: {lr: {min: 1, max: 2}, lr: {value: 2}}", "the key lr is there twice"),
        ("method: grid\nparameters: {seed: {min: 0, max: 100000000}}", "the grid has 100,000,001 cells"),
        (f"{LR}early_stop: 1", "has early_stop, which is not supported"),
        (f"{LR}metric: iou", "metric 'iou', but it needs a name"),
        (f"{LR}metric: {{name: iou}}", "the metric 'iou', but must have one of"),
        (f"{LR}metric: {{name: dice, goal: minimize}}", "goal 'minimize' for dice, but it must be maximize"),
        (f"{LR}metric: {{name: dice, target: 1}}", "metric.target is not supported"),
        (f"{LR}early_terminate: {{type: sh}}", "needs `type: hyperband` or"),
        (f"{LR}early_terminate: {{type: hyperband, strict: true}}", "early_terminate.strict is not supported"),
        (f"{LR}early_terminate: {{type: hyperband, s: 2}}", "needs either min_iter, or both"),
        (f"{LR}command: [x, --learn, '1']", "command: unknown option 'learn'"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_sweep(write(tmp_path, text))


def test_a_file_of_settings_is_no_sweep(tmp_path):
    assert is_sweep(write(tmp_path, GRID))
    assert not is_sweep(write(tmp_path, "sn: {num_fcn_blocks: 5}"))


def test_a_python_file_returns_a_sweep(tmp_path):
    text = """
from flexdan.experiments import Choice, Sweep

def sweep():
    return Sweep(parameters={"lr": Choice((0.1, 0.2))}, settings={"num_epochs": 4}, method="random", run_cap=3)
"""
    path = write(tmp_path, text, "mine.py")
    assert is_sweep(path)
    sweep, _ = read_sweep(path)
    assert (sweep.method, sweep.run_cap, sweep.settings) == ("random", 3, {"training.num_epochs": 4})
    for text, message in (("x = 1", "has no function sweep"), ("def sweep(): return 1", "returns 1, which is no")):
        with pytest.raises(UserError, match=message):
            read_sweep(write(tmp_path, text, "mine.py"))
    with pytest.raises(UserError, match="no such file"):
        read_sweep(tmp_path / "other.py")
    for text, message in (
        ("def sweep(): return 1 / 0", "fails with ZeroDivisionError: division by zero"),
        ("def sweep(:", "fails with SyntaxError"),
        (
            "from flexdan.experiments import Sweep\ndef sweep(): return Sweep(parameters={'lr': [1]})",
            "must be a Choice",
        ),
    ):
        with pytest.raises(UserError, match=message):
            read_sweep(write(tmp_path, text, "mine.py"))


@pytest.mark.parametrize(("name", "count"), [("3", 32), ("4", 120), ("5", 162)])
def test_the_logs_grids_as_files_and_as_python_are_the_same(name, count):
    """But for `auto`, which the log's files say as what it becomes."""
    from_file, notes = read_sweep(EXAMPLES / f"experiment{name}.yaml")
    assert [note.split()[0] for note in notes] == ["scheduler_verbose"]
    theirs, ours = (configs(one) for one in (from_file, find_sweep(name)))
    assert len(theirs) == len(ours) == count
    for one, other in zip(map(setting_values, theirs), map(setting_values, ours), strict=True):
        assert all(value in ("auto", one[setting]) for setting, value in other.items())


@pytest.mark.parametrize("name", ["3", "4", "9"])
def test_sweeps_of_experiments_have_their_cells(name):
    sweep = find_sweep(name)
    assert configs(sweep) == [one.config for one in find_experiment(name).cells]


def test_experiment_5_has_the_values_of_its_cells():
    found, cells = configs(find_sweep("5")), find_experiment("5").cells[1:]
    assert [config.en for config in found] == [cell.config.en for cell in cells]
    assert {config.adversarial.gan_start_epoch for config in found} == {40}
    assert [config.adversarial.sigma_weight for config in found] == [
        cell.config.adversarial.sigma_weight for cell in cells
    ]


def test_an_experiment_that_is_no_sweep_is_refused():
    with pytest.raises(UserError, match="experiment '1' is no sweep: those that are have the names 3, 4, 5, 9"):
        find_sweep("1")
    assert all(SWEEPS[name]().method == "grid" for name in SWEEPS)
