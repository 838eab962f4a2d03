"""Small sets of images that can be learnt in seconds."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from flexdan.data import ImageRecord, write_manifest


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
