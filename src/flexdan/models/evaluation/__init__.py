"""Evaluation networks (EN): image and segmentation map in, one logit out, high where the image seems annotated."""

from flexdan.models.evaluation.flex_vgg import FlexVGG
from flexdan.models.evaluation.patch_en import PatchEN
from flexdan.models.evaluation.zheng_en import ZhengEN

__all__ = ["FlexVGG", "PatchEN", "ZhengEN"]
