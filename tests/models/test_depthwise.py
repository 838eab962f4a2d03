"""Depthwise convolution: what it returns and its gradients are those of `F.conv2d`."""

import pytest
import torch
from torch.nn import functional as F

from flexdan.models import EncoderUNet
from flexdan.models.depthwise import filter_channels
from flexdan.models.segmentation import efficientnet_lite


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 0), (5, 1, 2), (5, 2, 0), (5, 2, 2)])
def test_output_and_gradients_equal_those_of_torch(kernel, stride, padding):
    torch.manual_seed(0)
    maps = torch.randn(2, 3, 9, 12, dtype=torch.double, requires_grad=True)
    weight = torch.randn(3, 1, kernel, kernel, dtype=torch.double, requires_grad=True)
    found = filter_channels(maps, weight, stride, padding)
    expected = F.conv2d(maps, weight, stride=stride, padding=padding, groups=3)
    torch.testing.assert_close(found, expected)
    direction = torch.randn_like(found)
    for got, wanted in zip(
        torch.autograd.grad(found, (maps, weight), direction),
        torch.autograd.grad(expected, (maps, weight), direction),
        strict=True,
    ):
        torch.testing.assert_close(got, wanted)
    torch.autograd.gradcheck(lambda *tensors: filter_channels(*tensors, stride, padding), (maps, weight))


def test_gradients_in_bf16_are_those_of_fp32_but_for_the_rounding_of_maps():
    torch.manual_seed(0)
    maps, weight = torch.randn(2, 6, 8, 8).bfloat16().requires_grad_(), torch.randn(6, 1, 5, 5).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = filter_channels(maps, weight, stride=2, padding=2)
    assert found.dtype == torch.bfloat16
    found.sum().backward()
    precise = maps.detach().float().requires_grad_(), weight.detach().requires_grad_()
    filter_channels(*precise, stride=2, padding=2).sum().backward()
    assert (maps.grad.dtype, weight.grad.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(maps.grad.float(), precise[0].grad, rtol=2**-7, atol=1e-6)
    torch.testing.assert_close(weight.grad, precise[1].grad)


def test_a_network_that_only_predicts_does_without(monkeypatch):
    network, image = EncoderUNet().eval(), torch.rand(1, 3, 32, 32)
    expected = network(image)
    monkeypatch.setattr(efficientnet_lite, "filter_channels", None)
    torch.testing.assert_close(network(image), expected)
    with pytest.raises(TypeError, match="not callable"):
        network.train()(image.expand(2, 3, 32, 32))


def test_what_needs_no_gradient_gets_none():
    maps, weight = torch.ones(1, 2, 4, 4), torch.ones(2, 1, 3, 3, requires_grad=True)
    filter_channels(maps, weight).sum().backward()
    assert maps.grad is None
    torch.testing.assert_close(weight.grad, torch.full((2, 1, 3, 3), 4.0))


def test_the_gradient_of_filters_has_their_strides_as_ddp_expects():
    for width in (3, 5):
        filters = torch.randn(2, width, width, 1).permute(0, 3, 1, 2).requires_grad_()  # as channels-last lays them out
        output = filter_channels(torch.ones(1, 2, 8, 8), filters)
        (gradient,) = torch.autograd.grad(output.sum(), filters)
        assert gradient.stride() == filters.stride()
