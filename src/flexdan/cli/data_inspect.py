"""`flexdan data inspect`: show what is in a manifest, and check it for leaks."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flexdan.cli.parser import describe
from flexdan.config.errors import UserError

if TYPE_CHECKING:
    from flexdan.data.leaks import Finding
    from flexdan.data.summary import SplitSummary

SHOWN = 10  # findings of one kind
KINDS = {
    "file": "files that are missing, broken or changed",
    "mask": "masks that do not fit",
    "identical": "identical images in two splits",
    "near-identical": "almost identical images in two splits, which may be false alarms: look at them",
    "group": "groups in two splits, so that results flatter the network",
}
EXAMPLES = """\
  flexdan data inspect data/manifest.csv -o sheet.png
      a table, the checks, and a contact sheet with the outlines of the masks
  flexdan data inspect data/manifest.csv --strict
      exit code 1 if a check finds something
  flexdan data inspect data/manifest.csv --json
      the same for programs
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(
        prog="flexdan data inspect",
        **describe(
            "Show what is in a manifest, and check it: changed files, masks of another size, the same or almost the\n"
            "same image in two splits, and groups (patients) in two splits.",
            EXAMPLES,
        ),
    )
    add = parser.add_argument
    add("manifest", type=Path, metavar="MANIFEST", help="made by `flexdan data import`")
    add("-o", "--output", type=Path, metavar="FILE", help="draw a contact sheet to this image file")
    add("--images", type=int, default=24, metavar="N", help="at most so many on the contact sheet; default: 24")
    add("--similarity", type=float, metavar="R", help="correlation from which images count as almost identical")
    add("--json", action="store_true", help="print JSON")
    add("--strict", action="store_true", help="exit code 1 if a check finds something; default: only say so")
    add("--force", action="store_true", help="overwrite the file at -o")
    return parser


def run(argv: list[str]) -> int:
    """Run the command."""
    options = make_parser().parse_args(argv)
    from flexdan.cli.progress import track
    from flexdan.config.files import atomic_path, refuse_existing
    from flexdan.data.images import write_image
    from flexdan.data.leaks import NEAR_IDENTICAL, check_manifest
    from flexdan.data.manifest import read_manifest
    from flexdan.data.summary import summarize

    threshold = NEAR_IDENTICAL if options.similarity is None else options.similarity
    if not 0 < threshold <= 1:
        raise UserError(f"--similarity is {threshold:g}: it must be above 0 and at most 1 (default: {NEAR_IDENTICAL})")
    if options.images < 1:
        raise UserError(f"--images is {options.images}: the contact sheet needs at least 1")
    if options.output:
        refuse_existing(options.output, options.force)
        if options.output.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            raise UserError(f"-o {options.output}: the contact sheet is an image; let the name end in .png or .jpg")
    records = read_manifest(options.manifest)
    if not records:
        raise UserError(f"the manifest {options.manifest} lists no image: make one with `flexdan data import`")
    summaries = summarize(records, track)
    findings = check_manifest(records, track, threshold)
    if options.output:
        from flexdan.data.contact_sheet import draw_contact_sheet

        sheet = draw_contact_sheet(records, options.images, track)
        with atomic_path(options.output) as temporary:
            write_image(temporary, sheet)
    if options.json:
        _print_json(summaries, findings)
    else:
        _print_table(summaries)
        _print_findings(findings)
        if options.output:
            print(f"contact sheet: {options.output}")
    return 1 if findings and options.strict else 0


def _print_json(summaries: "list[SplitSummary]", findings: "list[Finding]") -> None:
    from dataclasses import asdict

    print(json.dumps({"splits": list(map(asdict, summaries)), "findings": list(map(asdict, findings))}, indent=2))


def _print_table(summaries: "list[SplitSummary]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=None)
    table.add_column("")
    for summary in summaries:
        table.add_column(summary.split or "(no split)", justify="right")
    for title, cells in _rows(summaries):
        table.add_row(title, *cells)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _rows(summaries: "list[SplitSummary]") -> list[tuple[str, list[str]]]:
    def spread(numbers: tuple[float, float, float]) -> str:
        return " / ".join(f"{number:g}" for number in numbers) if numbers[0] != numbers[2] else f"{numbers[0]:g}"

    def optional(number: float | None, form: str) -> str:
        return "-" if number is None else format(number, form)

    def some(values: tuple[int, ...]) -> str:
        return " ".join(map(str, values[:8])) + (" …" if len(values) > 8 else "") or "-"

    rows = [
        ("images", [str(one.images) for one in summaries]),
        ("annotated", [str(one.annotated) for one in summaries]),
        ("unannotated", [str(one.unannotated) for one in summaries]),
        ("groups", [str(one.groups or "-") for one in summaries]),
        ("height (min / median / max)", [spread(one.heights) for one in summaries]),
        ("width (min / median / max)", [spread(one.widths) for one in summaries]),
        ("channels", [" ".join(map(str, one.channels)) for one in summaries]),
        ("mask values mean", ["; ".join(one.mask_values) or "-" for one in summaries]),
        ("mask values", [some(one.values) for one in summaries]),
        ("foreground", [optional(one.foreground, ".1%") for one in summaries]),
        ("objects per image", [optional(one.objects, ".1f") for one in summaries]),
    ]
    if any(one.unreadable for one in summaries):
        rows.append(("unreadable masks", [str(one.unreadable) for one in summaries]))
    return rows


def _print_findings(findings: "list[Finding]") -> None:
    if not findings:
        print("checks: no changed files, no wrong masks, no image and no group in two splits")
    for kind, title in KINDS.items():
        here = [finding for finding in findings if finding.kind == kind]
        if not here:
            continue
        print(f"warning: {title}: {len(here)}")
        for finding in here[:SHOWN]:
            print(f"  {finding.text}")
        if len(here) > SHOWN:
            print(f"  … and {len(here) - SHOWN} more (all of them: --json)")
