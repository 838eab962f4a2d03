"""The studies behind docs/results.md: choices on a validation part of train, then a proof on test images.

    python benchmarks/studies/study.py choose glas --images FOLDER -o runs/glas  # variants, on the validation part
    python benchmarks/studies/study.py tune glas --images FOLDER -o runs/glas  # post-processing, on images held back
    python benchmarks/studies/study.py everything glas --images FOLDER -o runs/glas  # all of train, not validated
    python benchmarks/studies/study.py prove glas --images FOLDER -o runs/glas  # strategies, few annotated, seeds
    python benchmarks/studies/study.py prove glas --images FOLDER -o runs/glas --counts 17 --strategies fixmatch  # some
    python benchmarks/studies/study.py prove glas --images FOLDER -o runs/glas --workers 8  # so many at a time
    python benchmarks/studies/study.py tables  # docs/results.md and its figure, from the records

FOLDER holds the images as `flexdan data import` reads them. Each command goes on where it was stopped, and writes what
it has found into records/ (numbers, settings and names of images, no pictures). What is trained stands in NAME.yaml,
which images are for what in splits/NAME.yaml. No choice sees a test image: `choose` and `tune` work without them.

`prove` may be done in parts, on several machines and in several folders: each training takes the place of the same one
in the records, if that had the same settings (`recipe`) on the same kind of processor. Differences are those between
such trainings, of all whose counts are recorded.
"""

import argparse
import csv
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from figure import write_figure
from records import CELL, GROUP, count_rows, find_differences, merge_rows, processor, read_rows, recipe, write_rows
from tables import write_tables

from flexdan.cli.main import main as flexdan
from flexdan.cli.postprocessing import option_name
from flexdan.cli.sweeps import open_sweep, read_address
from flexdan.cli.train import differing_settings, saved_settings
from flexdan.config import PostprocessingConfig, read_postprocessing, typed_settings
from flexdan.config.record import read_record
from flexdan.data import read_manifest, write_manifest
from flexdan.inference.tuning import PARTING
from flexdan.metrics import read_scores
from flexdan.sweep import summarize_sweep

HERE = Path(__file__).parent
LEVELS = {"objects": ("f1", "object_dice", "object_hausdorff"), "full_resolution": ("dice", "iou")}
SWEPT = {"strategy": "strategy", "annotated": "data.annotated", "seed": "seed"}  # column of a record -> setting
LAST_EPOCH = {
    "data.val_split": "none",
    "training.best_metric": "epoch",
}  # nothing is left to choose, so nothing is validated


