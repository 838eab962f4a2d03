"""Random changes of brightness, contrast, saturation, hue and sharpness of a batch, which move no pixel."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R 601)


@dataclass(frozen=True, kw_only=True)
class ColorJitter:
    """Colour jitter, with the meaning of torchvision's ColorJitter, for each image of a batch on its own, then a blur.

    Args:
        brightness: intensities are multiplied by a factor from 1 +- this.
        contrast: differences from the image's mean grey value are, alike.
        saturation: differences from the pixel's own grey value are, alike; needs 3 channels.
        hue: the hue is turned by up to this share of the colour circle either way, 0.5 at the most; needs 3 channels.
        blur: Gaussian blur; its standard deviation is drawn between 0 and this, in pixels.

    What is 0 is off, and draws nothing. The first four come in a random order, one for the whole batch.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    blur: float = 0.0

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Change a batch at random.

        Args:
            images: float (N, C, H, W), intensities 0..1.
            generator: a CPU generator; the same state gives the same changes on every device.

        Returns:
            float (N, C, H, W), intensities 0..1.
        """
        count = len(images)
        changes: list[tuple[Callable[[Tensor, Tensor], Tensor], Tensor]] = []
        for change, strength in (
            (scale_brightness, self.brightness),
            (scale_contrast, self.contrast),
            (scale_saturation, self.saturation),
        ):
            if strength > 0:
                low, high = max(0.0, 1 - strength), 1 + strength
                changes.append((change, low + (high - low) * torch.rand(count, generator=generator)))
        if self.hue > 0:
            changes.append((turn_hue, self.hue * (2 * torch.rand(count, generator=generator) - 1)))
        order = torch.randperm(len(changes), generator=generator).tolist() if len(changes) > 1 else range(len(changes))
        for place in order:
            change, amounts = changes[place]
            images = change(images, amounts)
        if self.blur > 0:
            images = blur(images, self.blur * torch.rand(count, generator=generator))
        return images


def scale_brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Multiply intensities, (N, C, H, W) in 0..1, by a factor for each image, (N,)."""
    return _blend(images, torch.zeros_like(images[:, :1]), factors)


def scale_contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Multiply the differences from the mean grey value of each image; arguments as in `scale_brightness`."""
    return _blend(images, _grey(images).mean((2, 3), keepdim=True), factors)


def scale_saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Multiply the differences from the grey value of each pixel, of RGB images; arguments as in `scale_brightness`."""
    return _blend(images, _grey(images), factors)


def turn_hue(images: Tensor, shares: Tensor) -> Tensor:
    """Turn the hue of RGB images by a share of the colour circle (HSV; Smith 1978); value and saturation stay.

    Args:
        images: float (N, 3, H, W), intensities 0..1.
        shares: (N,), -0.5..0.5; a third makes red to green.
    """
    value, least = images.amax(1), images.amin(1)  # (N, H, W)
    chroma = value - least
    red, green, blue = images.unbind(1)
    safe = chroma.clamp(min=torch.finfo(images.dtype).tiny)
    sector = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    sector = torch.where(chroma > 0, sector, 0)  # of six, red at 0
    turned = sector + 6 * shares.to(images)[:, None, None]
    offsets = torch.tensor([5.0, 3.0, 1.0]).to(images)[:, None, None]
    place = (offsets + turned[:, None]) % 6  # (N, 3, H, W)
    return value[:, None] - chroma[:, None] * torch.minimum(place, 4 - place).clamp(0, 1)


def blur(images: Tensor, sigmas: Tensor) -> Tensor:
    """Blur each image by a Gaussian, cut off at 3 standard deviations; the border is mirrored.

    Args:
        images: float (N, C, H, W).
        sigmas: (N,) standard deviations in pixels; 0 changes nothing.
    """
    count, channels, height, width = images.shape
    radius = math.ceil(3 * float(sigmas.max()))
    distances = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernels = torch.softmax(-0.5 * (distances / sigmas[:, None].clamp(min=1e-3)) ** 2, dim=1)  # (N, K)
    weights = kernels.to(images).repeat_interleave(channels, dim=0)[:, None]  # (N C, 1, K)
    planes = images.reshape(1, count * channels, height, width)
    for side, (length, weight) in enumerate(((height, weights[..., None]), (width, weights[:, :, None]))):
        planes = planes.index_select(2 + side, _mirrored(length, radius, planes.device))
        planes = F.conv2d(planes, weight, groups=count * channels)
    return planes.reshape(images.shape).clamp(0, 1)


def _blend(images: Tensor, towards: Tensor, factors: Tensor) -> Tensor:
    return torch.lerp(towards.expand_as(images), images, factors.to(images)[:, None, None, None]).clamp(0, 1)


def _grey(images: Tensor) -> Tensor:
    """Return the grey value of each pixel, (N, 1, H, W): the luma of RGB, else the mean over the channels."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    return (images * torch.tensor(LUMA).to(images)[:, None, None]).sum(1, keepdim=True)


def _mirrored(length: int, radius: int, device: torch.device) -> Tensor:
    """Return the rows of an image that is extended by reflection, as often as that takes; the edge is not repeated."""
    period = max(2 * length - 2, 1)
    places = torch.arange(-radius, length + radius, device=device) % period
    return torch.minimum(places, period - places)
