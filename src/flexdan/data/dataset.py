"""Images and masks at the network's size, decoded once where they fit into memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from flexdan.config import IGNORE, UserError
from flexdan.data.contours import mark_contours
from flexdan.data.images import read_image, read_mask
from flexdan.data.manifest import ImageRecord
from flexdan.data.masks import MaskValues
from flexdan.data.tensors import resize_image, resize_mask
from flexdan.data.windows import Size, Window, cut, random_window

Track = Callable[[Iterable], Iterable]


def load_mask(record: ImageRecord) -> np.ndarray:
    """Read the mask of an annotated image as classes, uint8 (H, W), `IGNORE` where a pixel does not count.

    Raises:
        UserError: if the file is broken or holds values without a meaning.
    """
    assert record.annotated, f"the mask of the unannotated image {record.image} must not be opened"
    assert record.mask is not None
    return MaskValues.parse(record.mask_values).to_classes(read_mask(record.mask), str(record.mask))


def load_objects(record: ImageRecord) -> tuple[np.ndarray, np.ndarray]:
    """Read the mask of an annotated image, once, as classes and as objects.

    Returns:
        classes, uint8 (H, W), `IGNORE` where a pixel does not count; and objects, integers (H, W), see
        `MaskValues.to_objects`.

    Raises:
        UserError: if the file is broken or holds values without a meaning.
    """
    assert record.annotated, f"the mask of the unannotated image {record.image} must not be opened"
    assert record.mask is not None
    meaning, values = MaskValues.parse(record.mask_values), read_mask(record.mask)
    classes = meaning.to_classes(values, str(record.mask))
    return classes, meaning.to_objects(values, classes)


def load_pair(
    record: ImageRecord, channels: int, intensity: Literal["range", "percentile"]
) -> tuple[np.ndarray, np.ndarray]:
    """Read an annotated image and its mask at their own size.

    Args:
        record: an annotated image.
        channels: number of channels wanted.
        intensity: how types other than 8 bit become bytes.

    Returns:
        uint8 (H, W, C), and classes, uint8 (H, W), `IGNORE` where a pixel does not count.

    Raises:
        UserError: if a file is broken, or the mask has another size than its image.
    """
    classes = load_mask(record)
    pixels = read_image(record.image, channels, intensity)
    check_sizes(record, classes, pixels)
    return pixels, classes


def check_sizes(record: ImageRecord, classes: np.ndarray, pixels: np.ndarray) -> None:
    """Raise a `UserError` if a mask (H, W) has another size than its image (H, W, C)."""
    if classes.shape != pixels.shape[:2]:
        sizes = [f"{width} x {height} pixels" for height, width in (classes.shape, pixels.shape[:2])]
        raise UserError(f"mask {record.mask} has {sizes[0]}, but its image {record.image} {sizes[1]}: mend the mask")


class SegmentationDataset(Dataset[tuple[Tensor, Tensor]]):
    """Images (h, w, C) and classes (h, w), both uint8; unannotated images have `IGNORE` everywhere.

    An item is an image as a whole, by its number, or a `Window` of it.

    Args:
        records: rows of the manifest.
        image_size: height and width of the network's input.
        reduce: images keep their own size, divided by this, for windows of `image_size`; None: all are resized to
            `image_size`.
        channels: of the network's input.
        intensity: how types other than 8 bit become bytes.
        cache_bytes: keep as many decoded images as fit into this.
        contour_width: mark the contours of objects, so many pixels wide at that size, see `mark_contours`; 0: no.
        track: wraps the filling of the cache, for a progress bar.

    Raises:
        UserError: where an image is read, here or later, if its file is broken or its mask has another size.
    """

    def __init__(
        self,
        records: Sequence[ImageRecord],
        *,
        image_size: Size,
        channels: int,
        reduce: float | None = None,
        intensity: Literal["range", "percentile"] = "percentile",
        cache_bytes: int = 0,
        contour_width: int = 0,
        track: Track = iter,
    ):
        self.records = list(records)
        self.image_size = image_size
        self.channels = channels
        self.intensity: Literal["range", "percentile"] = intensity
        self.contour_width = contour_width
        self.sizes = [image_size if reduce is None else _reduced(record, reduce) for record in self.records]
        needed = np.cumsum([height * width * (channels + 1) for height, width in self.sizes], dtype=np.int64)
        self.num_cached = int(np.searchsorted(needed, cache_bytes, side="right"))
        self.cached_bytes = int(needed[self.num_cached - 1]) if self.num_cached else 0
        self._cache = [self._load(index) for index in track(range(self.num_cached))]
        self._labels: list[Tensor] = []
        self._last: tuple[int, tuple[Tensor, Tensor]] | None = None  # windows of one image often follow each other

    def __len__(self) -> int:
        return len(self.records)

    def label(self, labels: Sequence[np.ndarray]) -> None:
        """Give every image classes, uint8 (h, w) at its size here, in place of those of its mask.

        Those of images that had labels before are overwritten where they are, in memory that workers share.

        Raises:
            ValueError: if they are not as many as the images, or of other sizes.
        """
        if [one.shape for one in labels] != self.sizes:
            raise ValueError(f"labels of {len(labels)} images do not fit the {len(self)} images of the dataset")
        if not self._labels:
            self._labels = [torch.empty(size, dtype=torch.uint8).share_memory_() for size in self.sizes]
        for own, given in zip(self._labels, labels, strict=True):
            own.copy_(torch.from_numpy(given))

    def __getitem__(self, item: int | Window) -> tuple[Tensor, Tensor]:
        if isinstance(item, Window):
            return cut(*self._whole(item.index), item, self.image_size)
        return self._whole(item)

    def _whole(self, index: int) -> tuple[Tensor, Tensor]:
        pixels, classes = self._read(index)
        return pixels, self._labels[index] if self._labels else classes

    def _read(self, index: int) -> tuple[Tensor, Tensor]:
        if index < self.num_cached:
            return self._cache[index]
        if self._last is None or self._last[0] != index:
            self._last = index, self._load(index)
        return self._last[1]

    def _load(self, index: int) -> tuple[Tensor, Tensor]:
        record, size = self.records[index], self.sizes[index]
        if record.annotated:
            pixels, target = self._load_annotated(record, size)
        else:
            pixels = read_image(record.image, self.channels, self.intensity)
            target = np.full(size, IGNORE, dtype=np.uint8)
        image = resize_image(pixels, size)
        return torch.from_numpy(np.ascontiguousarray(image)), torch.from_numpy(np.ascontiguousarray(target))

    def _load_annotated(self, record: ImageRecord, size: Size) -> tuple[np.ndarray, np.ndarray]:
        """Read an image at its own size, and its target at another."""
        if not self.contour_width:
            pixels, classes = load_pair(record, self.channels, self.intensity)
            return pixels, resize_mask(classes, size)
        classes, objects = load_objects(record)
        pixels = read_image(record.image, self.channels, self.intensity)
        check_sizes(record, classes, pixels)
        return pixels, mark_contours(resize_mask(classes, size), resize_mask(objects, size), self.contour_width)


def _reduced(record: ImageRecord, factor: float) -> Size:
    return max(round(record.height / factor), 1), max(round(record.width / factor), 1)


class EpochSampler(Sampler[int]):
    """A random order that depends on the seed and the epoch alone, so that a resumed run sees the same batches.

    Args:
        length: number of images.
        seed: of the draw.
        total: images in an epoch; where there are fewer, they start over in another order. None: each image once.
    """

    def __init__(self, length: int, seed: int, total: int | None = None):
        self.length = length
        self.seed = seed
        self.total = length if total is None else total
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[int]:
        for turn, first in enumerate(range(0, self.total, self.length)):
            more = (turn,) if turn else ()
            generator = torch.Generator().manual_seed(epoch_seed(self.seed, self.epoch, *more))
            yield from torch.randperm(self.length, generator=generator)[: self.total - first].tolist()


class WindowSampler(Sampler[Window]):
    """A random window of every image of an epoch, which depends on the seed and the epoch alone.

    Args:
        order: of the images.
        images: heights and widths of all of them.
        size: of the windows.
    """

    def __init__(self, order: EpochSampler, images: Sequence[Size], size: Size):
        self.order = order
        self.images = images
        self.size = size

    def set_epoch(self, epoch: int) -> None:
        """Choose the order and the windows of an epoch."""
        self.order.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Window]:
        generator = torch.Generator().manual_seed(epoch_seed(self.order.seed, self.order.epoch, 0, 0, 1))
        for index in self.order:
            yield random_window(index, self.images[index], self.size, generator)


def epoch_seed(seed: int, epoch: int, *more: int) -> int:
    """Return a seed for one epoch (and batch, and process) that is independent of those of the others."""
    return int(np.random.SeedSequence([seed, epoch, *more]).generate_state(1, np.uint64)[0] >> 1)


def make_loader(
    dataset: SegmentationDataset,
    *,
    batch_size: int,
    sampler: Sampler[int] | Sampler[Window] | Sequence[Window] | None = None,
    num_workers: int = 0,
    pin_memory: bool = False,
) -> DataLoader:
    """Return a loader of batches (N, h, w, C) and (N, h, w), uint8; workers only where images are not all cached."""
    workers = num_workers if dataset.num_cached < len(dataset) else 0
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
    )
