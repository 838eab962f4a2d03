import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from flexdan.config import DataConfig, RunConfig, SegmentationNetworkConfig, TrainingConfig
from flexdan.data import ImageRecord, write_manifest
from flexdan.data.tensors import resize_image, resize_mask
from flexdan.engine.checkpoint import save_checkpoint
from flexdan.models import build_segmentation_network


@pytest.fixture
def make_run(tmp_path):
    """Return a function that writes a run with a small network of random weights."""

    def make(channels=3, classes=2, manifest="", name="run", weights=("best",), seed=0, image_size=(24, 32)) -> Path:
        torch.manual_seed(seed)
        settings = SegmentationNetworkConfig(
            input_channels=channels, output_channels=classes, first_layer_out_channels=4, num_fcn_blocks=3
        )
        network = build_segmentation_network(
            settings, input_channels=channels, num_classes=classes, image_size=image_size
        )
        config = RunConfig(
            sn=settings,
            data=DataConfig(manifest=str(manifest), image_size=image_size),
            training=TrainingConfig(precision="fp32"),
        )
        for epoch, which in enumerate(weights):
            save_checkpoint(
                tmp_path / name / f"{which}.ckpt",
                {"sn": network},
                config=config,
                native_size=(2 * image_size[0], 2 * image_size[1]),
                epoch=7 + epoch,
                history=[],
            )
        return tmp_path / name

    return make


def write_picture(path: Path, size: tuple[int, int], channels: int = 3, seed: int = 0) -> Path:
    """Write a smooth picture, as TIFF for other than 1 or 3 channels."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, channels), dtype=np.uint8)
    pixels = resize_image(coarse, size)
    path.parent.mkdir(parents=True, exist_ok=True)
    if channels in (1, 3):
        Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels).save(path)
    else:
        tifffile.imwrite(path, pixels.transpose(2, 0, 1), photometric="minisblack", metadata={"axes": "CYX"})
    return path


@pytest.fixture
def picture():
    """Return the function that writes a picture."""
    return write_picture


@pytest.fixture
def make_manifest(tmp_path):
    """Return a function that writes images with masks, one without, and their manifest."""

    def make(sizes=((48, 64), (31, 45), (130, 90)), channels=3, classes=2, split="val") -> Path:
        records = []
        kind = "binary" if classes == 2 else " ".join(f"{label}={label}" for label in range(classes)) + " 9=ignore"
        for number, size in enumerate([*sizes, (20, 20)]):
            suffix = ".png" if channels in (1, 3) else ".tif"
            image = write_picture(tmp_path / "set" / f"image{number}{suffix}", size, channels, seed=number)
            mask = tmp_path / "set" / f"mask{number}.png"
            annotated = number < len(sizes)
            if annotated:
                labels = np.random.default_rng(number).integers(0, classes, (4, 5), dtype=np.uint8)
                Image.fromarray(resize_mask(labels, size)).save(mask)
            record = ImageRecord(
                image=image,
                mask=mask,  # the mask of the last one does not exist: it must never be opened
                mask_values=kind,
                split=split,
                annotated=annotated,
                grade="benign",
                height=size[0],
                width=size[1],
                channels=channels,
            )
            records.append(record)
        write_manifest(tmp_path / "manifest.csv", records)
        return tmp_path / "manifest.csv"

    return make


@pytest.fixture(scope="module")
def postgresql():
    """The address of a database of a real PostgreSQL server on the loopback interface, which ends with the module."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        message = "PostgreSQL is not installed: apt-get install postgresql"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with tempfile.TemporaryDirectory(prefix="flexdan-postgresql-") as name:  # pytest's own are closed to other users
        folder, user = Path(name), {}
        if os.getuid() == 0:  # which the server refuses
            user = {"user": "postgres"}
            shutil.chown(folder, "postgres")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]

        def call(program, *arguments):
            command = [programs[-1].parent / program, *arguments]
            subprocess.run(command, check=True, capture_output=True, cwd="/", **user)

        call("initdb", "-D", folder / "data", "-A", "trust", "-U", "tester", "--no-sync")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        call("pg_ctl", "-D", folder / "data", "-l", folder / "log", "-w", "-o", options, "start")
        try:
            yield f"postgresql://tester@127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
