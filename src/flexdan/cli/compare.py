"""`flexdan compare`: configurations against each other, over seeds and images."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flexdan.cli.parser import describe
from flexdan.config.errors import UserError

if TYPE_CHECKING:
    from flexdan.report.contest import Comparison
    from flexdan.report.tables import Table

WHAT = """\
Compare runs: figures of each configuration over its seeds, paired differences from a baseline with intervals over seeds
and over images, and a check whether the comparison is fair.

RUN may be a run folder, or a folder with runs in it such as a sweep or an output of `flexdan experiments run`. Runs
that differ in the seed only are one configuration, named by the settings in which it differs from the others. What is
not measured on the split yet, or no longer of the best epoch, is measured first, as `flexdan evaluate` does.

Figures are pooled over all images, or means over images: both are named and never mixed. A difference is called better
or worse only if its intervals over seeds, over images and over both lie on one side of zero; see docs/compare.md."""
EXAMPLES = """\
  flexdan compare runs/supervised-* runs/dan-* --split test
  flexdan compare runs/scarce --by grade --picture scarce.svg
  flexdan compare sweeps/first --split val --weights last --metric dice f1
  flexdan compare runs/scarce --format latex -o table.tex
  flexdan compare runs/scarce --metric all --format csv -o all.csv --require-fair"""
FORMATS = ("text", "csv", "markdown", "latex")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(prog="flexdan compare", **describe(WHAT, EXAMPLES))
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folder, or folder with runs in it")
    add_compare_options(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write there; default: standard output")
    parser.add_argument("--force", action="store_true", help="overwrite the files of -o and --picture")
    return parser


def add_compare_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `compare` and `baseline` share."""
    add = parser.add_argument
    add("--split", default="", help="default: test where every run's manifest has one, else val")
    add("--weights", choices=("best", "last"), default="best", help="of each run; default: best")
    add(
        "--metric",
        "--metrics",
        dest="metrics",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="such as f1 or full_resolution.dice, or all; default: F1, Dice and Hausdorff of objects, Dice and IoU of "
        "pixels",
    )
    add(
        "--baseline",
        default="",
        metavar="NAME",
        help="name or run folder; default: the only supervised one, or the first",
    )
    add("--over", choices=("pooled", "images", "both"), default="both", help="which figures; default: both")
    add("--by", choices=("grade", "group"), default="", help="differences for each grade or group of images, too")
    add("--format", choices=FORMATS, default="text", help="default: text")
    add("--picture", type=Path, metavar="FILE", help="draw the differences into this SVG file")
    add("--clusters", action="store_true", help="resample whole groups, such as patients, instead of single images")
    add("--resamples", type=int, default=2000, metavar="N", help="of the bootstrap; default: 2000")
    add("--seed", type=int, default=0, help="of the bootstrap; default: 0")
    add("--require-fair", action="store_true", help="exit code 1 if a line of the check fails or is unknown")
    add("--no-evaluate", action="store_true", help="measure nothing; read what is there")


def run(argv: Sequence[str]) -> int:
    """Run the command; 1 if --require-fair is not met."""
    return compare_runs(make_parser().parse_args(argv))


def compare_runs(options: argparse.Namespace) -> int:
    """Compare the runs that the options of `make_parser` name, and print or write the result."""
    check_compare_options(options)
    from flexdan.report.checks import fairness_verdict, is_fair

    comparison = _compare(options)
    text = _text(comparison, options)
    if options.output:
        _write(options.output, text)
        print(f"written: {options.output}; {fairness_verdict(comparison.checks)}")
    else:
        print(text, end="")
    if options.format in ("csv", "latex"):
        _print_checks(comparison)
    if options.picture:
        _draw(comparison, options)
    return 1 if options.require_fair and not is_fair(comparison.checks) else 0


def check_compare_options(options: argparse.Namespace) -> None:
    """Raise a `UserError` if an option is out of its range, or a file is there that may not be overwritten."""
    from flexdan.config.files import refuse_existing

    if options.resamples < 100:
        raise UserError(f"--resamples is {options.resamples}: an interval of 95 % needs 100 at least")
    if options.seed < 0:
        raise UserError(f"--seed is {options.seed}: it must be 0 or more")
    for file in (options.output, options.picture):
        if file is not None:
            if file.is_dir():
                raise UserError(f"{file} is a folder: name a file, such as {file / 'comparison'}")
            refuse_existing(file, options.force)
    if options.picture is not None and options.picture.suffix.lower() != ".svg":
        raise UserError(f"--picture is {options.picture}: it is drawn as SVG, so the file must end in .svg")


