"""The progress bar: quiet while work is quick, honest when it is not."""

import pytest

from flexdan.cli import progress


def test_quick_work_shows_nothing(capsys):
    assert list(progress.track([1, 2, 3], "counting")) == [1, 2, 3]
    assert capsys.readouterr().err == ""


def test_slow_work_shows_what_is_done(monkeypatch, capsys):
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    made = []
    make_bar = progress._make_bar
    monkeypatch.setattr(progress, "_make_bar", lambda: made.append(make_bar()) or made[0])
    assert list(progress.track(["a", "b"], "counting")) == ["a", "b"]
    (task,) = made[0].tasks
    assert (task.description, task.completed, task.total) == ("counting", 2, 2)
    assert capsys.readouterr().out == ""


def test_the_bar_stops_when_the_work_fails(monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    stopped = []
    make_bar = progress._make_bar

    def make():
        bar = make_bar()
        monkeypatch.setattr(bar, "stop", lambda stop=bar.stop: (stopped.append(True), stop()))
        return bar

    monkeypatch.setattr(progress, "_make_bar", make)
    items = progress.track([1, 2], "counting")
    next(items)
    with pytest.raises(RuntimeError):
        items.throw(RuntimeError("failed"))
    assert stopped == [True]
