"""What is resolved from the data, precision, schedulers."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from flexdan.config import OptimizerConfig, RunConfig, SchedulerConfig, UserError, config_from_mapping
from flexdan.data import ImageRecord
from flexdan.engine import make_autocast, resolve_precision
from flexdan.engine.optimizers import build_optimizer, build_scheduler, cosine, one_cycle
from flexdan.engine.setup import TrainingData, build_network, resolve_config
from flexdan.models import EncoderUNet


def data(size: tuple[int, int], channels: int = 3, values: str = "instances") -> TrainingData:
    record = ImageRecord(image=Path("a.png"), mask=Path("b.png"), mask_values=values, annotated=True, channels=channels)
    return TrainingData(annotated=[record], unannotated=[], validation=[record], native_size=size)


@pytest.mark.parametrize(
    ("native", "network"),
    [
        ((522, 775), (224, 332)),  # GlaS becomes the size of the log
        ((256, 256), (256, 256)),  # small images stay as they are
        ((1000, 1000), (273, 273)),
        ((12, 20000), (8, 11133)),
    ],
)
def test_the_image_size_follows_the_data(native, network):
    assert resolve_config(RunConfig(), data(native)).data.image_size == network


def test_channels_and_classes_follow_the_data():
    resolved = resolve_config(RunConfig(), data((64, 64), channels=5, values="0=0 1=1 7=2 255=ignore"))
    assert (resolved.sn.input_channels, resolved.sn.output_channels) == (5, 3)
    assert resolve_config(resolved, data((64, 64))) == resolved  # what is resolved stays


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sn.output_channels": 2}, "sn.output_channels is 2, but the masks have 3 classes"),
        ({"augmentation.stain_jitter": 0.1}, "5 channels: stains are in RGB images"),
        ({"augmentation.hue": 0.1}, "augmentation.hue is 0.1, but the images have 5 channels: colours are in RGB"),
        ({"augmentation.saturation": 0.1}, "5 channels: colours are in RGB images"),
    ],
)
def test_settings_that_do_not_fit_the_data_are_refused(settings, message):
    config = config_from_mapping(settings)[0]
    with pytest.raises(UserError, match=message):
        resolve_config(config, data((64, 64), channels=5, values="0=0 1=1 7=2"))


def test_weights_depend_on_the_seed_alone():
    config = resolve_config(config_from_mapping({"sn.first_layer_out_channels": 4})[0], data((32, 32)))
    first = build_network(config).state_dict()
    torch.rand(5)
    second = build_network(config).state_dict()
    third = build_network(replace(config, seed=1)).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["map_block.1.weight"], third["map_block.1.weight"])


def test_precision():
    assert resolve_precision("fp32", "cpu") == "fp32"
    assert resolve_precision("bf16", "cpu") == "bf16"
    assert resolve_precision("auto", "mps") == "fp32"
    with make_autocast("bf16", "cpu")():
        assert (torch.ones(4, 4) @ torch.ones(4, 4)).dtype == torch.bfloat16
    with make_autocast("fp32", "cpu")():
        assert (torch.ones(4, 4) @ torch.ones(4, 4)).dtype == torch.float32


@pytest.mark.parametrize(
    ("avx512_bf16", "amx_tile", "precision"),
    [(True, False, "bf16"), (False, True, "bf16"), (True, True, "bf16"), (False, False, "fp32"), (None, None, "fp32")],
)
def test_automatic_precision_follows_the_processor(monkeypatch, avx512_bf16, amx_tile, precision):
    for name, found in (("avx512_bf16", avx512_bf16), ("amx_tile", amx_tile)):
        if found is None:  # a torch without the check
            monkeypatch.delattr(torch.cpu, f"_is_{name}_supported", raising=False)
        else:
            monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda found=found: found, raising=False)
    assert resolve_precision("auto", "cpu") == precision


def test_torch_has_the_checks_that_automatic_precision_asks():
    assert callable(torch.cpu._is_avx512_bf16_supported)
    assert callable(torch.cpu._is_amx_tile_supported)


@pytest.mark.parametrize(("emulated_only", "precision"), [(False, "bf16"), (True, "fp32")])
def test_automatic_precision_on_cuda_does_not_count_emulation(monkeypatch, emulated_only, precision):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or not emulated_only
    )
    assert resolve_precision("auto", "cuda") == precision


def test_one_cycle_rises_to_the_full_rate_and_falls():
    factors = [one_cycle(done, 100, 0.25) for done in range(101)]
    assert factors[0] == pytest.approx(1 / 25)
    assert factors[25] == pytest.approx(1)
    assert factors[100] == pytest.approx(1e-4)
    assert factors[:26] == sorted(factors[:26])
    assert factors[25:] == sorted(factors[25:], reverse=True)


@pytest.mark.parametrize("total", [1, 2, 3, 4])
def test_one_cycle_works_for_very_few_updates(total):
    assert all(0 < one_cycle(done, total, 0.25) <= 1 for done in range(total + 1))


def test_cosine_rises_on_a_line_and_falls_along_half_a_cosine():
    factors = [cosine(done, 100, 0.2) for done in range(101)]
    assert factors[:20] == pytest.approx([(done + 1) / 21 for done in range(20)])
    assert factors[20] == 1
    assert factors[60] == pytest.approx(0.5)
    assert factors[80] == pytest.approx((1 + math.cos(math.pi * 0.75)) / 2)
    assert factors[100] == pytest.approx(0)
    assert factors[20:] == sorted(factors[20:], reverse=True)


@pytest.mark.parametrize("total", [1, 2, 3, 40])
def test_cosine_without_warmup_is_that_of_torch(total):
    optimizer = build_optimizer(OptimizerConfig(lr=1.0, optimizer_type="sgd"), torch.nn.Linear(1, 1))
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    for done in range(total + 1):
        assert cosine(done, total, 0.0) == pytest.approx(theirs.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("total", [1, 2, 3, 4])
def test_every_update_of_a_cosine_moves_the_weights(total):
    assert all(0 < cosine(done, total, 0.9) <= 1 for done in range(total))


def test_adamw_decays_the_weights_apart_from_the_gradient():
    """Without a gradient, adam moves a weight by its whole learning rate; adamw shrinks it by lr * weight_decay."""
    moved = {}
    for name in ("adam", "adamw"):
        network = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(network.weight, 2.0)
        optimizer = build_optimizer(OptimizerConfig(lr=0.1, weight_decay=0.5, optimizer_type=name), network)
        (0 * network.weight).sum().backward()
        optimizer.step()
        moved[name] = network.weight.item()
    assert moved == pytest.approx({"adam": 1.9, "adamw": 2 * (1 - 0.1 * 0.5)})


def test_plateau_scheduler_has_all_its_settings():
    network = torch.nn.Linear(1, 1)
    settings = SchedulerConfig(
        scheduler_type="ReduceLROnPlateau", factor=0.5, patience=1, plateau_metric="iou_score", min_lr=0.3, cooldown=2,
        threshold=0.01, threshold_mode="abs", eps=1e-9,
    )  # fmt: skip
    optimizer = build_optimizer(config_from_mapping({"lr": 1, "optimizer_type": "sgd"})[0].optimizer, network)
    scheduler = build_scheduler(settings, optimizer, 10)
    optimizer.step()
    rates = []
    for score in (0.5, 0.505, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5):
        scheduler.step(score)
        rates.append(optimizer.param_groups[0]["lr"])
    # 0.505 is within the threshold: the second bad epoch reduces; two epochs of cooldown, two of patience, min_lr
    assert rates == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3, 0.3]


def test_no_scheduler():
    assert build_scheduler(SchedulerConfig(scheduler_type="none"), torch.optim.Adam([torch.zeros(1)]), 3) is None


def test_the_optimizer_of_a_cpu_is_fused_unless_the_settings_say_otherwise():
    network = torch.nn.Linear(3, 2)
    assert build_optimizer(OptimizerConfig(), network).defaults["fused"]
    assert not build_optimizer(OptimizerConfig(implementation="foreach"), network).defaults["fused"]


def test_optimizer_implementations_agree():
    updated = []
    for how in ("for_loop", "foreach", "fused"):
        torch.manual_seed(0)
        network = torch.nn.Linear(3, 2)
        optimizer = build_optimizer(OptimizerConfig(lr=0.1, implementation=how), network)
        for _ in range(3):
            network(torch.ones(4, 3)).square().sum().backward()
            optimizer.step()
        updated.append(network.weight.detach())
    assert torch.allclose(updated[0], updated[1], atol=1e-6)
    assert torch.allclose(updated[0], updated[2], atol=1e-6)


def test_activation_checkpointing_of_a_network_that_cannot_is_refused():
    settings = {"sn.model_type": "monai.networks.nets.BasicUNet", "training.activation_checkpointing": True}
    settings |= {"sn.model_args": {"spatial_dims": 2, "in_channels": 3, "out_channels": 2}}
    config = resolve_config(config_from_mapping(settings)[0], data((32, 32)))
    with pytest.raises(UserError, match="activation_checkpointing is true, but monai"):
        build_network(config)


def test_the_encoder_may_have_a_learning_rate_of_its_own():
    network = EncoderUNet()
    encoder, whole = (sum(one.numel() for one in part.parameters()) for part in (network.encoder, network))
    settings = OptimizerConfig(lr=0.01, encoder_lr=0.001)
    groups = build_optimizer(settings, network).param_groups
    assert [group["lr"] for group in groups] == [0.01, 0.001]
    assert [sum(one.numel() for one in group["params"]) for group in groups] == [whole - encoder, encoder]
    assert len(build_optimizer(settings, network.decoder).param_groups) == 1
    assert len(build_optimizer(OptimizerConfig(), network).param_groups) == 1


def test_where_the_imagenet_weights_are_installed_they_are_taken(monkeypatch):
    config = config_from_mapping({"sn.model_type": "EncoderUNet"})[0]
    assert resolve_config(config, data((64, 64))).sn.encoder_weights == "imagenet"
    monkeypatch.setattr("flexdan.engine.setup.imagenet_file", lambda name: None)
    assert resolve_config(config, data((64, 64))).sn.encoder_weights == "none"
    config = config_from_mapping({"sn.model_type": "EncoderUNet", "sn.encoder_weights": "imagenet"})[0]
    assert resolve_config(config, data((64, 64))).sn.encoder_weights == "imagenet"
