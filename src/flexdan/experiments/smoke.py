"""Smoke scale: any training of an experiment in seconds on two cores, end to end; its figures mean little."""

import math

from flexdan.config import RunConfig, with_settings

SIZE = (32, 48)  # height and width in pixels, of about the shape of the log's 224x332
CHANNELS = 8  # the first layers have so many times fewer channels
EPOCHS = 10  # so many times fewer epochs
UPDATES = 3  # in each of them
IMAGES = {"train": 12, "val": 6}  # of a manifest that are used
LIMIT = 60_000_000  # parameters of SN and EN together, beyond which a training takes more than seconds


def smoke(config: RunConfig) -> RunConfig:
    """Return a small version of a training: small images, few channels, few and short epochs; the rest as it is.

    ZhengSN and ZhengEN have no setting of their width and keep it.
    """
    return with_settings(
        config,
        {
            "data.image_size": SIZE,
            "sn.first_layer_out_channels": max(config.sn.first_layer_out_channels // CHANNELS, 2),
            "en.first_layer_out_channels": max(config.en.first_layer_out_channels // CHANNELS, 2),
            "en.first_linear_layer_out_features": max(config.en.first_linear_layer_out_features // CHANNELS, 16),
            "adversarial.gan_start_epoch": math.ceil(config.adversarial.gan_start_epoch / EPOCHS),
            "training.num_epochs": math.ceil(config.training.num_epochs / EPOCHS),
            "training.updates_per_epoch": UPDATES,
            "training.tensorboard": False,
            "training.num_workers": 0,
        },
    )
