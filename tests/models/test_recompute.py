"""Activations that are computed anew: the same losses, gradients and statistics, and fewer tensors kept."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call

from flexdan.config import EvaluationNetworkConfig
from flexdan.models import ConcatenationFCN, FlexVGG, ZhengEN, build_evaluation_network, recompute_activations

SIZE = (24, 33)


def concatenation_fcn() -> nn.Module:
    return ConcatenationFCN(num_fcn_blocks=4, block_depth=2, first_layer_out_channels=4)


def spectral_flex_vgg() -> nn.Module:
    settings = EvaluationNetworkConfig(
        num_fcn_blocks=3, first_layer_out_channels=4, first_linear_layer_out_features=8, spectral_norm=True
    )
    return build_evaluation_network(settings, input_channels=3, image_size=SIZE)


NETWORKS = {
    "ConcatenationFCN": concatenation_fcn,
    "FlexVGG": lambda: FlexVGG(input_channels=3, image_size=SIZE, num_fcn_blocks=3, first_layer_out_channels=4),
    "FlexVGG, spectral norm": spectral_flex_vgg,
    "ZhengEN": lambda: ZhengEN(input_channels=3, image_size=SIZE),
}


def twins(name: str) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    plain = NETWORKS[name]()
    thrifty = copy.deepcopy(plain)
    assert recompute_activations(thrifty) >= 3
    return plain, thrifty


def kept_bytes(network: nn.Module, images: torch.Tensor) -> int:
    """Return the bytes that autograd keeps for the backward pass, weights left out."""
    weights = {weight.data_ptr() for weight in network.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network(images)
    assert output.requires_grad
    return sum(kept.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_and_statistics_are_those_of_the_plain_network(name):
    plain, thrifty = twins(name)
    images = torch.randn(3, 3, *SIZE)
    for network in (plain, thrifty):
        for _ in range(2):
            network(images).square().mean().backward()
    for (place, wanted), got in zip(plain.named_parameters(), thrifty.parameters(), strict=True):
        assert torch.equal(wanted.grad, got.grad), place
    for (place, wanted), got in zip(plain.named_buffers(), thrifty.buffers(), strict=True):
        assert torch.equal(wanted, got), place


@pytest.mark.parametrize("name", ["ConcatenationFCN", "FlexVGG, spectral norm"])
def test_borrowed_weights_get_no_gradient_and_nothing_of_the_network_changes(name):
    plain, thrifty = twins(name)
    before = copy.deepcopy(dict(thrifty.named_buffers()))
    gradients = []
    for network in (plain, thrifty):
        images = torch.randn(3, 3, *SIZE, generator=torch.Generator().manual_seed(1)).requires_grad_()
        borrowed = {place: weight.detach() for place, weight in network.named_parameters()}
        borrowed |= {place: buffer.clone() for place, buffer in network.named_buffers()}
        functional_call(network, borrowed, (images,)).square().mean().backward()
        gradients.append(images.grad)
    assert torch.equal(*gradients)
    assert all(weight.grad is None for weight in thrifty.parameters())
    assert all(torch.equal(buffer, before[place]) for place, buffer in thrifty.named_buffers())


def test_fewer_activations_are_kept_and_none_without_gradients():
    plain, thrifty = twins("ConcatenationFCN")
    images = torch.randn(2, 3, *SIZE)
    assert kept_bytes(thrifty, images) < 0.55 * kept_bytes(plain, images)
    with torch.no_grad():
        assert torch.equal(plain.eval()(images), thrifty.eval()(images))


def test_names_of_weights_stay():
    plain, thrifty = twins("ConcatenationFCN")
    assert list(plain.state_dict()) == list(thrifty.state_dict())


def test_a_network_without_such_parts_has_none():
    assert recompute_activations(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())) == 0
