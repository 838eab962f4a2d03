"""What `flexdan predict` writes for an image: masks, objects, outlines and probabilities."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

KINDS = {  # what can be saved -> its suffixes, the usual one first
    "mask": (".png",),
    "outlines": (".png",),
    "instances": (".png", ".tif"),
    "instance_outlines": (".png",),
    "probabilities": (".tif",),
}
OF_OBJECTS = ("instances", "instance_outlines")
COLOURS = ((0, 220, 60), (255, 190, 0), (0, 140, 255), (255, 60, 160), (150, 80, 255), (0, 220, 220))  # label 1, 2, …


def result_files(folder: Path, kinds: Sequence[str], name: Path) -> dict[str, list[Path]]:
    """Return for each kind the files that an image may get, the usual one first.

    Args:
        folder: of all results.
        kinds: what is to be saved.
        name: of the image's results, without suffix.
    """
    return {kind: [folder / kind / name.with_name(name.name + suffix) for suffix in KINDS[kind]] for kind in kinds}


def write_result(
    kind: str,
    files: Sequence[Path],
    *,
    pixels: "np.ndarray",
    probabilities: "np.ndarray",
    instances: "np.ndarray | None",
    binary: bool,
) -> None:
    """Write one kind of result of an image.

    Args:
        kind: one of `KINDS`.
        files: where it may go, see `result_files`; those that it does not go to are removed.
        pixels: the image, uint8 (H, W, C).
        probabilities: float32 (K, H, W).
        instances: objects, int32 (H, W); only for the kinds `OF_OBJECTS`.
        binary: write a mask as 0 and 255 instead of classes.
    """
    import numpy as np

    from flexdan.config.files import atomic_path
    from flexdan.data import write_image

    classes = probabilities.argmax(0).astype(np.uint8)
    target = files[0]
    if kind == "instances" and instances is not None:
        many = instances.max(initial=0) > np.iinfo(np.uint16).max
        target = files[1] if many else files[0]
        instances = instances.astype(np.uint32 if many else np.uint16)
    with atomic_path(target) as path:
        if kind == "mask":
            write_image(path, classes * np.uint8(255) if binary else classes)
        elif kind == "probabilities":
            _write_probabilities(path, probabilities[1] if len(probabilities) == 2 else probabilities)
        elif kind == "outlines":
            write_image(path, _draw(pixels, classes))
        else:
            assert instances is not None, "kinds of objects need them"
            write_image(path, instances if kind == "instances" else _draw(pixels, instances))
    for other in files:
        if other != target:
            other.unlink(missing_ok=True)


def _draw(pixels: "np.ndarray", labels: "np.ndarray") -> "np.ndarray":
    """Draw outlines on an image; of images that are neither grey nor RGB, the first channel is shown."""
    from flexdan.data.outlines import draw_outlines

    shown = pixels if pixels.shape[2] in (1, 3) else pixels[:, :, :1]
    return draw_outlines(shown, labels, colour=COLOURS, width=max(1, round(max(labels.shape) / 400)))


def _write_probabilities(path: Path, probabilities: "np.ndarray") -> None:
    import tifffile

    axes = "YX" if probabilities.ndim == 2 else "CYX"
    tifffile.imwrite(path, probabilities, photometric="minisblack", compression="zlib", metadata={"axes": axes})
