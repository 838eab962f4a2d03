"""Time and memory of the metrics of objects, beside the naive version and by the number of objects.

Usage: python benchmarks/objects.py [--predictions DIR --truth DIR]
The folders hold label images of the same names, such as what `flexdan predict --save instances` writes.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from skimage.measure import label

from flexdan.cli.progress import track
from flexdan.data import read_mask
from flexdan.data.layouts import list_images
from flexdan.metrics import object_counts, object_metrics, surface_counts

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "reference"))
from naive_objects import naive_metrics

GLAS = (522, 775)


def draw(size: tuple[int, int], count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Draw so many bumpy discs on a grid, each moved by up to `shift` of its radius: labels int32 (H, W)."""
    places, moves = np.random.default_rng(0), np.random.default_rng(seed)
    rows = max(round((count * size[0] / size[1]) ** 0.5), 1)
    columns = -(-count // rows)
    step = min(size[0] / rows, size[1] / columns)
    labels = np.zeros(size, np.int32)
    for number in range(1, count + 1):
        row, column = divmod(number - 1, columns)
        radius = step * places.uniform(0.25, 0.45)
        centre = (np.array([row, column]) + 0.5) * (size[0] / rows, size[1] / columns)
        centre = centre + shift * radius * moves.uniform(-1, 1, 2)
        low = np.maximum((centre - 1.3 * radius).astype(int), 0)
        box = tuple(slice(start, int(start + 2.6 * radius) + 2) for start in low)
        down, right = np.mgrid[box]
        down, right = down - centre[0], right - centre[1]
        edge = radius * (1 + 0.15 * np.sin(5 * np.arctan2(down, right) + number))
        part = labels[box]
        part[(np.hypot(down, right) < edge)[: part.shape[0], : part.shape[1]]] = number
    return labels


def clock(function: Callable[[], Any], repeats: int = 5) -> float:
    """Return the least CPU seconds of some calls: other programs do not count."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def against_naive() -> Table:
    """Compare with the naive version on an image of GlaS's size."""
    truth, found = draw(GLAS, 60, 0), draw(GLAS, 60, 1, shift=0.6)
    fast, slow = object_metrics(object_counts(truth, found)), naive_metrics([(truth, found)])
    difference = max(abs(float(fast[name]) - slow[name]) for name in slow)
    seconds = clock(lambda: object_metrics(object_counts(truth, found)))
    without = clock(lambda: object_counts(truth, found, distances=False))
    boundaries = clock(lambda: surface_counts(truth > 0, found > 0))
    naive = clock(lambda: naive_metrics([(truth, found)]), repeats=1)
    table = Table("775 x 522 pixels, 60 objects", "time", "speed", title=f"largest difference: {difference:.1e}")
    table.add_row("naive version", f"{naive:.2f} s", "1x")
    table.add_row("all metrics of objects", f"{1000 * seconds:.1f} ms", f"{naive / seconds:.0f}x")
    table.add_row("without Hausdorff distances", f"{1000 * without:.1f} ms", f"{naive / without:.0f}x")
    table.add_row("metrics of boundaries, beside them", f"{1000 * boundaries:.1f} ms", "")
    return table


def random_pairs(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw pairs of label images: objects that overlap, are lost, split, moved or noisy, or none at all."""
    random = np.random.default_rng(0)
    pairs = []
    for number in range(count):
        size = tuple(random.integers(60, 160, 2))
        truth = draw(size, int(random.integers(1, 20)), number) if number % 10 else np.zeros(size, np.int32)
        found = draw(size, int(random.integers(1, 20)), number + 1, shift=1.0) if number % 7 else truth.copy()
        found = np.where(random.random(size) < random.choice([0, 0.1]), 0, found)
        pairs.append((truth, found * (number % 13 > 0)))
    return pairs


def parity(title: str, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Table:
    """Compare every metric with the naive version, of each image and pooled."""
    start = time.process_time()
    counts = [object_counts(*pair) for pair in track(pairs, title)]
    totals = {name: sum(one[name] for one in counts) for name in counts[0]}
    figures = [object_metrics(one) for one in (*counts, totals)]
    fast, start = time.process_time() - start, time.process_time()
    naive = [naive_metrics([pair]) for pair in track(pairs, "naive version")]
    slow = time.process_time() - start
    naive.append(naive_metrics(pairs))
    worst: dict[str, float] = {}
    for one, other in zip(figures, naive, strict=True):
        for name, value in (other or {}).items():  # None: nothing on either side
            worst[name] = max(worst.get(name, 0.0), abs(float(one[name]) - value))
    table = Table("largest difference of any figure", "ours", "naive version", "ratio", title=title)
    table.add_row(
        f"{max(worst.values()):.1e} ({max(worst, key=worst.__getitem__)})",
        f"{fast:.2f} s",
        f"{slow:.1f} s",
        f"{slow / fast:.0f}x",
    )
    return table


def read_pairs(predictions: Path, truth: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Read the label images of two folders that have the same names."""
    found = {path.stem: path for path in list_images(predictions)}
    return [(read_mask(path), read_mask(found[path.stem])) for path in list_images(truth) if path.stem in found]


def by_count() -> Table:
    """Show how time grows with objects of one size, in an image that grows with them."""
    header = ("objects", "pixels", "time", "per object", "every second one missing", "merged by noise")
    table = Table(*header, title="time by the number of objects")
    for count in (60, 240, 960, 3840):
        size = (round(522 * (count / 60) ** 0.5), round(775 * (count / 60) ** 0.5))
        truth, found = draw(size, count, 0), draw(size, count, 1, shift=0.6)
        lost = np.where(found % 2 == 0, 0, found)
        merged = label((truth > 0) | (np.random.default_rng(0).random(size) < 0.65), connectivity=2)
        times = [clock(partial(object_counts, truth, one), 2) for one in (found, lost, merged)]
        each = [f"{1e6 * seconds / count:.0f} us" for seconds in times]
        table.add_row(f"{count:,}", f"{size[1]} x {size[0]}", f"{times[0]:.3f} s", *each)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", type=Path, metavar="DIR")
    parser.add_argument("--truth", type=Path, metavar="DIR")
    options = parser.parse_args()
    console = Console()
    if options.predictions:
        pairs = read_pairs(options.predictions, options.truth)
        console.print(parity(f"{len(pairs)} label images", pairs))
        return
    console.print(against_naive())
    console.print(parity("500 random label images", random_pairs(500)))
    console.print(by_count())


if __name__ == "__main__":
    main()
