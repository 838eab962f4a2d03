"""Settings of the data and of the augmentation."""

from dataclasses import dataclass
from typing import Literal

from flexdan.config.errors import UserError

IGNORE = 255  # class of mask pixels that no loss and no metric counts


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the images come from and how they become network input.

    Args:
        manifest: the manifest CSV made by `flexdan data import` or `flexdan data synthesize`.
        train_split: name of the split to train on.
        val_split: name of the split that scores every epoch and chooses the best weights; none: there is no
            validation, and training.best_metric must be epoch.
        annotated: how many training images keep their masks, as a count or, with a percent sign, as a share, drawn with
            the seed; empty: as the manifest says.
        image_size: height and width, in pixels, to which every image is resized for the network, or of the windows
            with crop; auto: the median image, its proportions kept, reduced to max_pixels at the most (224x332 for
            GlaS).
        max_pixels: of the network's input where image_size is auto; by default 224 times 332, as in the log.
        crop: train on windows of image_size, each time at another place of the image, instead of on whole images
            resized to image_size; validation goes over each image in windows that cover it, side by side.
        reduce: images are reduced by this factor before windows are cut, so that a window shows more; 1: full
            resolution.
        intensity: how other than 8-bit images become 0..255: range (the range of the type) or percentile (0.1 and 99.9
            of each image); 8-bit images are never rescaled.
        mean: subtracted from the intensities, which are 0..1.
        std: divides them after that.
        cache_gib: decoded images stay in memory, as bytes, up to so many GiB in all; beyond, they are decoded anew in
            each epoch.
    """

    manifest: str = ""
    train_split: str = "train"
    val_split: str = "val"
    annotated: int | str = ""
    image_size: tuple[int, int] | Literal["auto"] = "auto"
    max_pixels: int = 224 * 332
    crop: bool = False
    reduce: float = 1.0
    intensity: Literal["range", "percentile"] = "percentile"
    mean: float = 0.5
    std: float = 0.25
    cache_gib: float = 4.0

    def __post_init__(self):
        if self.image_size != "auto" and min(self.image_size) < 8:
            raise UserError(
                f"data.image_size is {list(self.image_size)}: height and width must be at least 8 pixels, or auto"
            )
        if not 0 < self.reduce < float("inf"):
            raise UserError(f"data.reduce is {self.reduce}: it divides the size of the images and must be above 0")
        if isinstance(self.annotated, int) and self.annotated < 1:
            raise UserError(
                f"data.annotated is {self.annotated}: it must be a count such as 9, or a share such as 10%, above 0; "
                "leave it empty for what the manifest says"
            )
        if self.max_pixels < 64:
            raise UserError(f"data.max_pixels is {self.max_pixels}: it must be at least 64, as 8 by 8")
        if self.std <= 0:
            raise UserError(f"data.std is {self.std}: it divides the intensities and must be above 0")
        if self.cache_gib < 0:
            raise UserError(f"data.cache_gib is {self.cache_gib}: it must be 0 (no cache) or more")
        if self.train_split == self.val_split:
            raise UserError(
                f"data.train_split and data.val_split are both {self.train_split!r}: "
                "validation needs a split of its own; name another, or make one with `flexdan data split`"
            )

    @property
    def validates(self) -> bool:
        """Whether every epoch is scored."""
        return self.val_split != "none"

    @property
    def crop_reduce(self) -> float | None:
        """By how much images are reduced before windows are cut; None: they are resized as a whole."""
        return self.reduce if self.crop else None


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """Random changes applied to the training images, and where they move pixels, to the mask alike.

    Args:
        horizontal_flip: mirror left and right, with probability one half.
        vertical_flip: mirror top and bottom, with probability one half.
        quarter_turns: turn by 0, 90, 180 or 270 degrees (a batch of images that are not square turns as a whole).
        scale: enlarge or shrink by a factor from this range, drawn on a logarithmic scale; 1 1 is off.
        rotation: turn by an angle up to so many degrees either way.
        shift: move down or up, and right or left, by up to this share of height and width; 0 is off.
        elastic: bend the image: the points of a coarse grid, three by three, move at random, and what is between with
            them (Ronneberger et al. 2015, section 3.1); the standard deviation of each coordinate is this share of the
            shorter side, theirs about 0.02; 0 is off.
        stain_jitter: strength of the stain jitter of H&E images: each stain's density is multiplied by 1 +- and shifted
            by +- this (Tellez et al. 2018, "Whole-slide mitosis detection", section III-C); needs 3 channels; 0 is off.
        brightness: intensities are multiplied by a factor from 1 +- this; 0 is off, as for all that follow.
        contrast: differences from the mean grey value of the image are multiplied by a factor from 1 +- this.
        saturation: differences from the grey value of the pixel are multiplied by a factor from 1 +- this; needs 3
            channels.
        hue: the hue is turned by up to this share of the colour circle either way, 0.5 at the most; needs 3 channels.
        blur: Gaussian blur; its standard deviation is drawn between 0 and this, in pixels of the network's input.
    """

    horizontal_flip: bool = True
    vertical_flip: bool = True
    quarter_turns: bool = True
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

    def __post_init__(self):
        low, high = self.scale
        if not 0 < low <= high:
            raise UserError(f"augmentation.scale is {list(self.scale)}: it must be two factors, 0 < low <= high")
        if not 0 <= self.rotation <= 180:
            raise UserError(f"augmentation.rotation is {self.rotation}: it must be 0 to 180 degrees")
        for name in ("shift", "elastic", "stain_jitter"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"augmentation.{name} is {getattr(self, name)}: it must be at least 0 and below 1")
        for name in ("brightness", "contrast", "saturation", "blur"):
            if not getattr(self, name) >= 0:
                raise UserError(f"augmentation.{name} is {getattr(self, name)}: it must be 0 or more")
        if not 0 <= self.hue <= 0.5:
            raise UserError(f"augmentation.hue is {self.hue}: it must be 0 to 0.5")
