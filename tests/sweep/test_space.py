import pytest

from flexdan.config import UserError
from flexdan.sweep import is_sweep, read_grid

GRID = """
method: grid
metric: {name: val_loss, goal: minimize}
parameters:
  sn_num_fcn_blocks: {values: [4, 5]}
  lr: {values: [0.1, 0.01, 0.001]}
  batch_size: {value: 3}
  training:
    parameters:
      num_epochs: {values: [7]}
  use_gan: {value: true}
"""


def write(tmp_path, text):
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    return path


def test_a_grid_has_every_combination_under_any_accepted_name(tmp_path):
    cells = read_grid(write(tmp_path, GRID))
    assert [name for name, _ in cells][:2] == ["sn_num_fcn_blocks=4,lr=0.1", "sn_num_fcn_blocks=4,lr=0.01"]
    assert {(config.sn.num_fcn_blocks, config.optimizer.lr) for _, config in cells} == {
        (blocks, lr) for blocks in (4, 5) for lr in (0.1, 0.01, 0.001)
    }
    assert all(config.training.batch_size == 3 and config.training.num_epochs == 7 for _, config in cells)
    assert all(config.strategy == "dan" for _, config in cells)


def test_settings_of_the_base_stand_below_those_of_the_file(tmp_path):
    cells = read_grid(write(tmp_path, GRID), {"training.batch_size": 8, "seed": 5})
    assert {(config.training.batch_size, config.seed) for _, config in cells} == {(3, 5)}


def test_a_file_of_settings_is_no_sweep(tmp_path):
    assert is_sweep(write(tmp_path, GRID))
    assert not is_sweep(write(tmp_path, "sn: {num_fcn_blocks: 5}"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method: bayes\nparameters: {lr: {min: 0.1, max: 1}}", "method 'bayes'"),
        ("method: grid\nparameters: {lr: {min: 0.1, max: 1}}", "the parameter lr is"),
        ("method: grid\nparameters: {lr: {values: []}}", "the parameter lr is"),
        ("method: grid\nparameters: {lrr: {values: [1]}}", "lrr"),
        ("method: grid\nparameters: {batch_size: {values: [0]}}", "training.batch_size is 0"),
        ("method: grid\nparameters: []", "has no parameters"),
    ],
)
def test_mistakes_are_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_grid(write(tmp_path, text))
