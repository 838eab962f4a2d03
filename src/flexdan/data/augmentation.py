"""Random changes of a batch: images and masks move together; only images change colour."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from flexdan.data.color import ColorJitter

ELASTIC_POINTS = 3  # of the grid that bends an image, in each direction


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What may happen to a batch; the arguments are those of the `augmentation` section of the settings."""

    horizontal_flip: bool = False
    vertical_flip: bool = False
    quarter_turns: bool = False
    scale: tuple[float, float] = (1.0, 1.0)
    rotation: float = 0.0
    shift: float = 0.0
    elastic: float = 0.0
    stain_jitter: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    blur: float = 0.0

    def __call__(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Change a batch at random.

        Args:
            images: uint8 (N, C, H, W).
            targets: uint8 (N, H, W).
            generator: a CPU generator; the same state gives the same changes on every device.

        Returns:
            float32 images (N, C, H, W) with intensities 0..1, and int64 targets (N, H, W). Height and width trade
            places where a batch of images that are not square makes an odd quarter turn.
        """
        count = len(images)
        if self.horizontal_flip:
            images, targets = _flip(images, targets, -1, _coin(count, generator))
        if self.vertical_flip:
            images, targets = _flip(images, targets, -2, _coin(count, generator))
        if self.quarter_turns:
            images, targets = _quarter_turns(images, targets, generator)
        intensities = images.float() / 255
        turned = self.rotation > 0 or self.scale != (1.0, 1.0)
        if turned or self.shift > 0 or self.elastic > 0:
            angles, factors, shifts, bends = torch.zeros(count), torch.ones(count), None, None
            if turned:
                angles = (2 * torch.rand(count, generator=generator) - 1) * math.radians(self.rotation)
                low, high = (math.log(factor) for factor in self.scale)
                factors = torch.exp(low + (high - low) * torch.rand(count, generator=generator))
            if self.shift > 0:
                shifts = self.shift * (2 * torch.rand(count, 2, generator=generator) - 1)
            if self.elastic > 0:
                bends = self.elastic * torch.randn(count, 2, ELASTIC_POINTS, ELASTIC_POINTS, generator=generator)
            intensities, targets = rotate_and_scale(intensities, targets, angles, factors, shifts, bends)
        if self.stain_jitter > 0:
            factors = 1 + self.stain_jitter * (2 * torch.rand(count, 3, generator=generator) - 1)
            shifts = self.stain_jitter * (2 * torch.rand(count, 3, generator=generator) - 1)
            intensities = jitter_stains(intensities, factors, shifts)
        intensities = self.color_jitter(intensities, generator)
        return intensities, targets.long()

    @property
    def color_jitter(self) -> ColorJitter:
        """What happens to colours, the jitter of stains excepted."""
        return ColorJitter(
            brightness=self.brightness,
            contrast=self.contrast,
            saturation=self.saturation,
            hue=self.hue,
            blur=self.blur,
        )


def rotate_and_scale(
    images: Tensor,
    targets: Tensor,
    angles: Tensor,
    factors: Tensor,
    shifts: Tensor | None = None,
    bends: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Bend, turn about the centre, enlarge, and then shift; mirrored at the border.

    Images are interpolated bilinearly, targets by nearest neighbour.

    Args:
        images: float (N, C, H, W).
        targets: integer (N, H, W).
        angles: (N,) radians, counter-clockwise as seen on the screen.
        factors: (N,), above 1 enlarges.
        shifts: (N, 2), downwards and to the right, as shares of height and width; None: not at all.
        bends: (N, 2, points, points), downwards and to the right, as shares of the shorter side: from where beside
            itself comes what shows at each point of a grid over the image; bicubic between them; None: not at all.
    """
    height, width = images.shape[-2:]
    cos, sin = torch.cos(angles) / factors, torch.sin(angles) / factors
    zero = torch.zeros_like(cos)
    rows = [cos, -sin * height / width, zero], [sin * width / height, cos, zero]  # from output to input, in -1..1
    if shifts is not None:
        down, right = (2 * shifts).unbind(1)
        rows = [(*row[:2], -(row[0] * right + row[1] * down)) for row in rows]
    theta = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1).to(images)  # (N, 2, 3)
    grid = F.affine_grid(theta, [len(images), 1, height, width], align_corners=False)
    if bends is not None:
        moves = F.interpolate(bends.to(images), (height, width), mode="bicubic", align_corners=True)  # (N, 2, H, W)
        sides = torch.tensor([width, height]).to(images)
        grid = grid + moves.flip(1).movedim(1, -1) * 2 * min(height, width) / sides
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    labels = F.grid_sample(
        targets[:, None].float(), grid, mode="nearest", padding_mode="reflection", align_corners=False
    )
    return moved, labels[:, 0].to(targets.dtype)


def jitter_stains(images: Tensor, factors: Tensor, shifts: Tensor) -> Tensor:
    """Multiply and shift the densities of haematoxylin, eosin and DAB (Tellez et al. 2018, section III-C).

    Densities are decadic optical densities, unmixed with the stain vectors of Ruifrok and Johnston 2001.

    Args:
        images: float (N, 3, H, W), intensities 0..1.
        factors: (N, 3), one for each stain; 1 changes nothing.
        shifts: (N, 3), added to the densities; 0 changes nothing.
    """
    from skimage.color import colorconv

    unmix = torch.as_tensor(colorconv.hed_from_rgb, dtype=torch.float32, device=images.device)
    mix = torch.as_tensor(colorconv.rgb_from_hed, dtype=torch.float32, device=images.device)
    density = -torch.log10(images.clamp(min=1 / 255))
    stains = torch.einsum("nchw,cs->nshw", density, unmix)
    stains = stains * factors.to(images)[:, :, None, None] + shifts.to(images)[:, :, None, None]
    return torch.pow(10, -torch.einsum("nshw,sc->nchw", stains, mix)).clamp(0, 1)


def _coin(count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator) < 0.5


def _flip(images: Tensor, targets: Tensor, axis: int, chosen: Tensor) -> tuple[Tensor, Tensor]:
    chosen = chosen.to(images.device)
    return (
        torch.where(chosen[:, None, None, None], images.flip(axis), images),
        torch.where(chosen[:, None, None], targets.flip(axis), targets),
    )


def _quarter_turns(images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    square = images.shape[-1] == images.shape[-2]
    turns = torch.randint(4, (len(images) if square else 1,), generator=generator).tolist()
    if not square:
        return images.rot90(turns[0], (-2, -1)), targets.rot90(turns[0], (-2, -1))
    return (
        torch.stack([image.rot90(turn, (-2, -1)) for image, turn in zip(images, turns, strict=True)]),
        torch.stack([target.rot90(turn, (-2, -1)) for target, turn in zip(targets, turns, strict=True)]),
    )
