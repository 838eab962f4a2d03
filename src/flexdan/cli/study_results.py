"""The results of a study: every training that is done is evaluated, then tables and figures are written."""

import argparse
import csv
import json
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flexdan.config.errors import RunError, UserError
from flexdan.config.files import atomic_path
from flexdan.config.views import Views

if TYPE_CHECKING:
    from flexdan.config.trials import SweepSummary
    from flexdan.sweep import SweepStudy


def known_scores() -> list[str]:
    """Return the full names of all scores that an evaluation of a network with two classes has."""
    import numpy as np

    from flexdan.metrics import MEASURES, object_counts, object_metrics, surface_counts, surface_metrics
    from flexdan.metrics.scores import IMAGE_ONLY

    one = np.ones((8, 8), int)
    objects = object_metrics(object_counts(one, one)) | surface_metrics(surface_counts(one, one))
    levels = {
        "objects": list(objects),
        "full_resolution": MEASURES,
        "network_size": MEASURES,
        "calibration": ("ece", "mce"),
    }
    return [
        f"{level}.{name}.{way}"
        for level, names in levels.items()
        for name in names
        for way in (("image_mean",) if name in IMAGE_ONLY else ("pooled", "image_mean"))
    ]


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """How every network of a study is measured.

    Args:
        words: options of `flexdan evaluate`.
        tta: as they say.
        postprocessing: settings of the post-processing that they name.
        tune: find the post-processing of each network on the validation images first.
    """

    words: Sequence[str] = ()
    tta: Views = False
    postprocessing: Mapping[str, Any]
    tune: bool = False


def read_evaluation_options(text: str, tune: bool) -> EvaluationOptions:
    """Read options of `flexdan evaluate` from one text.

    Raises:
        UserError: for others than those of the network and of the post-processing, or values that are not allowed.
    """
    from flexdan.cli.loading import add_network_options
    from flexdan.cli.postprocessing import add_postprocessing_options, given_postprocessing

    parser = argparse.ArgumentParser(prog="--evaluate", add_help=False, allow_abbrev=False, exit_on_error=False)
    add_network_options(parser)
    add_postprocessing_options(parser)
    words = shlex.split(text)
    try:
        options, unknown = parser.parse_known_args(words)
    except (argparse.ArgumentError, SystemExit) as error:
        raise UserError(f"--evaluate is {text!r}: {error}; see `flexdan evaluate --help`") from error
    given = given_postprocessing(options)
    if options.ensemble:
        raise UserError(f"--evaluate is {text!r}: each network of a study is measured alone; leave --ensemble out")
    if unknown or (tune and given):
        why = (
            f"{unknown[0]} is no option of a network or of objects" if unknown else "--tune-postprocessing finds these"
        )
        raise UserError(f"--evaluate is {text!r}: {why}; see `flexdan evaluate --help`")
    return EvaluationOptions(words=words, tta=options.tta, postprocessing=given, tune=tune)


def write_results(
    study: "SweepStudy",
    folder: Path,
    split: str,
    scores: Sequence[str],
    ways: EvaluationOptions,
    *,
    note: str = "",
) -> int:
    """Evaluate what is trained and not evaluated, write tables and figures, and print what they say.

    Args:
        study: the sweep.
        folder: of the study.
        split: that is evaluated.
        scores: full names of those that are drawn.
        ways: how networks are measured.
        note: about the split.

    Returns:
        1 if an evaluation failed, else 0.
    """
    from flexdan.cli.tables import print_table
    from flexdan.metrics import LOWER_IS_BETTER
    from flexdan.report.learning_curve import missing, read_learning_curve
    from flexdan.report.learning_page import (
        UNLIKE,
        both_ways,
        build_learning_page,
        gain_rows,
        gains_table,
        learning_sheet,
        learning_takeaways,
        learning_verdict,
        summary_rows,
        summary_table,
        trial_rows,
    )
    from flexdan.report.table_formats import markdown
    from flexdan.sweep import summarize_sweep

    summary = summarize_sweep(study)
    failures = _evaluate(summary, folder, split, Path(study.sweep.settings["data.manifest"]), ways)
    curve = read_learning_curve(summary, folder, split, lower=LOWER_IS_BETTER, note=note)
    tables = [summary_table(curve, both_ways(scores)), gains_table(curve, scores)]
    _write_csv(folder / "curve.csv", trial_rows(curve))
    _write_csv(folder / "summary.csv", summary_rows(curve))
    _write_csv(folder / "gains.csv", gain_rows(curve))
    texts = {
        "summary.md": "\n\n".join(markdown(table) for table in tables if table.rows) + "\n",
        "curve.svg": learning_sheet(curve, scores),
        "study.html": build_learning_page(curve, scores),
    }
    for name, text in texts.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    print(learning_verdict(curve))
    if not curve.alike:
        print(f"note: {UNLIKE}")
    for line in missing(curve):
        print(f"missing: {line}")
    if any(one.state in ("failed", "out of memory", "infeasible") for one in curve.points):
        print(f"to try again what failed or did not fit: flexdan sweep resume {folder} --retry-failed")
    for line in learning_takeaways(curve, scores[0]):
        print(line)
    short = summary_table(curve, scores)
    print()
    print_table(short.header, short.rows, numbers=range(1, len(short.header)))
    print()
    print(f"written into {folder}: study.html, curve.svg (figures), summary.md, summary.csv, gains.csv, curve.csv")
    for line in failures:
        print(f"failed: {line}")
    return 1 if failures else 0


def _evaluate(summary: "SweepSummary", folder: Path, split: str, manifest: Path, ways: EvaluationOptions) -> list[str]:
    """Evaluate the trainings that are complete and not evaluated yet, and return what went wrong, a line each."""
    from flexdan.cli.evaluation import evaluate_run
    from flexdan.cli.sweeps import duration
    from flexdan.data import file_sha256

    sha256 = file_sha256(manifest)
    complete = [one for one in summary.trials if one.state == "complete"]
    places = {one.number: folder / one.folder / "evaluation" / split for one in complete}
    left = [one for one in complete if not _is_evaluated(places[one.number], sha256, ways)]
    failures, begun = [], time.monotonic()
    for done, one in enumerate(left):
        time_left = f", about {duration((time.monotonic() - begun) / done * (len(left) - done))} left" if done else ""
        print(f"[{done + 1}/{len(left)}{time_left}] evaluating trial {one.number} on {split}", flush=True)
        try:
            run, output = folder / one.folder, places[one.number]
            evaluate_run(run, split, manifest=manifest, tune=ways.tune, output=output, more=ways.words, force=True)
        except (UserError, RunError) as error:
            failures.append(f"evaluation of trial {one.number}: {error}")
    return failures


def _is_evaluated(evaluation: Path, manifest_sha256: str, ways: EvaluationOptions) -> bool:
    """Tell whether an evaluation is there that has objects, is of these data, up to date, and as it is asked for."""
    try:
        figures = json.loads((evaluation / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if "objects" not in figures or figures.get("manifest_sha256") != manifest_sha256:
        return False
    objects = figures["postprocessing"]
    if ways.tune and not objects["tuning"]:
        return False
    if ways.words and (figures["tta"] != ways.tta or not ways.postprocessing.items() <= objects["settings"].items()):
        return False
    from flexdan.report.contestants import stale
    from flexdan.report.run import read_run

    run = read_run(evaluation.parents[1])
    return not any(stale(one, run) for one in run.evaluations if one.name == evaluation.name)


def _write_csv(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    lines = list(rows)
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]) if lines else ["strategy", "annotated"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
