"""`flexdan report`: write one page about a run."""

import argparse
import sys
from pathlib import Path

from flexdan.cli.parser import describe
from flexdan.config.errors import UserError

EXAMPLES = """\
  flexdan report runs/first
      writes runs/first/report.html
  flexdan report runs/first --predictions predictions/ -o first.html --force
      with pictures of what `flexdan predict` has written there"""
WHAT = """\
Write one page about a run: verdict, facts, curves of every epoch, evaluations, best and worst images, settings; of an
adversarial run also how the contest of its networks stood.

The page is a single HTML file that opens without a network and can be mailed. It is made from the record of the run
and from RUN/evaluation/*; a run that still goes on has a report too.

Pictures: the examples that `flexdan evaluate` has drawn; with --predictions the best and worst images of an evaluation
instead, where that folder has them, and else some of the outlines in it."""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(prog="flexdan report", **describe(WHAT, EXAMPLES))
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="run folder")
    add("-o", "--output", type=Path, metavar="FILE", help="default: RUN/report.html")
    add("--images", type=int, default=8, metavar="N", help="best and worst of each evaluation, together; default: 8")
    add("--predictions", type=Path, metavar="DIR", help="show pictures from this output of `flexdan predict`")
    add("--force", action="store_true", help="overwrite the file")
    return parser


def run(argv: list[str]) -> int:
    """Run the command."""
    options = make_parser().parse_args(argv)
    from flexdan.config.files import atomic_path, refuse_existing
    from flexdan.report import build_page, read_run
    from flexdan.report.tables import health_verdict, outdated, verdict

    folder = options.run.parent if options.run.is_file() else options.run
    output = options.output or folder / "report.html"
    if options.images < 0:
        raise UserError(f"--images is {options.images}: it must be 0 (none) or more")
    if output.is_dir():
        raise UserError(f"-o is {output}, which is a folder: name a file, such as {output / 'report.html'}")
    refuse_existing(output, options.force)
    record = read_run(folder)
    pictures, examples = {}, {}
    if options.predictions or (record.evaluations and options.images):
        from flexdan.report.pictures import draw_pictures, read_examples

        pictures = draw_pictures(record, options.predictions, options.images) if options.predictions else {}
        examples = read_examples(record) if options.images else {}
    page = build_page(record, options.images, pictures, examples)
    try:
        with atomic_path(output) as path:
            path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror}; name another place with -o") from error
    for one in record.evaluations:
        if old := outdated(one, record):
            print(f"note: {old}: run `flexdan evaluate` again", file=sys.stderr)
    print(f"{record.name}: {verdict(record)}")
    if record.health:
        print(health_verdict(record))
    print(f"page: {output} ({len(page.encode()) / 1024:.0f} KiB)")
    return 0
