"""The estimate against sums by hand and against storages of real tensors."""

import weakref
from unittest.mock import patch

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from flexdan.config import UserError, with_settings
from flexdan.engine.optimizers import build_optimizer
from flexdan.engine.setup import build_network, build_networks
from flexdan.losses import build_criterion
from flexdan.memory import break_down, trace_training
from flexdan.memory.trace import rounded
from flexdan.models.segmentation import efficientnet_lite
from flexdan.strategies import Batch, Means, Player, Players, build_step, strong_views, update_average


class RealStorages(TorchDispatchMode):
    """The naive version: the bytes of all real storages that operations made and that are still referenced."""

    def __init__(self):
        super().__init__()
        self.live, self.peak, self.known = 0, 0, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.follow(leaf)
        return result

    def follow(self, tensor):
        storage = tensor.untyped_storage()
        key, size = storage._cdata, rounded(storage.nbytes())
        if key in self.known or not size:
            return

        def gone(_):
            del self.known[key]
            self.live -= size

        self.known[key] = weakref.ref(storage, gone)
        self.live += size
        self.peak = max(self.peak, self.live)


def real_peak(config) -> int:
    """Return the most live bytes in the second of two real steps."""
    mode = RealStorages()
    networks = build_networks(config)
    average = build_network(config).requires_grad_(False).eval() if config.weight_averaging != "none" else None
    for network in (*networks.values(), *([] if average is None else [average])):
        network.to(memory_format=torch.channels_last if config.training.channels_last else torch.preserve_format)
        for tensor in (*network.parameters(), *network.buffers()):
            mode.follow(tensor)
    players = Players(
        **{
            name: Player(network=network, bare=network, optimizer=build_optimizer(config.optimizer, network))
            for name, network in networks.items()
        },
        average=average,
    )
    means = Means(criterion=build_criterion(config.loss), max_grad_norm=config.optimizer.max_grad_norm)
    layout = torch.channels_last if config.training.channels_last else torch.contiguous_format
    count, height, width = config.training.batch_size, *config.data.image_size
    epoch = config.training.num_epochs if config.generations > 1 else 1  # the last generation has all there is

    def batch():
        more = config.strategy != "supervised"
        labelled = config.generations > 1
        images = torch.rand(count * (1 + more), 3, height, width).contiguous(memory_format=layout)
        targets = torch.zeros(count * (1 + more), height, width, dtype=torch.uint8)
        others = images[count:] if more else None
        strong = tuple(torch.rand_like(others) for _ in range(strong_views(config)))
        labels = targets[count:] if labelled else None
        return Batch(images=images[:count], targets=targets[:count], unannotated=others, strong=strong, labels=labels)

    with mode:
        for _ in range(2):
            mode.peak = 0
            batches = [batch() for _ in range(config.training.gradient_accumulation_steps)]
            build_step(config, epoch, 1)(players, batches, means)
            if average is not None:
                update_average(average, players.sn.bare, 0.5)
            del batches
    return mode.peak


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"training__channels_last": False},
        {"loss__criterion": "cross_entropy_tversky", "loss__class_weights": (1.0, 2.0)},
        {"loss__criterion": "cross_entropy_dice_boundary", "training__batch_size": 2},
        {"optimizer__implementation": "foreach"},
        {"optimizer__optimizer_type": "sgd", "optimizer__max_grad_norm": 1.0},
        {"optimizer__optimizer_type": "adamw", "optimizer__weight_decay": 0.01},
        {"training__activation_checkpointing": True},
        {"training__gradient_accumulation_steps": 3, "training__batch_size": 2},
        {"strategy": "dan"},
        {"strategy": "dan", "adversarial__sn_update": "joint", "en__head": "global_average"},
        {"strategy": "dan", "training__activation_checkpointing": True},
        {"training__weight_averaging": "swa"},
        {"strategy": "mean_teacher", "unannotated__uncertainty_passes": 2},
        {"strategy": "fixmatch", "unannotated__labels_from": "student", "training__gradient_accumulation_steps": 2},
        {"strategy": "unimatch", "training__activation_checkpointing": True},
        {"strategy": "cross_pseudo_supervision", "training__gradient_accumulation_steps": 2},
        {"strategy": "entropy_minimisation"},
        {"strategy": "self_training", "training__num_epochs": 2},
        {"strategy": "batch_norm_only"},
        {"strategy": "dan+self_training", "training__num_epochs": 2},
        {"strategy": "dan+fixmatch"},
        {"sn__model_type": "EncoderUNet", "sn__encoder_weights": "none"},
        {"strategy": "dan+en_confidence", "en__model_type": "PatchEN", "adversarial__en_criterion": "hinge"},
    ],
)
def test_live_bytes_are_those_of_real_tensors(small, changes):
    config = small(**changes)
    assert break_down(trace_training(config)).peak == pytest.approx(real_peak(config), rel=0.01)


