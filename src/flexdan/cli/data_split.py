"""`flexdan data split`: divide a manifest into splits, and choose which training images stay annotated."""

import argparse
from pathlib import Path

from flexdan.cli.data_import import add_split_options, apply_splits, say_splits
from flexdan.cli.parser import describe
from flexdan.config.errors import UserError

EXAMPLES = """\
  flexdan data split data/manifest.csv --split train=0.7 val=0.15 test=0.15 --force
      divide at random, groups kept together, and write it in place
  flexdan data split data/glas.csv --annotated 9 --seed 1 -o data/glas-9.csv
      keep the splits; only 9 training images stay annotated
  flexdan data split data/manifest.csv --of train --split train=0.8 val=0.2 -o data/three.csv
      divide only the images of train; the other splits keep theirs, and none of them may be called val
  flexdan data split data/manifest.csv --of val --split test=1 -o data/renamed.csv
      give a split another name
  flexdan data split data/manifest.csv --split-file splits.csv -o data/mine.csv
      splits from a list: a CSV with the columns name, split
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(
        prog="flexdan data split",
        **describe("Divide a manifest into splits, and choose which training images stay annotated.", EXAMPLES),
    )
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", help="made by `flexdan data import`")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="the new manifest; default: in place")
    parser.add_argument(
        "--of",
        metavar="SPLIT",
        help="divide only the images of this split; what comes of it must not be a split that has other images already",
    )
    add_split_options(parser)
    parser.add_argument("--force", action="store_true", help="overwrite the manifest at -o, or the given one")
    return parser


def run(argv: list[str]) -> int:
    """Run the command."""
    options = make_parser().parse_args(argv)
    from flexdan.config.files import refuse_existing
    from flexdan.data.manifest import read_manifest, write_manifest

    if not (options.split or options.split_file or options.annotated):
        raise UserError("nothing to do: say --split train=0.8 val=0.2, --split-file FILE, or --annotated 9")
    if options.of is not None and not (options.split or options.split_file):
        raise UserError(f"--of is {options.of!r}: say with --split or --split-file how to divide that split")
    output = options.output or options.manifest
    records = read_manifest(options.manifest)
    refuse_existing(output, options.force)
    records = apply_splits(records, options, options.of)
    write_manifest(output, records)
    say_splits(records, output)
    return 0
