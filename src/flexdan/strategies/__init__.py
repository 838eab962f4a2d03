"""Training strategies: one step each, as a plain exchange."""

from flexdan.strategies.average import average_share, update_average
from flexdan.strategies.batch_norm_only import batch_norm_only_step
from flexdan.strategies.build import (
    STRATEGIES,
    build_step,
    en_takes_part,
    make_batch,
    sigma_at,
    strong_views,
    takes_unannotated,
    weight_at,
)
from flexdan.strategies.cross_pseudo_supervision import cross_pseudo_supervision_step
from flexdan.strategies.cutmix import cutmix_masks, mix
from flexdan.strategies.dan import DanOptions, dan_step
from flexdan.strategies.en_confidence import EnConfidence
from flexdan.strategies.en_input import en_input_channels, en_inputs, pixel_shares
from flexdan.strategies.entropy_minimisation import entropy_minimisation
from flexdan.strategies.fixmatch import FixMatch
from flexdan.strategies.health import Health, gradient_ratio, judge_health
from flexdan.strategies.lesson import Lesson, Term, Weighted, label_logits
from flexdan.strategies.mean_teacher import MeanTeacher
from flexdan.strategies.self_training import SelfTraining
from flexdan.strategies.step import Batch, Means, Name, NonFiniteLossError, Player, Players
from flexdan.strategies.supervised import supervised_step
from flexdan.strategies.unimatch import UniMatch, drop_channels

__all__ = [
    "STRATEGIES",
    "Batch",
    "DanOptions",
    "EnConfidence",
    "FixMatch",
    "Health",
    "Lesson",
    "MeanTeacher",
    "Means",
    "Name",
    "NonFiniteLossError",
    "Player",
    "Players",
    "SelfTraining",
    "Term",
    "UniMatch",
    "Weighted",
    "average_share",
    "batch_norm_only_step",
    "build_step",
    "cross_pseudo_supervision_step",
    "cutmix_masks",
    "dan_step",
    "drop_channels",
    "en_input_channels",
    "en_inputs",
    "en_takes_part",
    "entropy_minimisation",
    "gradient_ratio",
    "judge_health",
    "label_logits",
    "make_batch",
    "mix",
    "pixel_shares",
    "sigma_at",
    "strong_views",
    "supervised_step",
    "takes_unannotated",
    "update_average",
    "weight_at",
]
