"""A run folder with known figures, and a learning curve."""

import csv
import json
from pathlib import Path

import pytest

from flexdan.experiments import CONTROL, curve_cells
from flexdan.report.learning_curve import LearningCurve, Point

START = {
    "event": "start",
    "time": "2025-03-01T10:00:00+00:00",
    "flexdan": "0.1.0",
    "command": ["/somewhere/flexdan", "train", "-o", "my run"],
    "config": {
        "strategy": "supervised",
        "data": {"manifest": "set.csv", "image_size": [24, 32]},
        "sn": {"model_type": "ZhengSN", "output_channels": 2},
        "training": {"num_epochs": 4, "batch_size": 2, "best_metric": "iou_score"},
        "optimizer": {"optimizer_type": "adam", "lr": 0.002},
        "scheduler": {"scheduler_type": "OneCycle"},
        "loss": {"criterion": "cross_entropy"},
    },
    "seed": 3,
    "manifest_sha256": "ab" * 32,
    "parameters": 519744,
    "annotated": ["a.png", "b.png"],
    "unannotated": 5,
    "validation": 7,
    "precision": "fp32",
    "device": "cpu",
    "processes": 1,
    "environment": {"python": "3.11.7", "processor": "Some CPU", "threads": 2, "packages": {"torch": "2.9"}},
    "git": {"commit": "c0ffee", "dirty": True},
}
IOU = (0.25, 0.5, 0.75, 0.6)
EPOCHS = [
    {
        "event": "epoch",
        "epoch": number,
        "train_loss": 1.0 / number,
        "lr": 0.001 * number,
        "seconds": 30.0,
        "images_per_second": 2.0 * number,
        "peak_memory_mib": 1000.0 + number,
        "val_loss": 2.0 / number,
        "val_acc": 0.9,
        "iou_score": iou,
        "dice": 2 * iou / (1 + iou),
        "precision": 0.8,
        "recall": 0.7,
    }
    for number, iou in enumerate(IOU, start=1)
]
END = {"event": "end", "time": "2025-03-01T10:03:00+00:00", "reason": "finished", "best": EPOCHS[2]}

AGAINST = {  # what epochs 3 and 4 of an adversarial run have beside the others; the norm of 4 was not finite
    "sigma": (0.11, 0.1133),
    "en_loss_annotated": (0.7, 0.2),
    "en_loss_unannotated": (0.6, 0.1),
    "en_accuracy_annotated": (0.5, 1.0),
    "en_accuracy_unannotated": (0.75, 0.98),
    "en_score_spread": (0.1, 0.4),
    "en_grad_norm": (12.5, None),
    "adversarial_loss": (0.9, 2.5),
    "sn_grad_norm_segmentation": (2.0, 1.0),
    "sn_grad_norm_adversarial": (0.5, 0.03),
    "grad_ratio": (0.25, 0.03),
    "en_lr": (0.003, 0.004),
    "en_health": ("healthy", "saturated"),
    "en_advice": ("EN right about most", "EN right about all, and sure: lower en_lr"),
}


def write_record(folder: Path, events: list[dict]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "record.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return folder


def write_evaluation(folder: Path, name="test", images=(), classes=2, manifest="set.csv", **more) -> None:
    """An evaluation whose figures all differ; `images` are pairs of file and Dice."""
    measures = ("accuracy", "iou", "dice", "precision", "recall")

    def level(start: float) -> dict:
        return {
            "pooled": {measure: start + 0.01 * at for at, measure in enumerate(measures)},
            "image_mean": {measure: start + 0.05 + 0.01 * at for at, measure in enumerate(measures)},
            "classes_pooled": [{measure: start for measure in measures[1:]} for _ in range(classes)],
        }

    figures = {"split": name, "manifest": str(manifest), "images": len(images), "unannotated_left_out": 0}
    figures |= {"weights": "best", "epoch": 3, "tta": False, "scale": None, **more}
    figures |= {"network_size": {"height": 24, "width": 32, **level(0.1)}, "full_resolution": level(0.2)}
    place = folder / "evaluation" / name
    place.mkdir(parents=True)
    (place / "metrics.json").write_text(json.dumps(figures))
    with (place / "images.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "group", "grade", "height", "width", "network_size_dice", "full_resolution_dice"])
        writer.writerows([image, "", "", 32, 40, 0.5, dice] for image, dice in images)


@pytest.fixture
def events():
    """The events of a finished run."""
    return json.loads(json.dumps([START, *EPOCHS, END]))


@pytest.fixture
def adversarial_events(events):
    """The events of a finished run in which the EN takes part from epoch 3 on."""
    start, *rows, _ = events
    start["en_parameters"] = 1234567
    start["config"] |= {
        "strategy": "dan",
        "en": {"model_type": "FlexVGG"},
        "adversarial": {
            "sigma": 0.1,
            "sigma_schedule": "epoch",
            "sigma_weight": 300.0,
            "sigma_end": 1.0,
            "sigma_iterations": 30000,
            "gan_start_epoch": 3,
            "sn_update": "separate",
            "en_input": "concatenate",
            "unannotated_source": "split",
            "en_lr": None,
        },
    }
    for row in rows:
        row["sn_updates"] = 5 if row["epoch"] < 3 else 10
    for at, row in enumerate(rows[2:]):
        row |= {name: values[at] for name, values in AGAINST.items()}
    return events


@pytest.fixture
def record():
    """Return the function that writes a record."""
    return write_record


@pytest.fixture
def evaluation():
    """Return the function that writes an evaluation."""
    return write_evaluation


@pytest.fixture
def folder(tmp_path, events) -> Path:
    """The folder of a finished run without evaluations."""
    return write_record(tmp_path / "run", events)


def make_curve() -> LearningCurve:
    """Return a whole study: what unannotated images add shrinks with the annotated ones, as seeds differ by 0.01."""
    base, gain = {5: 0.5, 9: 0.6, 40: 0.7}, {5: 0.1, 9: 0.05, 40: 0.0}
    points = []
    for number, cell in enumerate(curve_cells(base, ["supervised", "dan", CONTROL], 3)):
        strategy, count, seed = cell.values()
        off = seed - 1
        added = {"supervised": 0.0, "dan": gain[count] + 0.01 * off, CONTROL: 0.02 + 0.003 * off}[strategy]
        f1 = base[count] + 0.01 * off + added
        scores = {"f1.pooled": f1, "f1.image_mean": f1 / 2, "object_hausdorff.pooled": 100 * (1 - f1)}
        points.append(
            Point(
                trial=number,
                strategy=strategy,
                annotated=count,
                seed=seed,
                state="complete",
                epoch=3,
                scores={f"objects.{name}": value for name, value in scores.items()},
            )
        )
    return LearningCurve(
        name="study",
        split="test",
        points=tuple(points),
        fixed={"training.num_epochs": 3},
        lower=frozenset(["object_hausdorff"]),
    )
