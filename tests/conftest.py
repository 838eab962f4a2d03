"""Small sets of images that can be learnt in seconds."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from flexdan.config import RunConfig, to_dict, with_settings
from flexdan.data import ImageRecord, write_manifest
from flexdan.metrics import Scores, object_counts, surface_counts, write_scores


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Compute in one thread, also in processes that tests start: for small images more only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
    torch.set_num_threads(threads)


def draw(folder: Path, number: int, size: tuple[int, int] = (32, 40)) -> tuple[Path, Path]:
    """Write a noisy image with one bright disc, and its mask."""
    rng = np.random.default_rng(number)
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    centre = rng.uniform((10, 10), (height - 10, width - 10))
    disc = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < rng.uniform(5, 9) ** 2
    pixels = rng.normal(90 + 80 * disc[..., None], 20, (height, width, 3)).clip(0, 255).astype(np.uint8)
    image, mask = folder / f"image{number}.png", folder / f"mask{number}.png"
    Image.fromarray(pixels).save(image)
    Image.fromarray(disc.astype(np.uint8) * 255).save(mask)
    return image, mask


@pytest.fixture(scope="session")
def discs(tmp_path_factory) -> Path:
    """A manifest of 6 annotated and 3 unannotated training images (their masks are garbage), and 4 for validation."""
    folder = tmp_path_factory.mktemp("discs")
    records = []
    for number in range(13):
        image, mask = draw(folder, number)
        annotated = number < 6 or number >= 9
        if not annotated:
            mask.write_bytes(b"never to be opened")
        split = "train" if number < 9 else "val"
        records.append(
            ImageRecord(
                image=image,
                mask=mask,
                mask_values="binary",
                split=split,
                annotated=annotated,
                height=32,
                width=40,
                channels=3,
            )
        )
    write_manifest(folder / "manifest.csv", records)
    return folder / "manifest.csv"


def made_up_scores(
    seed: int, quality: float, images: int = 8, grades: tuple[str, ...] = ("benign", "malignant")
) -> Scores:
    """Scores of images of 16x16 pixels with two squares, which are found the better the higher the quality, 0..1."""
    rows = []
    for number in range(images):
        truth = np.zeros((16, 16), np.int64)
        truth[2:8, 2:8], truth[9:14, 9:15] = 1, 2
        missed = np.random.default_rng([number, seed]).random((16, 16)) > quality
        found = np.where(missed, 0, truth)
        both = {(a, b): float((((truth > 0) == a) & ((found > 0) == b)).sum()) for a in (0, 1) for b in (0, 1)}
        row = {f"full_resolution.pixels_{a}_{b}": value for (a, b), value in both.items()}
        objects = {"pixels": 256.0} | object_counts(truth, found) | surface_counts(truth > 0, found > 0)
        rows.append(row | {f"objects.{name}": value for name, value in objects.items()})
    return Scores(
        tuple(f"/data/image{number}.png" for number in range(images)),
        tuple(f"patient{number // 2}" for number in range(images)),
        tuple(grades[number % len(grades)] for number in range(images)),
        {name: np.array([row[name] for row in rows]) for name in rows[0]},
    )


@pytest.fixture
def measured_run():
    """Return a function that writes a finished run and its evaluation of the split test, both made up."""

    def make(
        folder: Path, seed=0, quality=0.8, settings=(), start=(), figures=(), scores=None, updates=10, rows=4, last=None
    ):
        config = to_dict(with_settings(RunConfig(), {"seed": seed, "data.image_size": (16, 16), **dict(settings)}))
        begin = {"event": "start", "config": config, "seed": seed, "manifest_sha256": "ab" * 32, "parameters": 100}
        begin |= {"annotated": ["a.png", "b.png"], "unannotated": 5, "precision": "fp32", "processes": 1, **dict(start)}
        config["training"]["num_epochs"] = 4
        events = [begin]
        for epoch in range(1, rows + 1):
            events.append({"event": "epoch", "epoch": epoch, "iou_score": 0.1 * epoch, "sn_updates": updates})
        events += [last or {"event": "end", "reason": "finished"}] * (rows == 4)
        folder.mkdir(parents=True)
        (folder / "record.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
        (folder / "config.yaml").write_text(json.dumps(config))
        scores = made_up_scores(seed, quality) if scores is None else scores
        level = {"pooled": {}, "image_mean": {}, "classes_pooled": []}
        made = {"split": "test", "manifest": "set.csv", "manifest_sha256": "ab" * 32, "images": len(scores.images)}
        made |= {"weights": "best", "epoch": rows, "tta": False, "scale": None, "full_resolution": level}
        made |= {
            "network_size": {"height": 16, "width": 16, **level},
            "postprocessing": {"settings": {}, "tuning": None},
        }
        made |= dict(figures)
        place = folder / "evaluation" / made["split"]
        place.mkdir(parents=True)
        (place / "metrics.json").write_text(json.dumps(made))
        write_scores(place / "counts.csv", scores)
        return folder

    return make


@pytest.fixture
def made_up():
    """Return the function that makes scores up."""
    return made_up_scores
