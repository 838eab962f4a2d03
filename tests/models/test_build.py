"""Networks of the user's own: found beside his data, tried in training and in prediction, left as they are."""

import sys

import pytest
import torch
from torch import nn

from flexdan.config import SegmentationNetworkConfig, UserError
from flexdan.models import SEGMENTATION_NETWORKS, build_segmentation_network

NETWORK = """
import torch
from torch import nn

class Network(nn.Module):
    def __init__(self, fault=""):
        super().__init__()
        self.fault = fault
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
        self.frozen = nn.BatchNorm2d(4).eval()
        self.last = nn.LazyConv2d(2, 1)

    def forward(self, images):
        if self.fault == "training" and self.training:
            raise ValueError("only made for prediction")
        if self.fault == "prediction" and not self.training:
            raise ValueError("only made for training")
        logits = self.last(self.frozen(self.first(images)))
        if self.fault == "one image":
            return logits[:1]
        return [logits, logits] if self.fault == "several outputs" and self.training else logits
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, which Python does not search by itself; what is imported from it is forgotten."""
    monkeypatch.chdir(tmp_path)
    assert not {"", ".", str(tmp_path)} & set(sys.path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def build(model_type, **arguments) -> nn.Module:
    settings = SegmentationNetworkConfig(model_type=model_type, model_args=arguments)
    return build_segmentation_network(settings, input_channels=3, num_classes=2, image_size=(12, 16))


def test_a_file_in_the_current_folder_comes_first(here):
    (here / "my_own_network.py").write_text(NETWORK)
    (here / "mailbox.py").write_text(f"import my_own_network\n{NETWORK}")  # also the name of a module of Python
    path = list(sys.path)
    for name in ("my_own_network", "mailbox"):
        assert build(f"{name}.Network")(torch.zeros(2, 3, 12, 16)).shape == (2, 2, 12, 16)
        assert sys.modules[name].__file__ == str(here / f"{name}.py")
    assert sys.path == path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", "division by zero"),
        ("def broken(:", "invalid syntax"),
        ("raise RuntimeError('no licence')", "no licence"),
        ("raise AssertionError", "AssertionError"),
        ("import no_such_module", "No module named 'no_such_module'"),
    ],
)
def test_a_file_that_cannot_be_imported_is_a_mistake_that_is_named(here, text, message):
    (here / "broken_network.py").write_text(text)
    with pytest.raises(UserError, match=rf"'broken_network.Network' cannot be imported.*{message}"):
        build("broken_network.Network")


@pytest.mark.parametrize("path", ["..Network", ".Network", "mine..Network"])
def test_a_path_that_is_none_is_refused(here, path):
    with pytest.raises(UserError, match=r"sn\.model_type"):
        build(path)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("training", r"fails in training on an input of shape \(2, 3, 12, 16\): only made for prediction"),
        ("prediction", r"fails in prediction on an input of shape \(1, 3, 12, 16\): only made for training"),
        ("several outputs", "gives list in training"),
        ("one image", r"gives \(1, 2, 12, 16\) in training .* of shape \(2, 2, 12, 16\) are needed"),
    ],
)
def test_a_network_is_tried_in_training_and_in_prediction(here, fault, message):
    (here / "faulty_network.py").write_text(NETWORK)
    with pytest.raises(UserError, match=message):
        build("faulty_network.Network", fault=fault)


def test_the_trial_leaves_no_trace(here):
    (here / "fresh_network.py").write_text(NETWORK)
    torch.manual_seed(0)
    network = build("fresh_network.Network")
    after_trial = torch.rand(3)
    torch.manual_seed(0)
    untried = sys.modules["fresh_network"].Network()
    assert torch.equal(after_trial, torch.rand(3))
    assert torch.equal(network.first[0].weight, untried.first[0].weight)
    norm = network.first[1]
    assert norm.num_batches_tracked == 0
    assert torch.equal(norm.running_mean, torch.zeros(4))
    assert torch.equal(norm.running_var, torch.ones(4))
    assert network.training
    assert not network.frozen.training
    network(torch.rand(2, 3, 12, 16)).sum().backward()  # the lazy layer became one that can learn
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_every_built_in_network_is_built_from_its_settings():
    for name in SEGMENTATION_NETWORKS:
        settings = SegmentationNetworkConfig(model_type=name, first_layer_out_channels=4)
        network = build_segmentation_network(settings, input_channels=1, num_classes=3, image_size=(12, 16))
        assert type(network).__name__ == name
        assert network(torch.zeros(2, 1, 12, 16)).shape == (2, 3, 12, 16)
