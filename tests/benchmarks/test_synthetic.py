import re
import runpy
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "synthetic.py"


def test_prints_both_figures(capsys):
    runpy.run_path(str(BENCHMARK))["main"](["--count", "15", "--size", "48", "64", "--epochs", "1"])
    out = capsys.readouterr().out
    assert len(re.findall(r"bins of (?:RGB|Lab)\): 0\.\d{3}", out)) == 2
    assert re.search(r"network, 1 epochs: [01]\.\d{3} after \d+ s", out)
