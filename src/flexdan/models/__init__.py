"""Networks; they return logits."""

from flexdan.models.build import SEGMENTATION_NETWORKS, build_segmentation_network, count_parameters
from flexdan.models.segmentation import ConcatenationFCN, ZhengSN

__all__ = [
    "SEGMENTATION_NETWORKS",
    "ConcatenationFCN",
    "ZhengSN",
    "build_segmentation_network",
    "count_parameters",
]
