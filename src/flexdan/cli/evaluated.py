"""Runs with their evaluations of one split; what is not measured yet is measured."""

import sys
from collections.abc import Sequence
from pathlib import Path

from flexdan.cli.progress import track
from flexdan.config import UserError
from flexdan.data import read_manifest
from flexdan.metrics import read_scores
from flexdan.report.contestants import Contestant, find_runs, settings_of, stale
from flexdan.report.run import Evaluation, Run, pick, read_run


def read_contestants(
    places: Sequence[Path], split: str, weights: str, *, evaluate: bool, manifest: Path | None = None
) -> list[Contestant]:
    """Return the runs in some folders with their evaluations.

    Args:
        places: run folders, or folders that hold runs.
        split: that is compared; empty: test where every run's manifest has one, else val.
        weights: best or last.
        evaluate: measure runs that have no evaluation of the split, or an outdated one; else runs without one are
            refused.
        manifest: that runs are measured with; None: that of the training.

    Raises:
        UserError: if there are no runs, or one cannot be measured or read.
    """
    runs = []
    for folder in find_runs(places):
        run = read_run(folder)
        if run.rows:
            runs.append(run)
        else:
            print(f"note: {folder} is left out: no epoch of it is finished", file=sys.stderr)
    if not runs:
        raise UserError(f"no run in {', '.join(map(str, places))} has a finished epoch: there is nothing to compare")
    split = split or _usual_split(runs)
    needy = [run for run in runs if (found := _find(run, split, weights)) is None or stale(found, run)]
    if needy and evaluate:
        from flexdan.cli.evaluation import evaluate_run

        for run in track(needy, "measuring runs"):
            if (found := _find(run, split, weights)) is not None:
                print(f"note: {stale(found, run)}: it is measured again, as by default", file=sys.stderr)
            evaluate_run(run.folder, split, manifest=manifest, weights=weights, force=True)
        runs = [read_run(run.folder) for run in runs]
    return [_contestant(run, split, weights) for run in runs]


def _usual_split(runs: Sequence[Run]) -> str:
    """Return test if every run's manifest has such images, or, where the manifest is gone, its evaluations."""
    known: dict[str, bool] = {}
    for run in runs:
        manifest = str(pick(run.start, "config", "data", "manifest") or "")
        if manifest and Path(manifest).is_file():
            if manifest not in known:
                known[manifest] = any(one.split == "test" and one.annotated for one in read_manifest(manifest))
            there = known[manifest]
        else:
            there = any(one.figures["split"] == "test" for one in run.evaluations)
        if not there:
            return "val"
    return "test"


def _find(run: Run, split: str, weights: str) -> Evaluation | None:
    """Return the evaluation as `flexdan evaluate` makes it by default; None if there is none that has its counts."""
    name = "-".join([split] + [weights] * (weights != "best"))
    found = next((one for one in run.evaluations if one.name == name), None)
    if found is None or (found.figures["split"], found.figures["weights"]) != (split, weights):
        return None
    return found if (run.folder / "evaluation" / name / "counts.csv").is_file() else None


def _contestant(run: Run, split: str, weights: str) -> Contestant:
    found = _find(run, split, weights)
    if found is None:
        raise UserError(
            f"{run.folder} has no evaluation of the split {split!r} with {weights} weights that can be compared: leave "
            "--no-evaluate out, or run `flexdan evaluate`"
        )
    scores = read_scores(run.folder / "evaluation" / found.name / "counts.csv")
    return Contestant(run=run, settings=settings_of(run), evaluation=found, scores=scores)
