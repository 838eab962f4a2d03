import pytest

from flexdan.report import read_run
from flexdan.report.updates import match_updates, updates_before, updates_done, updates_planned


def test_updates_are_those_of_the_epochs_and_planned_ones_go_on_as_the_last(tmp_path, record, adversarial_events):
    run = read_run(record(tmp_path / "run", adversarial_events))
    assert (updates_done(run), updates_planned(run), updates_before(run)) == (30, 30, 0)
    run = read_run(record(tmp_path / "stopped", adversarial_events[:4]))
    assert (updates_done(run), updates_planned(run)) == (20, 30)


def test_what_a_record_does_not_tell_is_not_known(folder):
    run = read_run(folder)
    assert updates_done(run) is None
    assert updates_planned(run) is None


def test_updates_before_are_those_of_the_whole_chain(tmp_path, record, adversarial_events):
    for name, start in (("a", ""), ("b", "a"), ("c", "b/best.ckpt"), ("loop", "loop")):
        adversarial_events[0]["config"]["init_sn"] = str(tmp_path / start) if start else ""
        record(tmp_path / name, adversarial_events)
    assert updates_before(read_run(tmp_path / "c")) == 60
    assert updates_before(read_run(tmp_path / "loop")) is None


@pytest.mark.parametrize(
    ("total", "epochs", "expected"),
    [(400, 10, (10, 40)), (720, 10, (10, 72)), (25, 3, (5, 5)), (10, 3, (2, 5)), (1, 1, (1, 1)), (761, 10, (10, 76))],
)
def test_epochs_and_updates_match_a_total(total, epochs, expected):
    assert match_updates(total, epochs) == expected


def test_a_match_is_exact_wherever_a_divisor_is_near_and_else_misses_by_half_the_epochs_at_most():
    for total in range(1, 400):
        for epochs in range(1, 30):
            found, updates = match_updates(total, epochs)
            near = any(total % one == 0 for one in range(-(-epochs // 2), 2 * epochs + 1))
            assert epochs / 2 <= found <= 2 * epochs
            assert found * updates == total if near else abs(found * updates - total) <= max(epochs / 2, epochs - total)
