"""Optimisers and their schedules."""

import math
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from flexdan.config import METRICS, OptimizerConfig, SchedulerConfig
from flexdan.models import EncoderUNet

Scheduler = LambdaLR | ReduceLROnPlateau


def build_optimizer(settings: OptimizerConfig, network: nn.Module, lr: float | None = None) -> torch.optim.Optimizer:
    """Return the optimiser of a network; `lr` goes before the learning rate of the settings.

    The encoder of an `EncoderUNet` is a second group, where it has a learning rate of its own.
    """
    momentum, how = settings.momentum, settings.implementation
    weights: list[Any] = list(network.parameters())
    if how == "auto" and weights[0].device.type == "cpu":
        how = "fused"
    if settings.encoder_lr is not None and isinstance(network, EncoderUNet):
        encoder = list(network.encoder.parameters())
        inside = set(map(id, encoder))
        rest = [weight for weight in weights if id(weight) not in inside]
        weights = [{"params": rest}, {"params": encoder, "lr": settings.encoder_lr}]
    implementation = {} if how == "auto" else {"foreach": how == "foreach", "fused": how == "fused"}
    optimizers = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "sgd": partial(torch.optim.SGD, momentum=momentum, nesterov=momentum > 0),
    }
    return optimizers[settings.optimizer_type](
        weights, lr=lr or settings.lr, weight_decay=settings.weight_decay, **implementation
    )


def build_scheduler(settings: SchedulerConfig, optimizer: torch.optim.Optimizer, num_updates: int) -> Scheduler | None:
    """Return the scheduler; OneCycle and Cosine are stepped after each update, ReduceLROnPlateau after each epoch."""
    plateau = partial(
        ReduceLROnPlateau,
        mode=METRICS[settings.plateau_metric],  # type: ignore[arg-type]
        factor=settings.factor,
        patience=settings.patience,
        threshold=settings.threshold,
        threshold_mode=settings.threshold_mode,
        cooldown=settings.cooldown,
        min_lr=settings.min_lr,
        eps=settings.eps,
    )
    schedulers = {
        "OneCycle": lambda: LambdaLR(optimizer, lambda done: one_cycle(done, num_updates, settings.pct_start)),
        "Cosine": lambda: LambdaLR(optimizer, lambda done: cosine(done, num_updates, settings.warmup)),
        "ReduceLROnPlateau": lambda: plateau(optimizer),
        "none": lambda: None,
    }
    return schedulers[settings.scheduler_type]()


def one_cycle(done: int, total: int, rise: float, start: float = 1 / 25, end: float = 1e-4) -> float:
    """Return the factor of the learning rate for the next update: half a cosine up, half a cosine down.

    Smith and Topin 2018, "Super-convergence", with cosines for straight lines and without the cycle of the momentum. A
    function of its own, since `OneCycleLR` of torch divides by zero where few updates are planned.

    Args:
        done: updates so far, 0..total.
        total: updates of the whole training.
        rise: share of the updates in which the factor rises, 0..1.
        start: factor of the first update.
        end: factor after the last one.
    """
    peak = rise * total
    if done < peak:
        low, share = start, done / peak
    else:
        low, share = end, (total - done) / max(total - peak, 1)
    return low + (1 - low) * (1 - math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2


def cosine(done: int, total: int, warmup: float) -> float:
    """Return the factor of the learning rate for the next update: a straight line up to 1, half a cosine down to 0.

    Loshchilov and Hutter 2017, "SGDR", equation 5 without restarts; after the gradual warm-up of Goyal et al. 2017,
    "Accurate, large minibatch SGD", section 2.2.

    Args:
        done: updates so far, 0..total.
        total: updates of the whole training.
        warmup: share of the updates in which the factor rises, 0..1.
    """
    peak = warmup * total
    if done < peak:
        return (done + 1) / (peak + 1)
    return (1 + math.cos(math.pi * min((done - peak) / (total - peak), 1.0))) / 2
