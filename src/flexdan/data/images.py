"""Reading images and masks: PNG, BMP, JPEG and TIFF, 8 or 16 bit, grey, RGB, RGBA, palette or many channels."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from PIL import Image

from flexdan.config import UserError

IMAGE_SUFFIXES = (".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff")
MAX_PIXELS = 500_000_000  # larger files are refused before they are decoded

_PLAIN_MODES = {  # what Pillow's modes are read as
    "P": "RGB",
    "PA": "RGB",
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "HSV": "RGB",
    "LAB": "RGB",
    "RGBX": "RGB",
    "RGBA": "RGB",
    "LA": "L",
}


def image_size(path: Path) -> tuple[int, int, int]:
    """Return height, width (pixels) and channels that `read_image` gives for a file, without decoding it.

    Raises:
        UserError: if the file cannot be read or is too large.
    """
    return _open(path, decode=False)


def read_image(
    path: Path,
    channels: int | None = None,
    intensity: Literal["range", "percentile"] = "percentile",
) -> np.ndarray:
    """Read an image as bytes.

    Palettes become RGB and alpha is dropped. Types other than 8 bit are brought to 0..255 by the range of the type, or
    by the 0.1 and 99.9 percentiles of the image. One channel is repeated when more are asked for; RGB becomes grey
    (luminance, ITU-R 601) when one is asked for.

    Args:
        path: the file.
        channels: number of channels wanted; None: as in the file.
        intensity: how types other than 8 bit become bytes.

    Returns:
        uint8 array (H, W, C), which may be written into.

    Raises:
        UserError: if the file is broken, too large, or its channels cannot become those asked for.
    """
    pixels = _to_bytes(_open(path, decode=True), intensity, path)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    have = pixels.shape[2]
    if channels is None or channels == have:
        return np.ascontiguousarray(pixels)
    if have == 1:
        return np.repeat(pixels, channels, axis=2)
    if have == 3 and channels == 1:
        return np.array(Image.fromarray(pixels).convert("L"))[:, :, None]  # asarray would be read-only
    raise UserError(f"{path} has {have} channels, but {channels} are needed: convert it, or set sn.input_channels")


def read_mask(path: Path) -> np.ndarray:
    """Read a mask as the values that stand in the file.

    Palette images give their indices. Colour masks give 0xRRGGBB for each pixel unless their channels are all equal.

    Returns:
        int64 array (H, W).

    Raises:
        UserError: if the file is broken or too large, or its values are not whole numbers.
    """
    pixels = _open(path, decode=True, palette=False)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    whole = pixels.dtype.kind in "bui" or (pixels.dtype.kind == "f" and bool((pixels == np.rint(pixels)).all()))
    if not whole:
        raise UserError(f"mask {path} holds {pixels.dtype} values: masks must hold whole numbers")
    pixels = pixels.astype(np.int64)
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] != 3:
        raise UserError(f"mask {path} has {pixels.shape[2]} channels: masks must be grey, palette or RGB")
    red, green, blue = np.moveaxis(pixels, 2, 0)
    if (red == green).all() and (green == blue).all():
        return red
    return red << 16 | green << 8 | blue


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write an array (H, W) or (H, W, C); the suffix says the format. TIFF is compressed without loss."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if Path(path).suffix.lower() in (".tif", ".tiff"):
        photometric = "rgb" if pixels.ndim == 3 and pixels.shape[2] == 3 else "minisblack"
        planar = "contig" if pixels.ndim == 3 else None
        tifffile.imwrite(path, pixels, compression="zlib", photometric=photometric, planarconfig=planar)
    else:
        Image.fromarray(pixels).save(path)


def _open(path: Path, decode: bool, palette: bool = True) -> Any:
    """Decode a file, or only return its (height, width, channels)."""
    path = Path(path)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise UserError(f"{path} is no image that can be read here: the formats are {', '.join(IMAGE_SUFFIXES)}")
    try:
        read = _open_tiff if path.suffix.lower() in (".tif", ".tiff") else _open_pillow
        return read(path, decode, palette)
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except Exception as error:  # decoders meet damaged files with errors of every kind
        raise UserError(f"{path} cannot be read as an image: {str(error) or type(error).__name__}") from error


def _open_pillow(path: Path, decode: bool, palette: bool) -> Any:
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # our own limit, checked before decoding
    try:
        with Image.open(path) as image:
            _check_pixels(path, image.height, image.width)
            mode = _PLAIN_MODES.get(image.mode, image.mode)
            if image.mode == "P" and not palette:
                mode = "P"
            if not decode:
                return image.height, image.width, len(Image.new(mode, (1, 1)).getbands())
            pixels = np.array(image if image.mode in ("LA", "RGBA") else image.convert(mode))
            if image.mode in ("LA", "RGBA"):  # colours of transparent pixels stay as they are
                pixels = pixels[:, :, :-1]
            return pixels[:, :, 0] if image.mode == "LA" else pixels
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _open_tiff(path: Path, decode: bool, palette: bool) -> Any:
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        shape = {axis: length for axis, length in zip(series.axes, series.shape, strict=True) if length != 1}
        height, width = shape.pop("Y", 1), shape.pop("X", 1)
        if len(shape) > 1 or not set(shape) <= set("CSIQ"):
            axes = ", ".join(f"{axis}={length}" for axis, length in shape.items())
            raise UserError(f"{path} is a stack ({axes}): only single 2D images are read; split it into files")
        _check_pixels(path, height, width)
        first = file.pages.first
        colours = first.colormap if palette else None
        alpha = int(shape.get("S", 1) > 1 and _has_alpha(first))
        if not decode:
            return height, width, 3 if colours is not None else next(iter(shape.values()), 1) - alpha
        order = [series.axes.index(axis) for axis in ("Y", "X", *shape)]
        dropped = tuple(axis for axis in range(len(series.shape)) if axis not in order)
        pixels = series.asarray().transpose(*order, *dropped).reshape([series.shape[axis] for axis in order])
    if colours is not None:
        return (colours[:, pixels] >> 8).astype(np.uint8).transpose(1, 2, 0)
    return pixels[:, :, :-1] if alpha else pixels


def _has_alpha(page: Any) -> bool:
    """Tell whether the last sample of a TIFF page is its alpha; a further channel of a grey image is none."""
    extra = tuple(map(int, page.extrasamples))
    return bool(extra) and (extra[-1] in (1, 2) or (page.photometric == tifffile.PHOTOMETRIC.RGB and len(extra) == 1))


def _check_pixels(path: Path, height: int, width: int) -> None:
    if height * width < 1:
        raise UserError(f"{path} has {width} x {height} pixels: it is damaged")
    if height * width > MAX_PIXELS:
        raise UserError(f"{path} has {width} x {height} pixels: at most {MAX_PIXELS:,} are read; cut it into tiles")


def _to_bytes(pixels: np.ndarray, intensity: str, path: Path) -> np.ndarray:
    if pixels.dtype.kind not in "buif" or (pixels.dtype.kind == "f" and not np.isfinite(pixels).all()):
        raise UserError(f"{path} holds {pixels.dtype} values that are not all finite real numbers: replace them")
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * 255
    if intensity == "range" and np.issubdtype(pixels.dtype, np.integer):
        low, high = 0.0, float(np.iinfo(pixels.dtype).max)
    elif intensity == "range":
        low, high = 0.0, 1.0
    else:
        low, high = (float(value) for value in np.percentile(pixels, (0.1, 99.9)))
    scaled = (pixels.astype(np.float32) - low) * (255.0 / max(high - low, 1e-12))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
