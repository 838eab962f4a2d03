"""How hard the synthetic set is: the best classifier of single colours against a small trained network.

    python benchmarks/synthetic.py
    python benchmarks/synthetic.py --count 60 --size 160 240 --epochs 40 --seed 1

Both learn from the same images (splits train=0.6 val=0.2 test=0.2, no patient in two splits) and are measured by the
IoU of the foreground, pooled over the pixels of the test images. The classifier of colours gets every advantage: its
threshold is the best one on the test images themselves.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage.color import rgb2lab

BINS = 32  # for each of the three channels


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=60, help="images in all (default: %(default)s)")
    parser.add_argument("--size", type=int, nargs=2, default=(160, 240), help="height, width (default: 160 240)")
    parser.add_argument("--epochs", type=int, default=40, help="of the network (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the set and of the training (default: %(default)s)")
    parser.add_argument("--colour-only", action="store_true", help="leave the network out")
    options = parser.parse_args(argv)

    from flexdan.cli.data_synthesize import run as synthesize

    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        command = ["-o", data, "--count", options.count, "--size", *options.size, "--seed", options.seed]
        synthesize([str(word) for word in [*command, "--split", "train=0.6", "val=0.2", "test=0.2"]])
        colour = {space: measure_colour(data / "manifest.csv", space) for space in ("RGB", "Lab")}
        network = None if options.colour_only else measure_network(data / "manifest.csv", options)
    print(f"foreground IoU on the test images, seed {options.seed}:")
    for space, iou in colour.items():
        print(f"  best classifier of single pixels' colours ({BINS}^3 bins of {space}): {iou:.3f}")
    if network is not None:
        print(f"  network, {options.epochs} epochs: {network[0]:.3f} after {network[1]:.0f} s of training")


def measure_colour(manifest: Path, space: str) -> float:
    """Return the IoU of the classifier that knows how often each colour is foreground in the training images."""
    codes, foreground = _colours(manifest, "train", space)
    test_codes, test_foreground = _colours(manifest, "test", space)
    return colour_iou(codes, foreground, test_codes, test_foreground)


def colour_iou(codes: np.ndarray, foreground: np.ndarray, test_codes: np.ndarray, test_foreground: np.ndarray) -> float:
    """Return the best IoU, over all thresholds, of the share of foreground among training pixels of a colour.

    Args:
        codes: colour of each training pixel, 0 to BINS^3 - 1.
        foreground: whether it lies in a gland.
        test_codes: likewise, of the test pixels.
        test_foreground: likewise.
    """
    shape = (BINS, BINS, BINS)
    inside, everywhere = (
        # smoothed by less than a bin, so that rare colours learn from their neighbours
        ndimage.gaussian_filter(np.bincount(values, minlength=BINS**3).reshape(shape).astype(float), 0.7).ravel()
        for values in (codes[foreground], codes)
    )
    posterior = (inside + 1e-3 * foreground.mean()) / (everywhere + 1e-3)
    # IoU at every threshold: colours in falling order of posterior, pixels counted cumulatively
    order = np.argsort(-posterior)
    hits = np.bincount(test_codes[test_foreground], minlength=BINS**3)[order].cumsum()
    predicted = np.bincount(test_codes, minlength=BINS**3)[order].cumsum()
    return float((hits / np.maximum(predicted + test_foreground.sum() - hits, 1)).max())


def _colours(manifest: Path, split: str, space: str) -> tuple[np.ndarray, np.ndarray]:
    from flexdan.data import read_image, read_manifest, read_mask, select_split

    records = select_split(read_manifest(manifest), split)
    pixels = np.concatenate([read_image(record.image, 3).reshape(-1, 3) for record in records])
    foreground = np.concatenate([read_mask(record.mask).ravel() > 0 for record in records if record.mask])
    return colour_codes(pixels, space), foreground


def colour_codes(pixels: np.ndarray, space: str) -> np.ndarray:
    """Return the bin, 0 to BINS^3 - 1, of each uint8 pixel (N, 3) in a colour space, RGB or Lab."""
    # lightness is 0..100; a and b are cut to where stained tissue has them
    scaled = (rgb2lab(pixels) - (0, -10, -60)) / (100, 80, 80) if space == "Lab" else pixels / 256
    bins = np.clip((scaled * BINS).astype(np.int64), 0, BINS - 1)
    return (bins[:, 0] * BINS + bins[:, 1]) * BINS + bins[:, 2]


def measure_network(manifest: Path, options: argparse.Namespace) -> tuple[float, float]:
    """Train FlexDAN's own network; return the IoU and the seconds that the training took."""
    from flexdan.cli.evaluate import run as evaluate
    from flexdan.cli.train import run as train

    folder = manifest.parent.parent / "run"
    settings = {
        "data.manifest": manifest,
        "seed": options.seed,
        "sn.num_fcn_blocks": 5,
        "sn.first_layer_out_channels": 16,
        "training.num_epochs": options.epochs,
        "training.tensorboard": "false",
    }
    begun = time.perf_counter()
    train([*(str(word) for name, value in settings.items() for word in (f"--{name}", value)), "-o", str(folder)])
    seconds = time.perf_counter() - begun
    evaluate([str(folder), "--split", "test"])
    figures = json.loads((folder / "evaluation" / "test" / "metrics.json").read_text())
    return figures["full_resolution"]["pooled"]["iou"], seconds


if __name__ == "__main__":
    main()
