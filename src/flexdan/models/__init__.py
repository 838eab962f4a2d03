"""Networks; they return logits."""

from flexdan.models.build import (
    EVALUATION_NETWORKS,
    SEGMENTATION_NETWORKS,
    build_evaluation_network,
    build_segmentation_network,
    can_perturb,
    count_parameters,
    import_network_class,
)
from flexdan.models.evaluation import FlexVGG, PatchEN, ZhengEN
from flexdan.models.recompute import recompute_activations
from flexdan.models.segmentation import ConcatenationFCN, EncoderUNet, ZhengSN, imagenet_file, load_imagenet

__all__ = [
    "EVALUATION_NETWORKS",
    "SEGMENTATION_NETWORKS",
    "ConcatenationFCN",
    "EncoderUNet",
    "FlexVGG",
    "PatchEN",
    "ZhengEN",
    "ZhengSN",
    "build_evaluation_network",
    "build_segmentation_network",
    "can_perturb",
    "count_parameters",
    "imagenet_file",
    "import_network_class",
    "load_imagenet",
    "recompute_activations",
]
