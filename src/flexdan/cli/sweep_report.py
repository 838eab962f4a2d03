"""`flexdan sweep report`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from flexdan.cli.parser import describe
from flexdan.cli.sweeps import add_sweep_arguments, open_sweep
from flexdan.config.errors import UserError
from flexdan.config.files import atomic_path, refuse_existing

WHAT = """\
Write a page about a sweep: what it teaches, with how many trials stand behind each sentence, the ranking, the effect
and the importance of each parameter, parallel coordinates, and what gave nothing. It is one HTML file that opens
offline; a sweep that still runs has one too."""
EXAMPLES = """\
  flexdan sweep report sweeps/first
  flexdan sweep report sweeps/first -o report.html"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(prog="flexdan sweep report", **describe(WHAT, EXAMPLES))
    add_sweep_arguments(parser)
    parser.add_argument("-o", "--output", default="", metavar="FILE", help="default: report.html in the folder")
    parser.add_argument("--force", action="store_true", help="overwrite the file")
    return parser


def run(argv: Sequence[str]) -> int:
    """Write the page, and print what it says."""
    options = make_parser().parse_args(argv)
    path = Path(options.output or options.folder / "report.html")
    if path.is_dir():
        raise UserError(f"-o is {path}, which is a folder: name a file, such as {path / 'report.html'}")
    refuse_existing(path, options.force)
    study = open_sweep(options.folder, options.storage, options.name)
    from flexdan.report import best_of_all, build_sweep_page, differences, left_out, sweep_verdict
    from flexdan.sweep import summarize_sweep

    summary = summarize_sweep(study)
    page = build_sweep_page(summary)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    print(sweep_verdict(summary))
    for line in (best_of_all(summary), *(one.text for one in [*differences(summary), *left_out(summary)])):
        print(line)
    print(f"page: {path} ({len(page.encode()) / 1024:.0f} KiB)")
    return 0
