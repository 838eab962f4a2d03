"""Segmentation networks (SN): images in, class logits out."""

from flexdan.models.segmentation.concatenation_fcn import ConcatenationFCN
from flexdan.models.segmentation.zheng_sn import ZhengSN

__all__ = ["ConcatenationFCN", "ZhengSN"]
