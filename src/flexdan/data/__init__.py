"""Images, masks and manifests.

What needs torch is not imported here, so that the commands on data start at once: see `dataset`, `augmentation` and
`tensors`.
"""

from flexdan.config import IGNORE
from flexdan.data.images import IMAGE_SUFFIXES, image_size, read_image, read_mask, write_image
from flexdan.data.manifest import (
    ImageRecord,
    file_sha256,
    num_classes,
    read_manifest,
    select_split,
    write_manifest,
)
from flexdan.data.masks import MaskValues
from flexdan.data.splits import mark_annotated, split_by_fraction, split_by_list

__all__ = [
    "IGNORE",
    "IMAGE_SUFFIXES",
    "ImageRecord",
    "MaskValues",
    "file_sha256",
    "image_size",
    "mark_annotated",
    "num_classes",
    "read_image",
    "read_manifest",
    "read_mask",
    "select_split",
    "split_by_fraction",
    "split_by_list",
    "write_image",
    "write_manifest",
]
