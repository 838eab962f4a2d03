"""Typed settings, free of torch: sections, names, reading and writing."""

from flexdan.config.adversarial import AdversarialConfig
from flexdan.config.data import IGNORE, AugmentationConfig, DataConfig
from flexdan.config.errors import UserError
from flexdan.config.networks import EvaluationNetworkConfig, SegmentationNetworkConfig
from flexdan.config.parse import (
    add_settings,
    config_from_mapping,
    given_settings,
    parse_command,
    read_settings_file,
    typed_settings,
)
from flexdan.config.postprocessing import (
    PostprocessingConfig,
    Tuning,
    read_postprocessing,
    usual_postprocessing,
    write_postprocessing,
)
from flexdan.config.recommended import (
    RECOMMENDED_PIXELS,
    recommended_settings,
    recommended_strategies,
    says_nothing_but_data,
)
from flexdan.config.run import (
    RunConfig,
    changed_settings,
    network_outputs,
    network_shape,
    setting_values,
    to_dict,
    to_yaml,
    with_settings,
)
from flexdan.config.strategies import STRONG_VIEWS, Strategy, averaging, has_en, term_of, unused_settings
from flexdan.config.training import METRICS, LossConfig, OptimizerConfig, SchedulerConfig, TrainingConfig
from flexdan.config.unannotated import UnannotatedConfig
from flexdan.config.views import Views, views_text

__all__ = [
    "IGNORE",
    "METRICS",
    "RECOMMENDED_PIXELS",
    "STRONG_VIEWS",
    "AdversarialConfig",
    "AugmentationConfig",
    "DataConfig",
    "EvaluationNetworkConfig",
    "LossConfig",
    "OptimizerConfig",
    "PostprocessingConfig",
    "RunConfig",
    "SchedulerConfig",
    "SegmentationNetworkConfig",
    "Strategy",
    "TrainingConfig",
    "Tuning",
    "UnannotatedConfig",
    "UserError",
    "Views",
    "add_settings",
    "averaging",
    "changed_settings",
    "config_from_mapping",
    "given_settings",
    "has_en",
    "network_outputs",
    "network_shape",
    "parse_command",
    "read_postprocessing",
    "read_settings_file",
    "recommended_settings",
    "recommended_strategies",
    "says_nothing_but_data",
    "setting_values",
    "term_of",
    "to_dict",
    "to_yaml",
    "typed_settings",
    "unused_settings",
    "usual_postprocessing",
    "views_text",
    "with_settings",
    "write_postprocessing",
]
