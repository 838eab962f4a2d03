"""Segmentation networks (SN): images in, class logits out."""

from flexdan.models.segmentation.concatenation_fcn import ConcatenationFCN
from flexdan.models.segmentation.efficientnet_lite import imagenet_file, load_imagenet
from flexdan.models.segmentation.encoder_unet import EncoderUNet
from flexdan.models.segmentation.zheng_sn import ZhengSN

__all__ = ["ConcatenationFCN", "EncoderUNet", "ZhengSN", "imagenet_file", "load_imagenet"]
