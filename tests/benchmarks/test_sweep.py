import runpy
from pathlib import Path

SWEEP = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "sweep.py"))


def test_every_method_goes_through_the_whole_machinery(tmp_path):
    for method in SWEEP["METHODS"]:
        found = SWEEP["measure"](method, 12, "", tmp_path / method)
        assert set(found) == {"create", "first", "last", "all", "summary"}
        assert all(seconds > 0 for seconds in found.values())
        assert 0 < found["first"] <= found["all"]


def test_a_line_for_each_number_of_trials(capsys):
    assert SWEEP["main"](["--methods", "grid", "--trials", "3", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[1:3] for line in lines[2:]] == [["grid", "3"], ["grid", "4"]]
