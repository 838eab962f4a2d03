"""What the EN of an adversarial training goes by, and how right the labels are that a self-training learns from.

    python benchmarks/studies/judge.py RUN [RUN ...]

For each run, over its training images whose annotation `data.annotated` withheld (it is opened here only): the rank
correlation (Spearman) of the EN's score, 1 where it takes the SN's result for one on an annotated image, with the
SN's mean confidence, and with the Dice of its result; and the mean score on annotated images and on the others.

And of the labels that its last generation has learnt from: the share of the pixels that have one, and, of these, the
share that is right, and the Dice.

It needs two classes.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from flexdan.config import IGNORE, has_en
from flexdan.data import read_manifest, select_split
from flexdan.data.dataset import load_mask
from flexdan.data.images import read_image
from flexdan.data.tensors import resize_image, resize_mask, to_tensor
from flexdan.engine.checkpoint import load_checkpoint, load_run
from flexdan.engine.generations import LABELS
from flexdan.engine.setup import build_en, gather_data
from flexdan.inference import fold_contours
from flexdan.losses import EN_LOSSES
from flexdan.strategies.en_input import en_inputs, predicted_maps


def judge_labels(run: Path) -> dict[str, float]:
    """Return how many and how right the labels of a self-training are, see above."""
    config = load_run(run, "last").config
    masked = {one.image: one for one in read_manifest(config.data.manifest) if one.annotated}
    pairs = []
    with np.load(run / LABELS) as content:
        for number, record in enumerate(gather_data(config).unannotated):
            if record.image not in masked:
                continue
            labels = content[f"arr_{number}"]
            truth = resize_mask(load_mask(masked[record.image]), labels.shape)
            pairs.append(np.stack([labels, truth]).reshape(2, -1))
    labels, truth = np.concatenate(pairs, axis=1)
    has_label = labels != IGNORE
    found, true = labels[has_label] > 0, truth[has_label] == 1
    return {
        "labels": has_label.mean(),
        "labels_right": (found == true).mean(),
        "labels_dice": dice_of(found, true),
    }


def dice_of(found: np.ndarray, true: np.ndarray) -> float:
    """Return the Dice of two masks, bool of one shape; 0 where both are empty."""
    return 2 * (found & true).sum() / max(found.sum() + true.sum(), 1)


@torch.inference_mode()
def judge(run: Path) -> dict[str, float]:
    """Return the figures of one run, see above."""
    content, loaded = load_checkpoint(run / "last.ckpt"), load_run(run, "last")
    config, data = loaded.config, gather_data(loaded.config)
    size, channels = tuple(config.data.image_size), config.sn.input_channels
    loaded.network.load_state_dict(content["sn"])  # the EN judges the SN itself, not its average
    en = build_en(config)
    en.load_state_dict(content["en"])
    en.eval()
    rows = []
    known = {record.image for record in data.annotated}
    masked = [
        one for one in select_split(read_manifest(config.data.manifest), config.data.train_split) if one.annotated
    ]
    for record in masked:
        pixels = resize_image(read_image(record.image, channels, config.data.intensity), size)
        images = to_tensor(pixels, config.data.mean, config.data.std)
        logits = loaded.network(images)
        scores = en(en_inputs(images, predicted_maps(logits), config.adversarial.en_input))
        score = EN_LOSSES[config.adversarial.en_criterion].share(scores).mean().item()
        classes = logits.softmax(1)
        classes = fold_contours(classes) if config.sn.contour_width else classes
        truth = resize_mask(load_mask(record), size) == 1
        found = (classes.argmax(1)[0] == 1).numpy()
        rows.append((record.image in known, score, classes.amax(1).mean().item(), dice_of(found, truth)))
    table = np.array(rows)
    annotated = table[:, 0] == 1
    score, confidence, dice = table[~annotated, 1:].T
    return {
        "score_annotated": table[annotated, 1].mean(),
        "score_unannotated": score.mean(),
        "with_confidence": spearmanr(score, confidence).statistic,
        "with_dice": spearmanr(score, dice).statistic,
        "confidence_with_dice": spearmanr(confidence, dice).statistic,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    for run in parser.parse_args(arguments).runs:
        figures = judge(run) if has_en(load_run(run, "last").config.strategy) else {}
        figures |= judge_labels(run) if (run / LABELS).is_file() else {}
        print(run, *(f"{name} {value:.3f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
