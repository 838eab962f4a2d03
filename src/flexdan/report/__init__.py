"""Reports: a page about a run, made from its record and its evaluations, or about a sweep; free of torch.

`pictures` is not imported here: it needs the readers of images, and a page without pictures does without them.
"""

from flexdan.report.page import build_page
from flexdan.report.run import Evaluation, ImageScore, Run, read_run
from flexdan.report.sweep import build_sweep_page, sweep_verdict
from flexdan.report.takeaways import best_of_all, differences, left_out

__all__ = [
    "Evaluation",
    "ImageScore",
    "Run",
    "best_of_all",
    "build_page",
    "build_sweep_page",
    "differences",
    "left_out",
    "read_run",
    "sweep_verdict",
]
