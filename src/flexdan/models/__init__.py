"""Networks; they return logits."""

from flexdan.models.build import (
    EVALUATION_NETWORKS,
    SEGMENTATION_NETWORKS,
    build_evaluation_network,
    build_segmentation_network,
    count_parameters,
    import_network_class,
)
from flexdan.models.evaluation import FlexVGG, ZhengEN
from flexdan.models.recompute import recompute_activations
from flexdan.models.segmentation import ConcatenationFCN, ZhengSN

__all__ = [
    "EVALUATION_NETWORKS",
    "SEGMENTATION_NETWORKS",
    "ConcatenationFCN",
    "FlexVGG",
    "ZhengEN",
    "ZhengSN",
    "build_evaluation_network",
    "build_segmentation_network",
    "count_parameters",
    "import_network_class",
    "recompute_activations",
]
