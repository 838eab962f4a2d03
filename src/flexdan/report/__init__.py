"""Reports: one page about a run, made from its record and the files of its evaluations; free of torch.

`pictures` is not imported here: it needs the readers of images, and a page without pictures does without them.
"""

from flexdan.report.page import build_page
from flexdan.report.run import Evaluation, ImageScore, Run, read_run

__all__ = ["Evaluation", "ImageScore", "Run", "build_page", "read_run"]
