"""Images, masks and manifests.

What needs torch is not imported here, so that the commands on data start at once: see `dataset`, `augmentation`, `tensors`.
"""

from flexdan.data.images import IGNORE, IMAGE_SUFFIXES, image_size, read_image, read_mask, write_image
from flexdan.data.manifest import (
    ImageRecord,
    file_sha256,
    num_classes,
    read_manifest,
    select_split,
    write_manifest,
)
from flexdan.data.masks import MaskValues

__all__ = [
    "IGNORE",
    "IMAGE_SUFFIXES",
    "ImageRecord",
    "MaskValues",
    "file_sha256",
    "image_size",
    "num_classes",
    "read_image",
    "read_manifest",
    "read_mask",
    "select_split",
    "write_image",
    "write_manifest",
]
