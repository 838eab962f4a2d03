"""From bytes to network input: the one way for training, evaluation and prediction."""

import numpy as np
import torch
from PIL import Image


def resize_image(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize an image: bilinear, antialiased when it shrinks, each channel alone, whatever their number.

    Args:
        pixels: uint8 (H, W, C).
        size: new height and width.

    Returns:
        uint8 (h, w, C).
    """
    if pixels.shape[:2] == tuple(size):
        return pixels
    height, width = size
    channels = [Image.fromarray(np.ascontiguousarray(channel)) for channel in np.moveaxis(pixels, 2, 0)]
    resized = [np.asarray(channel.resize((width, height), Image.Resampling.BILINEAR)) for channel in channels]
    return np.stack(resized, axis=2)


def resize_mask(classes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a mask by nearest neighbour, so that no class appears that was not there.

    Pixel centres decide: new row i takes the old row floor((i + 0.5) * H / h), and columns alike. This is the same grid
    as that of `resize_image`.

    Args:
        classes: integers (H, W), or objects.
        size: new height and width.

    Returns:
        (h, w), of the same type.
    """
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, classes.shape, strict=True))
    return classes[rows[:, None], columns]


def to_tensor(pixels: np.ndarray | torch.Tensor, mean: float, std: float) -> torch.Tensor:
    """Return (intensity - mean) / std, the intensity being 0..1.

    Args:
        pixels: uint8 (H, W, C), or a batch (N, H, W, C), as an array or as a tensor on any device.
        mean: subtracted.
        std: divides after that.

    Returns:
        float32 (N, C, H, W) on the device of the input; N is 1 for a single image.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(pixels)) if isinstance(pixels, np.ndarray) else pixels
    batch = tensor if tensor.ndim == 4 else tensor[None]
    scaled = batch.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)  # (N, C, H, W)
    return scaled.div_(255).sub_(mean).div_(std)
