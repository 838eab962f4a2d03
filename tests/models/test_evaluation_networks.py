"""The evaluation networks: exact parameter counts, one contract for all, and ZhengEN against a naive version."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from flexdan.config import EvaluationNetworkConfig, UserError, config_from_mapping
from flexdan.models import (
    EVALUATION_NETWORKS,
    ConcatenationFCN,
    FlexVGG,
    PatchEN,
    ZhengEN,
    build_evaluation_network,
    count_parameters,
)
from flexdan.models.blocks import block_channels, pooled_size

NETWORKS = {
    "ZhengEN": lambda **shape: ZhengEN(**shape),
    "FlexVGG": lambda **shape: FlexVGG(first_layer_out_channels=4, **shape),
    "FlexVGG, deep": lambda **shape: FlexVGG(
        first_layer_out_channels=4,
        num_fcn_blocks=9,
        depth_fcn_block=1,
        fcn_block_pattern="single_width",
        first_linear_layer_out_features=256,
        depth_linear_block=4,
        **shape,
    ),
    "FlexVGG, average": lambda **shape: FlexVGG(
        first_layer_out_channels=4, num_fcn_blocks=3, fcn_block_pattern="single_run", head="global_average", **shape
    ),
}


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ((4, 2, 64, "double_run", 1, 128), 172_864_129),
        ((5, 2, 64, "double_run", 1, 128), 124_242_561),
        ((6, 2, 64, "double_run", 4, 128), 201_327_985),
    ],
)
def test_flex_vgg_has_the_recorded_number_of_parameters(arguments, parameters):
    names = (
        *("num_fcn_blocks", "depth_fcn_block", "first_layer_out_channels", "fcn_block_pattern", "depth_linear_block"),
        "first_linear_layer_out_features",
    )
    with torch.device("meta"):
        network = FlexVGG(**dict(zip(names, arguments, strict=True)))
    assert count_parameters(network) == parameters


def test_zheng_en_has_the_recorded_number_of_parameters():
    with torch.device("meta"):
        assert count_parameters(ZhengEN()) == 52_556_929


def test_an_averaging_head_needs_few_parameters_and_the_same_for_every_size():
    with torch.device("meta"):
        flat, average, small = (
            count_parameters(FlexVGG(head=head, image_size=size))
            for head, size in (("flatten", (224, 332)), ("global_average", (224, 332)), ("global_average", (64, 64)))
        )
    assert average == small
    assert flat - average == 1024 * (29 * 43 - 1) * 128  # the last maps are 1024 x 29 x 43


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("channels", "size"), [(4, (24, 36)), (2, (17, 31)), (8, (9, 8))])
def test_one_logit_for_each_image_and_every_weight_learns(name, channels, size):
    torch.manual_seed(0)
    network = NETWORKS[name](input_channels=channels, image_size=size)
    logits = network(torch.randn(6, channels, *size))
    assert logits.shape == (6, 1)
    assert logits.min() < 0 or logits.max() > 1  # logits, not scores
    F.binary_cross_entropy_with_logits(logits, torch.rand(6, 1)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("name", NETWORKS)
def test_saved_weights_layouts_and_export_give_the_same_logits(name, tmp_path):
    torch.manual_seed(0)
    network, other = (NETWORKS[name](image_size=(20, 28)).eval() for _ in range(2))
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    images = torch.randn(2, 4, 20, 28)
    exported = torch.export.export(network, (images,)).module()
    with torch.inference_mode():
        plain = network(images)
        assert torch.equal(plain, other(images))
        torch.testing.assert_close(exported(images), plain, rtol=1e-4, atol=1e-4)
        last = network.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(plain, last, rtol=1e-4, atol=1e-4)


def test_zheng_en_equals_the_naive_version():
    """The text of the specification, line by line, on the weights of a network in evaluation mode."""
    torch.manual_seed(0)
    network = ZhengEN(image_size=(24, 36))
    with torch.no_grad():
        network(torch.randn(3, 4, 24, 36))  # moves the running statistics
    network.eval()
    modules = [module for module in network.modules() if not list(module.children())]
    convolutions = iter([module for module in modules if isinstance(module, nn.Conv2d)])
    norms = iter([module for module in modules if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d)])
    linears = iter([module for module in modules if isinstance(module, nn.Linear)])

    def normalise(maps):
        norm = next(norms)
        shape = (-1, *[1] * (maps.ndim - 2))
        scaled = (maps - norm.running_mean.view(shape)) / torch.sqrt(norm.running_var.view(shape) + norm.eps)
        return (scaled * norm.weight.view(shape) + norm.bias.view(shape)).clamp(min=0)

    images = torch.randn(2, 4, 24, 36)
    maps, widths = images, []
    for number, depth in enumerate((2, 1, 2, 2, 2)):
        if number:
            maps = F.max_pool2d(F.pad(maps, (1, 1, 1, 1), value=-torch.inf), 2, 2)
        for _ in range(depth):
            maps = normalise(F.conv2d(maps, next(convolutions).weight, padding=1))
            widths.append(maps.shape[1])
    assert widths == [64, 64, 128, 256, 256, 512, 512, 512, 512]
    features = maps.reshape(2, -1)
    assert features.shape[1] == 512 * 3 * 4  # 24x36 pooled four times
    for width in (256, 128, 64):
        linear = next(linears)
        features = normalise(features @ linear.weight.T + linear.bias)
        assert features.shape[1] == width
    linear = next(linears)
    with torch.no_grad():
        torch.testing.assert_close(network(images), features @ linear.weight.T + linear.bias, rtol=1e-3, atol=1e-3)


def test_sizes_after_pools_are_those_of_the_specification():
    assert pooled_size((224, 332), 4) == (15, 22)
    assert pooled_size((224, 332), 0) == (224, 332)


def test_one_width_throughout():
    assert block_channels(8, 3, "single_width") == [8, 8, 8, 8]
    for network in (
        FlexVGG(num_fcn_blocks=8, fcn_block_pattern="single_width", first_layer_out_channels=4, image_size=(16, 16)),
        ConcatenationFCN(num_fcn_blocks=8, block_depth=2, block_pattern="single_width", first_layer_out_channels=4),
    ):
        widths = {module.out_channels for module in network.blocks.modules() if isinstance(module, nn.Conv2d)}
        assert widths == {4}


@pytest.mark.parametrize("name", EVALUATION_NETWORKS)
def test_every_built_in_network_is_built_from_its_settings(name):
    settings = EvaluationNetworkConfig(model_type=name, first_layer_out_channels=4)
    network = build_evaluation_network(settings, input_channels=5, image_size=(16, 16))
    assert type(network).__name__ == name
    assert network(torch.zeros(2, 5, 16, 16)).shape == ((2, 1, 1, 1) if name == "PatchEN" else (2, 1))


def test_scores_of_patches_see_their_patch_alone():
    """Three layers: the score in the middle of a row of patches does not know of the other end, nor of other images."""
    torch.manual_seed(0)
    network = PatchEN(num_layers=3, first_layer_out_channels=4)
    inputs = torch.randn(2, 4, 16, 160)
    scores = network(inputs)
    assert scores.std() < 0.3  # undecided
    assert scores.shape == (2, 1, 2, 20)
    changed = inputs.clone()
    changed[0, :, :, 120:], changed[1] = 0, 0
    torch.testing.assert_close(network(changed)[0, ..., :10], scores[0, ..., :10])
    assert not torch.allclose(network(changed)[0, ..., -3:], scores[0, ..., -3:])
    F.binary_cross_entropy_with_logits(scores, torch.rand(scores.shape)).backward()
    assert all(weight.grad.any() for weight in network.parameters())
    assert count_parameters(network) == (16 * 4 * 4 + 4) + (16 * 4 * 8 + 8) + (16 * 8 * 16 + 16) + (9 * 16 + 1)


def test_scores_of_pixels_are_those_of_patches_interpolated():
    torch.manual_seed(0)
    patches = PatchEN(num_layers=2, first_layer_out_channels=4)
    pixels = PatchEN(num_layers=2, first_layer_out_channels=4, output="pixel")
    pixels.load_state_dict(patches.state_dict())
    inputs = torch.randn(1, 4, 17, 23)
    expected = F.interpolate(patches(inputs), (17, 23), mode="bilinear")
    torch.testing.assert_close(pixels(inputs), expected)


def test_spectral_norm_bounds_every_weight():
    torch.manual_seed(0)
    settings = EvaluationNetworkConfig(first_layer_out_channels=4, num_fcn_blocks=3, spectral_norm=True)
    network = build_evaluation_network(settings, input_channels=4, image_size=(12, 16))
    for _ in range(30):
        network(torch.randn(4, 4, 12, 16))  # each pass brings the estimate nearer
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(layers) == 1 + 3 * 2 + 3
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item() == pytest.approx(1, abs=0.05)


def test_other_channels_than_announced_are_refused():
    settings = EvaluationNetworkConfig(input_channels=4)
    with pytest.raises(UserError, match=r"en.input_channels is 4, but image and maps have 3 channels"):
        build_evaluation_network(settings, input_channels=3, image_size=(12, 16))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"en_first_linear_layer_out_features": 8, "en_depth_linear_block": 4}, "en.depth_linear_block is 4"),
        ({"en_depth_linear_block": -1}, "en.depth_linear_block is -1"),
        ({"en_num_fcn_blocks": 0}, "en.num_fcn_blocks is 0"),
    ],
)
def test_settings_that_build_no_network_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        config_from_mapping(settings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"linear_block_pattern": "double_run"}, "the only pattern is single_run"),
        ({"first_linear_layer_out_features": 4, "depth_linear_block": 3}, "cannot be halved 3 times"),
    ],
)
def test_flex_vgg_refuses_what_it_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        FlexVGG(image_size=(8, 8), **arguments)