@dataclass(frozen=True, kw_only=True)
class Study:
    """One study: its definition, its images and its folder.

    Args:
        name: of the data set.
        definition: content of NAME.yaml.
        splits: names of images by part, content of splits/NAME.yaml.
        images: folder of the data.
        folder: where everything goes.
        networks: of which something is to be proved; none: of all in the definition.
        counts: of annotated images that `prove` is to take; none: those of the definition.
        strategies: the same.
        seeds: how many; 0: those of the definition.
        workers: trainings of `prove` at a time.
    """

    name: str
    definition: Mapping[str, Any]
    splits: Mapping[str, Any]
    images: Path
    folder: Path
    networks: Sequence[str] = ()
    counts: Sequence[int] = ()
    strategies: Sequence[str] = ()
    seeds: int = 0
    workers: int = 1

    def manifest(self, name: str, parts: Mapping[str, Sequence[str]]) -> Path:
        """Return a manifest of some parts, each of the images named; others are not in it."""
        everything, path = self.folder / "images.csv", self.folder / f"{name}.csv"
        if not everything.is_file():
            say("data", "import", str(self.images), "-o", str(everything))
        of = {one: part for part, names in parts.items() for one in names}
        records = [one for one in read_manifest(everything) if one.image.stem in of]
        if missing := set(of) - {one.image.stem for one in records}:
            sys.exit(f"{self.images} lacks {len(missing)} images of splits/{self.name}.yaml, such as {min(missing)}")
        write_manifest(path, [replace(one, split=of[one.image.stem]) for one in records])
        return path

    def settings(self, *changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of the recommended network, and changes above them."""
        return {name: value for one in (self.definition["settings"], *changes) for name, value in one.items()}


def in_words(settings: Mapping[str, Any]) -> list[str]:
    """Return settings as `name=value`."""
    return [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in settings.items()]


def say(*words: str) -> None:
    """Print a command of FlexDAN and run it."""
    print(f"\n$ flexdan {shlex.join(words)}", flush=True)
    if code := flexdan(list(words)):
        sys.exit(code)


def choose(study: Study) -> None:
    """Train every variant without some of the training images, and measure it on those."""
    manifest, plan = _without_held(study, "choose"), study.definition["choose"]
    rows, counts = [], []
    for name, changes in plan["variants"].items():
        for seed in range(plan.get("more_seeds", {}).get(name, plan["seeds"])):
            run = study.folder / "choose" / f"{name}-{seed}"
            _train(run, study.settings({"data.manifest": str(manifest), "seed": seed}, plan["settings"], changes or {}))
            figures = _evaluate(run, "val", ["--tta", "--tune-postprocessing"])
            rows.append({"variant": name, "seed": seed, **_training(run), **_scores(figures), **_objects(figures)})
            write_rows(f"{study.name}_choose", rows, HERE)
            scores = read_scores(run / "evaluation" / "val" / "counts.csv")
            counts += [{"variant": name, "seed": seed, **row} for row in count_rows(scores)]
    differences = find_differences(counts, rows[0]["variant"], column="variant", group=())
    write_rows(f"{study.name}_choose_differences", differences, HERE)


def tune(study: Study) -> None:
    """Train the final networks without some of the training images, and find their post-processing on those."""
    manifest = _without_held(study, "tune")
    runs = _train_networks(study, "tune", study.folder / "tune", {"data.manifest": str(manifest), "seed": 0})
    rows = []
    for count, run in enumerate(runs, start=1):
        words = ["--tta-turns", "--tune-postprocessing", "--weights", "last", *_ensemble(runs[: count - 1])]
        figures = _evaluate(run, "val", words)
        rows.append({"networks": count, "seed": 0, **_trainings(runs[:count]), **_scores(figures), **_objects(figures)})
    write_rows(f"{study.name}_tune", rows, HERE)


def _without_held(study: Study, name: str) -> Path:
    """Return a manifest in which the images `held` of train are for validation."""
    held = set(study.splits["held"])
    rest = [one for one in (*study.splits["choose"], *study.splits["validation"]) if one not in held]
    return study.manifest(name, {"train": rest, "val": study.splits["held"]})


def everything(study: Study) -> None:
    """Train them on all annotated training images, and measure the first one, the first two, and so on.

    Each with the post-processing that `tune` has found for as many.
    """
    parts = {"train": [*study.splits["choose"], *study.splits["validation"]], "test": study.splits["test"]}
    manifest, plan, rows = study.manifest("everything", parts), study.definition["everything"], []
    found = [read_postprocessing(study.folder / "tune" / str(number)) for number in range(len(_networks(plan)))]
    if None in found:
        sys.exit("the post-processing is that of the step tune: run it first")
    for seed in range(plan["seeds"]):
        own = {"data.manifest": str(manifest), "seed": seed, **LAST_EPOCH}
        runs = _train_networks(study, "everything", study.folder / "everything" / str(seed), own)
        for count, (run, (postprocessing, _)) in enumerate(zip(runs, filter(None, found), strict=True), start=1):
            figures = _evaluate(run, "test", ["--tta-turns", *_options(postprocessing), *_ensemble(runs[: count - 1])])
            if figures["postprocessing"]["settings"] != asdict(postprocessing):
                sys.exit(f"{run} was measured with another post-processing: remove its folder `evaluation`")
            scores = _scores(figures, intervals=True)
            rows.append({"networks": count, "seed": seed, **_trainings(runs[:count]), **scores, **_objects(figures)})
    write_rows(f"{study.name}_everything", rows, HERE)


def _train_networks(study: Study, step: str, folder: Path, settings: Mapping[str, Any]) -> list[Path]:
    """Train every network of a step; returns their folders, which are numbered."""
    plan, runs = study.definition[step], []
    for number, changes in enumerate(_networks(plan)):
        runs.append(folder / str(number))
        _train(runs[-1], study.settings(plan["settings"], changes, settings))
    return runs


def _networks(plan: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what each network of a step has beside the settings of all; one has nothing, where none is told."""
    return plan.get("networks", [{}])


def _ensemble(runs: Sequence[Path]) -> list[str]:
    return ["--ensemble", *map(str, runs)] if runs else []


def _trainings(runs: Sequence[Path]) -> dict[str, Any]:
    """Return what the trainings of several networks took, each."""
    found = [_training(run) for run in runs]
    return {name: " and ".join(str(one[name]) for one in found) for name in found[0]}


def _options(settings: PostprocessingConfig) -> list[str]:
    """Return a post-processing as options of `flexdan evaluate`."""
    words = ["--fill-holes" if settings.fill_holes else "--no-fill-holes"]
    names = ("threshold", "min_size", "split", *PARTING[settings.split])
    return [*words, *(f"{option_name(name)}={getattr(settings, name)}" for name in names)]


def prove(study: Study) -> None:
    """Train strategies with few annotated images and the rest of train unannotated, and measure them on test.

    Of each network that the definition has, or of those that the command names; so too with counts and strategies.
    """
    train = [*study.splits["choose"], *study.splits["validation"]]
    manifest = study.manifest("prove", {"train": train, "test": study.splits["test"]})
    for network, plan in study.definition["prove"].items():
        counts, strategies = (
            [one for one in plan[name] if one in (getattr(study, name) or plan[name])]
            for name in ("counts", "strategies")
        )
        if (study.networks and network not in study.networks) or not counts or not strategies:
            continue
        seeds, drawn = study.seeds or plan["seeds"], study.splits["annotated"]
        if lacking := [one for one in _draws(counts, seeds) if one not in drawn]:
            sys.exit(f"splits/{study.name}.yaml does not say which images are annotated: {lacking[0]}")
        folder = study.folder / "prove" / network
        try:
            say(
                *(
                    "study",
                    "annotated",
                    "--data",
                    str(manifest),
                    "-o",
                    str(folder),
                    "--no-plan",
                    "--workers",
                    str(study.workers),
                ),
                *("--counts", ",".join(map(str, counts)), "--strategies", ",".join(strategies)),
                *("--seeds", str(seeds), f"--evaluate={plan['evaluate']}"),
                *("--set", *in_words(plan["settings"] | LAST_EPOCH)),
            )
        finally:
            if read_address(folder):
                _record_proof(study, network, folder)


def _draws(counts: Sequence[int], seeds: int) -> list[str]:
    """Return the names of draws of annotated images."""
    return [f"{count} of seed {seed}" for count in counts for seed in range(seeds)]


def _record_proof(study: Study, network: str, folder: Path) -> None:
    """Write what is known of the trainings of a network, of every image in them, and of paired differences."""
    rows, images, counts = [], [], []
    sweep = open_sweep(folder, "", "")
    common = {name: value for name, value in sweep.sweep.settings.items() if name != "data.manifest"}
    for one in summarize_sweep(sweep).trials:
        run = folder / one.folder
        evaluation = run / "evaluation" / "test"
        if one.state != "complete" or not (evaluation / "metrics.json").is_file():
            continue
        start, params = read_record(run / "record.jsonl")[0], dict(one.params)
        figures = json.loads((evaluation / "metrics.json").read_text())
        done = recipe(common, figures["tta"], figures["postprocessing"]["settings"])
        cell: dict[str, Any] = {"network": network, "recipe": done, "processor": processor(start)}
        cell |= {name: params[at] for name, at in SWEPT.items()}
        expected = study.splits["annotated"][f"{cell['annotated']} of seed {cell['seed']}"]
        if {Path(name).stem for name in start["annotated"]} != set(expected):
            sys.exit(f"{run} has other annotated images than splits/{study.name}.yaml says")
        rows.append({**cell, **_training(run), **_scores(figures)})
        with (evaluation / "images.csv").open(newline="") as lines:
            images += [{**cell, **_image_row(row)} for row in csv.DictReader(lines)]
        counts += [{**cell, **row} for row in count_rows(read_scores(evaluation / "counts.csv"))]
    for name, found in (("prove", rows), ("prove_images", images), ("prove_counts", counts)):
        merge_rows(f"{study.name}_{name}", found, CELL, HERE)
    of, key = f"{study.name}_prove_differences", (*GROUP, "strategy")
    recorded = {tuple(one[name] for name in key): int(one["seeds"]) for one in read_rows(of, HERE)}
    found = [  # the counts of the first trainings are not recorded, so that these may have fewer seeds
        one
        for one in find_differences(read_rows(f"{study.name}_prove_counts", HERE), "supervised")
        if one["seeds"] >= recorded.get(tuple(one[name] for name in key), 0)
    ]
    merge_rows(of, found, key, HERE)


def _train(run: Path, settings: Mapping[str, Any]) -> None:
    """Train, go on with what was stopped, or do nothing if it is done."""
    record = run / "record.jsonl"
    if record.is_file() and (others := differing_settings(saved_settings(run), typed_settings(settings), free=())):
        sys.exit(f"{run} was trained with another {others[0]}: name another folder, or remove it")
    if record.is_file() and read_record(record)[-1]["event"] == "end":
        return
    if (run / "last.ckpt").is_file():
        say("train", "--resume", str(run))
    else:
        say("train", "-o", str(run), "--force", *(f"--{one}" for one in in_words(settings)))


def _evaluate(run: Path, split: str, words: Sequence[str]) -> dict[str, Any]:
    """Return the figures of a run, measured if they are not there."""
    folder = run / "evaluation" / split
    if not (folder / "metrics.json").is_file():
        say("evaluate", str(run), "--split", split, *words, "-o", str(folder))
    return json.loads((folder / "metrics.json").read_text())


def _training(run: Path) -> dict[str, Any]:
    """Return what a training took."""
    events = read_record(run / "record.jsonl")
    epochs = [one for one in events if one["event"] == "epoch"]
    return {
        "sn_updates": sum(one["sn_updates"] for one in epochs),
        "minutes": round(sum(one["seconds"] for one in epochs) / 60, 1),
        "processor": processor(events[0]),
        "commit": events[0]["git"]["commit"][:10] if events[0].get("git") else "",
    }


def _scores(figures: Mapping[str, Any], intervals: bool = False) -> dict[str, Any]:
    """Return the scores of an evaluation, pooled and as means over images."""
    found: dict[str, Any] = {}
    for level, names in LEVELS.items():
        for name in names:
            for way in ("pooled", "image_mean"):
                found[f"{name}.{way}"] = round(figures[level][way][name], 5)
                if intervals:
                    low, high = figures[level][f"{way}_interval"][name]
                    found |= {f"{name}.{way}.low": round(low, 5), f"{name}.{way}.high": round(high, 5)}
    return found


def _objects(figures: Mapping[str, Any]) -> dict[str, Any]:
    settings = figures["postprocessing"]["settings"]
    return {"postprocessing": " ".join(f"{name}={value}" for name, value in settings.items())}


def _image_row(row: Mapping[str, str]) -> dict[str, str]:
    names = ["full_resolution_dice", *(f"objects_{name}" for name in LEVELS["objects"])]
    return {"image": Path(row["image"]).stem, **{name: row[name] for name in names}}


def _known(plans: Mapping[str, Mapping[str, Any]], name: str) -> list[Any]:
    """Return the networks that can be proved, or the counts or strategies of any of them."""
    if name == "networks":
        return list(plans)
    return list(dict.fromkeys(one for plan in plans.values() for one in plan[name]))


STEPS = {"choose": choose, "tune": tune, "everything": everything, "prove": prove}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=(*STEPS, "tables"))
    parser.add_argument("name", nargs="?", choices=sorted(path.stem for path in HERE.glob("*.yaml")))
    parser.add_argument("--images", type=Path, help="folder of the data")
    parser.add_argument("-o", "--output", type=Path, help="folder of the trainings")
    for name, kind in (("networks", str), ("counts", int), ("strategies", str)):
        parser.add_argument(f"--{name}", nargs="+", type=kind, default=[], help="prove: only these of NAME.yaml")
    parser.add_argument("--seeds", type=int, default=0, help="prove: as many, and not as NAME.yaml says")
    parser.add_argument("-n", "--workers", type=int, default=1, help="prove: trainings at a time, which share cores")
    options = parser.parse_args()
    if options.step == "tables":
        write_tables()
        write_figure()
        return
    if not (options.name and options.images and options.output):
        parser.error(f"{options.step} needs NAME, --images FOLDER and -o FOLDER")
    options.output.mkdir(parents=True, exist_ok=True)
    definition, splits = (
        yaml.safe_load(path.read_text())
        for path in (HERE / f"{options.name}.yaml", HERE / "splits" / f"{options.name}.yaml")
    )
    for name in ("networks", "counts", "strategies"):
        known = _known(definition["prove"], name)
        if unknown := [one for one in getattr(options, name) if one not in known]:
            parser.error(f"--{name}: NAME.yaml proves nothing of {unknown[0]}, but of {', '.join(map(str, known))}")
    study = Study(
        name=options.name,
        definition=definition,
        splits=splits,
        images=options.images,
        folder=options.output,
        networks=options.networks,
        counts=options.counts,
        strategies=options.strategies,
        seeds=options.seeds,
        workers=options.workers,
    )
    STEPS[options.step](study)


if __name__ == "__main__":
    main()