def test_breakdown_by_hand(small):
    config = small()
    trace = trace_training(config)
    network = build_network(config)
    found = break_down(trace)
    weights = sum(rounded(weight.numel() * 4) for weight in network.parameters())
    assert trace.parameters == sum(weight.numel() for weight in network.parameters())
    assert sum(found.kinds.values()) == sum(found.modules.values()) == found.peak
    buffers = sum(rounded(buffer.numel() * buffer.element_size()) for buffer in network.buffers())
    assert found.kinds["parameters"] == weights + buffers
    steps = 512 * len(list(network.parameters()))  # Adam counts them for each weight
    assert found.kinds["optimizer state"] == 2 * weights + steps
    assert found.kinds["inputs"] == 4 * 32 * 48 * (3 * 4 + 1)
    assert found.phase == "backward"
    assert found.module.startswith("sn.map_block")


def test_gradients_of_all_weights_stand_in_the_update(small):
    config = small(sn__first_layer_out_channels=128, data__image_size=(8, 8), training__batch_size=2)
    found = break_down(trace_training(config))
    assert found.phase == "update"
    weights = sum(rounded(weight.numel() * 4) for weight in build_network(config).parameters())
    assert found.kinds["gradients"] == weights


def test_flops_are_three_times_those_of_the_forward_pass(small):
    """Each convolution is done for the output, for its input and for its weights; the first one not for the images."""
    config = small()
    forward, first = 0, 2 * 4 * 32 * 48 * 9 * 3 * 8
    size = (32, 48)
    for _ in range(3):
        forward += 2 * 4 * size[0] * size[1] * 9 * 8 * 8
        size = (size[0] // 2 + 1, size[1] // 2 + 1)
    forward += first + 2 * 4 * 32 * 48 * (9 * 24 * 24 + 24 * 2)
    assert trace_training(config).flops == 3 * forward - first


@pytest.mark.parametrize("cpu", [True, False])
def test_flops_of_depthwise_convolutions_are_three_times_those_of_the_forward_pass_as_well(small, cpu):
    config = small(sn__model_type="EncoderUNet", sn__encoder_weights="none")
    with FlopCounterMode(display=False) as counter:
        build_network(config)(torch.zeros(4, 3, 32, 48))
    stem = 2 * 4 * 16 * 32 * 9 * 3 * 32  # of images that were extended to 32x64
    assert trace_training(config, cpu=cpu).flops == 3 * counter.get_total_flops() - stem


def test_a_gpu_finds_gradients_of_depthwise_convolutions_as_torch_does(small):
    config = small(sn__model_type="EncoderUNet", sn__encoder_weights="none")

    def as_torch_does(maps, weight, stride, padding):
        return F.conv2d(maps, weight, stride=stride, padding=padding, groups=len(weight))

    with patch.object(efficientnet_lite, "filter_channels", as_torch_does):
        expected = trace_training(config)
    assert trace_training(config, cpu=False) == expected
    assert trace_training(config) != expected


def test_mixed_precision_checkpointing_and_micro_batches_save_memory(small):
    plain = break_down(trace_training(small(data__image_size=(128, 192)))).peak
    for changes, share in (
        ({"training__precision": "bf16"}, 0.65),
        ({"training__activation_checkpointing": True}, 0.85),
        ({"training__batch_size": 2, "training__gradient_accumulation_steps": 2}, 0.6),
    ):
        assert break_down(trace_training(small(data__image_size=(128, 192), **changes))).peak < share * plain, changes


def test_an_average_takes_as_much_as_the_weights(small):
    wide = {"sn__first_layer_out_channels": 128, "data__image_size": (8, 8), "training__batch_size": 2}
    plain, averaged = (
        break_down(trace_training(small(**wide, training__weight_averaging=how))).kinds["parameters"]
        for how in ("none", "ema")
    )
    assert averaged == 2 * plain


def test_a_network_of_the_user_s_own_is_planned(small):
    changes = {"sn.model_type": "monai.networks.nets.BasicUNet", "training.channels_last": False}
    changes |= {"sn.model_args": {"spatial_dims": 2, "in_channels": 3, "out_channels": 2}}
    config = with_settings(small(), changes)
    assert break_down(trace_training(config)).peak == pytest.approx(real_peak(config), rel=0.02)


def test_a_network_that_looks_at_its_values_is_refused(small, tmp_path, monkeypatch):
    (tmp_path / "looking.py").write_text(
        "from torch import nn\n"
        "class Looking(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.convolution = nn.Conv2d(3, 2, 1)\n"
        "    def forward(self, images):\n"
        "        return self.convolution(images) + images[images > 0].unique().numel()\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"looking\.Looking"):
        trace_training(with_settings(small(), {"sn.model_type": "looking.Looking"}))


def test_nothing_is_allocated_and_random_numbers_stay(small):
    config = small(sn__first_layer_out_channels=8192)  # 190 GiB of weights and state
    state = torch.get_rng_state()
    assert break_down(trace_training(config)).peak > 150 * 2**30
    assert torch.equal(state, torch.get_rng_state())
