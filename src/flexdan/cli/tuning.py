"""Finding the post-processing of a run on its validation images, for `flexdan evaluate --tune-postprocessing`."""

import argparse
import sys
from pathlib import Path

from flexdan.cli.evaluation import bar, find_records
from flexdan.cli.loading import Segmenter, run_folder
from flexdan.cli.postprocessing import given_postprocessing, option_name
from flexdan.config import IGNORE, Tuning, UserError, write_postprocessing
from flexdan.config.files import refuse_existing
from flexdan.config.postprocessing import FILE_NAME


def check_tuning(options: argparse.Namespace) -> None:
    """Raise a `UserError` if the options leave nothing to find, or the run keeps a post-processing already."""
    if given := given_postprocessing(options):
        raise UserError(f"--tune-postprocessing finds {', '.join(map(option_name, given))} by itself: leave either out")
    from flexdan.inference.tuning import check_objective

    check_objective(options.tune_metric)
    refuse_existing(run_folder(options) / FILE_NAME, options.force)


def tune_run(options: argparse.Namespace, network: Segmenter) -> None:
    """Find the post-processing that is best on the validation split of the training, and keep it in the run folder.

    Raises:
        UserError: if there are no annotated validation images, none of them has an object, or the metric is unknown.
    """
    import numpy as np

    from flexdan.data import file_sha256
    from flexdan.inference import segment_records, tune

    data = network.config.data
    manifest = None if Path(data.manifest).is_file() else options.manifest
    manifest, records, _ = find_records(data.val_split, manifest, network)
    probabilities, truths = [], []
    for one in segment_records(
        network.segment, records, channels=network.channels, intensity=data.intensity, track=bar("validation images")
    ):
        probabilities.append(one.probabilities.astype(np.float16))
        _, objects = np.unique(one.objects, return_inverse=True)  # small numbers, whatever the labels are
        objects = objects + (0 if (one.objects == 0).any() else 1)
        truths.append(np.where(one.classes == IGNORE, -1, objects).astype(np.int32))
    _tell_change(options, manifest)
    settings, trials = tune(
        probabilities, truths, options.tune_metric, contours=network.contours, track=bar("post-processing")
    )
    values = {trial.settings: trial.value for trial in trials}
    tuning = Tuning(
        split=data.val_split,
        manifest=str(manifest),
        manifest_sha256=file_sha256(manifest),
        images=len(records),
        weights=network.weights,
        tta=options.tta,
        scale=options.scale,
        networks=1 + len(options.ensemble),
        metric=options.tune_metric,
        before=trials[0].value,
        after=values[settings],
        trials=len(trials),
    )
    path = write_postprocessing(run_folder(options), settings, tuning)
    print(
        f"tuned on {len(records)} images of {data.val_split}, {len(trials)} settings tried: {tuning.metric} "
        f"{tuning.before:.3f} -> {tuning.after:.3f} with {settings}; kept in {path}",
        file=sys.stderr,
    )


def _tell_change(options: argparse.Namespace, manifest: Path) -> None:
    """Warn if the manifest is not that of the training: its validation images may have been others."""
    from flexdan.config.record import read_record
    from flexdan.data import file_sha256

    record = run_folder(options) / "record.jsonl"
    events = read_record(record) if record.is_file() else []
    if events and events[0].get("manifest_sha256") != file_sha256(manifest):
        print(
            f"note: {manifest} is not as it was in the training: its validation images may be others", file=sys.stderr
        )
