"""`flexdan evaluate`: measure a trained network, or masks that some other program made."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flexdan.cli.evaluation import add_evaluation_options, evaluate
from flexdan.cli.parser import describe
from flexdan.cli.tables import print_table
from flexdan.config.errors import UserError
from flexdan.config.views import views_text

EXAMPLES = """\
  flexdan evaluate runs/first --split test
      writes metrics.json, images.csv, counts.csv, examples.png and reliability.svg into runs/first/evaluation/test
  flexdan evaluate runs/first --split test --tta
      the same, averaged over mirror images, into runs/first/evaluation/test-tta
  flexdan evaluate runs/first --split test --ensemble runs/second --tta-turns
      the mean of two networks over eight views, into runs/first/evaluation/test-tta-turns-ensemble
  flexdan evaluate runs/first --tune-postprocessing
      find the post-processing that is best on the validation images, keep it in the run, and measure with it
  flexdan evaluate runs/first --split test --manifest data/other.csv -o other/ --json
  flexdan evaluate --predictions masks/ --truth annotations/ -o theirs/
      measure masks that some other program made
  flexdan evaluate --predictions labels/ --manifest data/manifest.csv --split test -o theirs/
"""
WHAT = """\
Measure a trained network on the annotated images of a split.

Pixels: accuracy, IoU, Dice, precision and recall, at the network's size, as validation during training does, and at
full resolution, against the masks as they are in their files. All but accuracy are those of the foreground; for more
than two classes, the mean over the classes except the background that are in the masks or in the prediction.

Objects, after post-processing, at full resolution: F1 of the detection, object Dice and object Hausdorff distance as
the GlaS challenge defines them; panoptic quality, AJI, average precision; of boundaries their F-score, the 95th
percentile of the Hausdorff distance and the average surface distance. Distances are in pixels, or units of --spacing.
Objects are compared whatever their class.

Calibration: the expected calibration error, and a reliability diagram.

Every figure is given twice: pooled over all pixels or objects of all images (the challenge's way), and as the mean over
images; each with the 95 % interval of a bootstrap over images; and by grade and group where the manifest has them.

Without RUN, --predictions measures the masks in a folder, against --truth or the masks of a manifest's split.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(prog="flexdan evaluate", **describe(WHAT, EXAMPLES))
    add = parser.add_argument
    add("run", type=Path, nargs="?", metavar="RUN", help="run folder, or a checkpoint file")
    add("--predictions", type=Path, metavar="DIR", help="measure the masks in this folder instead of a run")
    add("--truth", type=Path, metavar="DIR", help="for --predictions: the folder of the annotated masks")
    values = "binary, instances, or a mapping such as '0=0 128=1 255=ignore'; default: "
    add("--truth-values", metavar="TEXT", help=f"what the values in --truth mean: {values}binary if there are only two")
    add("--prediction-values", metavar="TEXT", help=f"the same of --predictions: {values}binary if there are only two")
    add("--json", action="store_true", help="print the figures as JSON instead of tables")
    add_evaluation_options(parser)
    return parser


def run(argv: list[str]) -> int:
    """Run the command."""
    options = make_parser().parse_args(argv)
    if (options.run is None) == (options.predictions is None):
        raise UserError("say either RUN, the folder of a run, or --predictions DIR, a folder of masks")
    if options.predictions:
        from flexdan.cli.evaluate_masks import evaluate_masks

        figures, output = evaluate_masks(options)
    else:
        if options.truth or options.truth_values or options.prediction_values:
            raise UserError("--truth, --truth-values and --prediction-values belong to --predictions, not to a run")
        figures, output = evaluate(options)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        _print_figures(figures)
        files = sorted(path.name for path in output.iterdir() if path.is_file())
        print(f"written into {output}: {', '.join(files)}")
    return 0


def _print_figures(figures: Mapping[str, Any]) -> None:
    """Print what stands in metrics.json, each figure with its interval."""
    from flexdan.report.evaluation_tables import (
        describe_intervals,
        describe_objects,
        figure_text,
        group_tables,
        object_tables,
        pixel_tables,
    )

    print(_title(figures))
    tables = [*pixel_tables(figures), *object_tables(figures), *group_tables(figures)]
    for table in tables:
        print()
        print_table(table.header, table.rows)
        if table.note:
            print(table.note)
    print()
    if objects := describe_objects(figures):
        print(f"Objects: {objects}.")
    if "calibration" in figures:
        ece = figures["calibration"]["pooled"]["ece"]
        print(f"Calibration: expected calibration error {figure_text('ece', ece)}, pooled over all pixels.")
    print(describe_intervals(figures))


def _title(figures: Mapping[str, Any]) -> str:
    images = f"{figures['images']} image{'s' * (figures['images'] != 1)}"
    if "weights" not in figures:
        return f"{figures['predictions']}: {images}"
    text = f"{figures['split']}: {images}, {figures['weights']} weights (epoch {figures['epoch']})"
    text += f", {views_text(figures['tta'])} averaged" if figures["tta"] else ""
    return text + (f", with {', '.join(figures['ensemble'])}" if figures["ensemble"] else "")
