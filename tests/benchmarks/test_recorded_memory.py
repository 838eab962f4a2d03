import runpy
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "recorded_memory.py"


def test_outcomes_are_predicted_as_recorded_but_for_one_evaluation_network():
    """The three wrong ones need less than a combination that fitted, see docs/memory.md."""
    bench = runpy.run_path(str(BENCHMARK))
    cases, memory = bench["read_cases"](), bench["DEVICE"].memory
    found = {case.name: bench["recorded_bytes"](case) for case in cases}
    assert len(cases) == len(found) == 71
    assert sum((live <= memory) == case.fits for case in cases for live in [found[case.name][0]]) == 65
    wrong = [case.name for case in cases if (found[case.name][1] <= memory) != case.fits]
    assert wrong == [f"5: (5, 2, 8, double_run) (6, 2, 64, {depth}, 512)" for depth in (1, 2, 4)]
    largest = max(found[case.name][1] for case in cases if case.fits)
    assert found[wrong[0]][1] < largest < memory
