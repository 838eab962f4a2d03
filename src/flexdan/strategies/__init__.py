"""Training strategies: one step each, as a plain exchange."""

from flexdan.strategies.build import STRATEGIES, build_step, en_takes_part, make_batch, sigma_at
from flexdan.strategies.dan import DanOptions, dan_step
from flexdan.strategies.en_input import en_input_channels
from flexdan.strategies.health import Health, gradient_ratio, judge_health
from flexdan.strategies.step import Batch, Means, NonFiniteLossError, Player, Players
from flexdan.strategies.supervised import supervised_step

__all__ = [
    "STRATEGIES",
    "Batch",
    "DanOptions",
    "Health",
    "Means",
    "NonFiniteLossError",
    "Player",
    "Players",
    "build_step",
    "dan_step",
    "en_input_channels",
    "en_takes_part",
    "gradient_ratio",
    "judge_health",
    "make_batch",
    "sigma_at",
    "supervised_step",
]
