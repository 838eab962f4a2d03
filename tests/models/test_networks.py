"""One contract for every segmentation network, exact parameter counts, and the networks against naive versions."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from flexdan.config import SegmentationNetworkConfig, UserError
from flexdan.models import ConcatenationFCN, EncoderUNet, ZhengSN, build_segmentation_network, count_parameters
from flexdan.models.blocks import block_channels, max_pool

SMALL = {"first_layer_out_channels": 4, "num_fcn_blocks": 4}


def small_zheng(**channels) -> nn.Module:
    return ZhengSN(**channels)


NETWORKS = {
    "ConcatenationFCN": lambda **channels: ConcatenationFCN(**SMALL, **channels),
    "ConcatenationFCN, single_run": lambda **channels: ConcatenationFCN(
        **SMALL, block_pattern="single_run", block_depth=2, input_block_depth=2, pool_first_block=True, **channels
    ),
    "ZhengSN": small_zheng,
    "EncoderUNet": lambda **channels: EncoderUNet(decoder_channels=(16, 8, 8, 4), **channels),
}


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ((5, 1, 64, "double_run"), 519_744),
        ((5, 2, 8, "double_run"), 2_399_992),
        ((5, 1, 32, "single_run"), 35_202_336),
        ((3, 2, 64, "double_run"), 9_557_696),
    ],
)
def test_concatenation_fcn_has_the_recorded_number_of_parameters(arguments, parameters):
    names = ("num_fcn_blocks", "block_depth", "first_layer_out_channels", "block_pattern")
    with torch.device("meta"):
        network = ConcatenationFCN(**dict(zip(names, arguments, strict=True)))
    assert count_parameters(network) == parameters


def test_zheng_sn_has_the_recorded_number_of_parameters():
    with torch.device("meta"):
        assert count_parameters(ZhengSN()) == 41_860_032


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("channels", "classes", "size"), [(3, 2, (24, 36)), (1, 4, (17, 31)), (5, 3, (9, 8))])
def test_logits_have_the_size_of_the_image_and_every_weight_learns(name, channels, classes, size):
    torch.manual_seed(0)
    network = NETWORKS[name](input_channels=channels, output_channels=classes)
    if name == "EncoderUNet":  # its batch norm at 1/32 of the size needs more than two pixels
        size = (4 * size[0], 4 * size[1])
    logits = network(torch.randn(2, channels, *size))
    assert logits.shape == (2, classes, *size)
    assert logits.min() < 0  # logits, not probabilities
    F.cross_entropy(logits, torch.randint(classes, (2, *size))).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("name", NETWORKS)
def test_maps_of_the_encoder_can_be_perturbed(name):
    torch.manual_seed(0)
    network, images = NETWORKS[name](input_channels=3, output_channels=2).eval(), torch.randn(2, 3, 24, 32)
    seen = []
    logits = network(images, perturb=lambda maps: (seen.append(maps.shape), torch.cat([maps[:1], 0 * maps[1:]]))[1])
    assert len(seen) >= 3
    assert all(shape[0] == 2 for shape in seen)
    plain = network(images)
    torch.testing.assert_close(logits[0], plain[0])
    assert not torch.allclose(logits[1], plain[1])


@pytest.mark.parametrize("name", NETWORKS)
def test_saved_weights_give_the_same_logits(name, tmp_path):
    torch.manual_seed(0)
    network, other = (NETWORKS[name](input_channels=3, output_channels=2).eval() for _ in range(2))
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    images = torch.randn(1, 3, 20, 28)
    with torch.inference_mode():
        assert torch.equal(network(images), other(images))


@pytest.mark.parametrize("name", NETWORKS)
def test_channels_last_gives_the_same_logits(name):
    torch.manual_seed(0)
    network = NETWORKS[name](input_channels=3, output_channels=2).eval()
    images = torch.randn(1, 3, 20, 28)
    with torch.inference_mode():
        plain = network(images)
        other = network.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(plain, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_can_be_exported(name):
    network = NETWORKS[name](input_channels=3, output_channels=2).eval()
    images = torch.randn(1, 3, 20, 28)
    exported = torch.export.export(network, (images,)).module()
    torch.testing.assert_close(exported(images), network(images), rtol=1e-4, atol=1e-4)


def naive_zheng(network: ZhengSN, images: torch.Tensor) -> torch.Tensor:
    """The text of the specification, line by line, on the weights of a network in evaluation mode."""
    convolutions = iter([module for module in network.modules() if isinstance(module, nn.Conv2d)])
    norms = {id(module): module for module in network.modules() if isinstance(module, nn.BatchNorm2d)}
    blocks = [module for module in network.modules() if isinstance(module, nn.Sequential) and len(module) == 3]
    blocks = [block for block in blocks if isinstance(block[0], nn.Conv2d)]

    def normalise(maps, norm):
        mean, var = norm.running_mean[:, None, None], norm.running_var[:, None, None]
        scaled = (maps - mean) / torch.sqrt(var + norm.eps)
        return (scaled * norm.weight[:, None, None] + norm.bias[:, None, None]).clamp(min=0)

    def convolve(maps, position):
        convolution = next(convolutions)
        return normalise(F.conv2d(maps, convolution.weight, padding=1), norms[id(blocks[position][1])])

    def pool(maps):
        padded = F.pad(maps, (1, 1, 1, 1), value=-torch.inf)
        return F.max_pool2d(padded, 2, 2)

    taps, maps, position = [], images, 0
    for number, depth in enumerate((2, 1, 2, 2, 2, 2)):
        maps = pool(maps) if number else maps
        for _ in range(depth):
            maps = convolve(maps, position)
            position += 1
        if number >= 3:
            taps.append(maps)
    up = [
        normalise(F.interpolate(tap, images.shape[2:], mode="bilinear"), block.norm)
        for tap, block in zip(taps, network.upsample, strict=True)
    ]
    joined = convolve(torch.cat(up, 1), position)
    assert joined.shape[1] == 1024
    return F.conv2d(joined, next(convolutions).weight)


def test_zheng_sn_equals_the_naive_version():
    torch.manual_seed(0)
    network = ZhengSN()
    with torch.no_grad():
        network(torch.randn(2, 3, 24, 24))  # moves the running statistics
    network.eval()
    images = torch.randn(1, 3, 21, 30)
    with torch.no_grad():
        torch.testing.assert_close(network(images), naive_zheng(network, images), rtol=1e-3, atol=1e-3)


def test_pool_sizes_are_those_of_the_specification():
    sides = [(224, 332)]
    for _ in range(5):
        sides.append(tuple(max_pool()(torch.zeros(1, 1, *sides[-1])).shape[2:]))
    assert sides == [(224, 332), (113, 167), (57, 84), (29, 43), (15, 22), (8, 12)]


@pytest.mark.parametrize(
    ("depth", "pattern", "channels"),
    [
        (3, "single_run", [8, 16, 32, 64]),
        (4, "double_run", [8, 8, 16, 16, 32]),
        (1, "double_run", [8, 8]),
    ],
)
def test_channels_follow_the_pattern(depth, pattern, channels):
    assert block_channels(8, depth, pattern) == channels


def test_pool_first_block_halves_once_more():
    shapes = []
    for pooled in (False, True):
        network = ConcatenationFCN(**SMALL, pool_first_block=pooled)
        network.blocks[0].register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[2:])))
        network(torch.zeros(1, 3, 16, 20))
    assert shapes == [(16, 20), (9, 11)]


def build(**settings):
    section = SegmentationNetworkConfig(**settings)
    return build_segmentation_network(section, input_channels=3, num_classes=2, image_size=(32, 32))


def test_a_network_of_the_users_own():
    arguments = {"spatial_dims": 2, "in_channels": 3, "out_channels": 2, "features": [4, 4, 4, 4, 4, 4]}
    network = build(model_type="monai.networks.nets.BasicUNet", model_args=arguments)
    assert network.training
    assert network(torch.zeros(2, 3, 32, 48)).shape == (2, 2, 32, 48)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_type": "ConcatFCN"}, "say one of ConcatenationFCN, EncoderUNet, ZhengSN"),
        ({"model_type": "no.such.Network"}, "cannot be imported"),
        ({"model_type": "torch.nn.NoSuch"}, "cannot be imported"),
        ({"model_type": "torch.nn.Conv2d", "model_args": {"in": 3}}, "cannot be built"),
        ({"model_type": "collections.OrderedDict"}, "no torch.nn.Module"),
        (
            {"model_type": "torch.nn.Conv2d", "model_args": {"in_channels": 1, "out_channels": 2, "kernel_size": 1}},
            "fails",
        ),
        (
            {"model_type": "torch.nn.Conv2d", "model_args": {"in_channels": 3, "out_channels": 3, "kernel_size": 1}},
            "gives",
        ),
        (
            {"model_type": "torch.nn.Conv2d", "model_args": {"in_channels": 3, "out_channels": 2, "kernel_size": 3}},
            "gives",
        ),
        ({"model_args": {"a": 1}}, "model_args is for a network of your own"),
    ],
)
def test_a_network_that_cannot_be_used_is_refused(settings, message):
    with pytest.raises(UserError, match=message):
        build(**settings)


def test_fewer_than_three_blocks_are_refused():
    with pytest.raises(ValueError, match="num_fcn_blocks is 2"):
        ConcatenationFCN(num_fcn_blocks=2)