def _compare(options: argparse.Namespace) -> "Comparison":
    from flexdan.cli.evaluated import read_contestants
    from flexdan.report.configurations import find_baseline, group_runs
    from flexdan.report.contest import choose_metrics, compare_configurations

    contestants = read_contestants(
        options.runs,
        options.split,
        options.weights,
        evaluate=not options.no_evaluate,
        manifest=getattr(options, "manifest", None),
    )
    metrics = choose_metrics(contestants[0].scores, options.metrics)
    configurations = group_runs(contestants)
    if len(configurations) == 1:
        seeds = ", ".join(map(str, configurations[0].members))
        print(f"note: all runs are one configuration (seeds {seeds}): nothing to compare it with", file=sys.stderr)
    baseline = find_baseline(configurations, options.baseline)
    for one in configurations:
        if not set(one.members) & set(baseline.members):
            print(f"note: {one.name} has no seed in common with {baseline.name}: no differences", file=sys.stderr)
    return compare_configurations(
        configurations,
        baseline,
        metrics,
        resamples=options.resamples,
        seed=options.seed,
        clusters=options.clusters,
        by=options.by,
    )


def _ways(options: argparse.Namespace) -> list[str]:
    return {"pooled": ["pooled"], "images": ["image_mean"], "both": ["pooled", "image_mean"]}[options.over]


def _text(comparison: "Comparison", options: argparse.Namespace) -> str:
    """Return the result in the format that was asked for."""
    from flexdan.cli.tables import table_text
    from flexdan.report.checks import fairness_table
    from flexdan.report.comparison_tables import comparison_csv
    from flexdan.report.table_formats import latex, markdown

    if options.format == "csv":
        return comparison_csv(comparison, _ways(options))
    tables = _tables(comparison, options)
    if options.format == "latex":
        return "\n\n".join(map(latex, tables)) + "\n"
    tables.append(fairness_table(comparison.checks))
    if options.format == "markdown":
        return "\n\n".join(markdown(table).rstrip() for table in tables) + "\n"
    blocks = []
    for table in tables:
        numbers = range(table.text_columns, len(table.header))
        lines = [f"{table.title}:", table_text(table.header, table.rows, numbers), table.note]
        blocks.append("\n".join(filter(None, lines)))
    return "\n\n".join(blocks) + "\n"


def _tables(comparison: "Comparison", options: argparse.Namespace) -> "list[Table]":
    from flexdan.report.comparison_tables import differences_table, figures_table, how, parts_table

    tables: list[Table] = []
    for way in _ways(options):
        tables.append(figures_table(comparison, way))
        if comparison.differences:
            tables.append(differences_table(comparison, way))
            tables += [parts_table(comparison, way, options.by)] if options.by else []
    if comparison.differences:
        tables[-1] = replace(tables[-1], note=" ".join(filter(None, (tables[-1].note, how(comparison)))))
    return tables


def _print_checks(comparison: "Comparison") -> None:
    """Print the check on standard error, where it disturbs no other program."""
    from flexdan.report.checks import fairness_verdict

    print(fairness_verdict(comparison.checks), file=sys.stderr)
    for one in comparison.checks:
        remedy = f" ({one.remedy})" if one.remedy else ""
        print(f"  {one.state:<7}  {one.name}: {one.found}{remedy}", file=sys.stderr)


def _draw(comparison: "Comparison", options: argparse.Namespace) -> None:
    from flexdan.report.comparison_figure import WIDTH, comparison_figure
    from flexdan.report.standalone import standalone

    if not comparison.differences:
        raise UserError("--picture draws differences, and there are none: compare two configurations that share a seed")
    drawing, height = comparison_figure(comparison, _ways(options)[0])
    _write(options.picture, standalone(drawing, WIDTH, height))
    print(f"picture: {options.picture}", file=sys.stderr)


def _write(path: Path, text: str) -> None:
    from flexdan.config.files import atomic_path

    try:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; name another place") from error
