"""Reading images and masks: PNG, BMP, JPEG and TIFF, 8 or 16 bit, grey, RGB, RGBA, palette or many channels."""

import struct
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError

from flexdan.config import UserError

IMAGE_SUFFIXES = (".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff")
MAX_PIXELS = 500_000_000  # larger files are refused before they are decoded
IGNORE = 255  # class of mask pixels that no loss and no metric counts

_READ_ERRORS = (
    OSError,
    UnidentifiedImageError,
    Image.DecompressionBombError,
    tifffile.TiffFileError,
    SyntaxError,
    ValueError,
    IndexError,
    struct.error,
    RuntimeError,
)


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
        uint8 array (H, W, C).

    Raises:
        UserError: if the file is broken, too large, or its channels cannot become those asked for.
    """
    pixels = _to_bytes(_open(path, decode=True), intensity)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    have = pixels.shape[2]
    if have in (2, 4) and channels != have:  # grey or RGB with alpha
        pixels, have = pixels[:, :, : have - 1], have - 1
    if channels is None or channels == have:
        return np.ascontiguousarray(pixels)
    if have == 1:
        return np.repeat(pixels, channels, axis=2)
    if have == 3 and channels == 1:
        return np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]
    raise UserError(f"{path} has {have} channels, but {channels} are needed: convert it, or set sn.input_channels")


def read_mask(path: Path) -> np.ndarray:
    """Read a mask as the values that stand in the file.

    Palette images give their indices. Colour masks give 0xRRGGBB for each pixel unless their channels are all equal.

    Returns:
        int64 array (H, W).

    Raises:
        UserError: if the file is broken or too large, or its values are not integers.
    """
    pixels = _open(path, decode=True, palette=False)
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        pixels = pixels[:, :, :-1]
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if not (np.issubdtype(pixels.dtype, np.integer) or pixels.dtype == bool):
        raise UserError(f"mask {path} holds {pixels.dtype} values: masks must hold integers")
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
    if Path(path).suffix.lower() in (".tif", ".tiff"):
        photometric = "rgb" if pixels.ndim == 3 and pixels.shape[2] == 3 else "minisblack"
        tifffile.imwrite(path, pixels, compression="zlib", photometric=photometric)
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
    except _READ_ERRORS as error:
        raise UserError(f"{path} cannot be read as an image: {error}") from error


def _open_pillow(path: Path, decode: bool, palette: bool) -> Any:
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # our own limit, checked before decoding
    try:
        with Image.open(path) as image:
            _check_pixels(path, image.height, image.width)
            bands = 3 if image.mode in ("P", "CMYK", "YCbCr", "HSV", "LAB") else len(image.getbands())
            if not decode:
                return image.height, image.width, bands - 1 if image.mode in ("LA", "RGBA", "PA") else bands
            if image.mode == "PA" or (image.mode == "P" and palette):
                return np.array(image.convert("RGB"))
            return np.array(image if image.mode not in ("CMYK", "YCbCr", "HSV", "LAB") else image.convert("RGB"))
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _open_tiff(path: Path, decode: bool, palette: bool) -> Any:
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        shape = {axis: length for axis, length in zip(series.axes, series.shape, strict=True) if length > 1}
        height, width = shape.pop("Y", 1), shape.pop("X", 1)
        if len(shape) > 1 or not set(shape) <= set("CSIQ"):
            axes = ", ".join(f"{axis}={length}" for axis, length in shape.items())
            raise UserError(f"{path} is a stack ({axes}): only single 2D images are read; split it into files")
        _check_pixels(path, height, width)
        colours = file.pages.first.colormap if palette else None
        if not decode:
            channels = 3 if colours is not None else next(iter(shape.values()), 1)
            return height, width, channels - 1 if channels in (2, 4) and "S" in shape else channels
        order = [series.axes.index(axis) for axis in ("Y", "X", *shape)]
        dropped = tuple(axis for axis in range(len(series.shape)) if axis not in order)
        pixels = series.asarray().transpose(*order, *dropped).reshape([series.shape[axis] for axis in order])
    if colours is not None:
        return (colours[:, pixels] >> 8).astype(np.uint8).transpose(1, 2, 0)
    return pixels


def _check_pixels(path: Path, height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise UserError(f"{path} has {width} x {height} pixels: at most {MAX_PIXELS:,} are read; cut it into tiles")


def _to_bytes(pixels: np.ndarray, intensity: str) -> np.ndarray:
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
