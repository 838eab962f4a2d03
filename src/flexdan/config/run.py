"""The configuration of one run: every section in one frozen object."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from typing import Any

import yaml

from flexdan.config.adversarial import AdversarialConfig
from flexdan.config.data import AugmentationConfig, DataConfig
from flexdan.config.errors import UserError
from flexdan.config.networks import EvaluationNetworkConfig, SegmentationNetworkConfig
from flexdan.config.strategies import (
    Averaging,
    Strategy,
    averaging,
    has_en,
    needs_average,
    num_generations,
    term_of,
)
from flexdan.config.training import UNVALIDATED, LossConfig, OptimizerConfig, SchedulerConfig, TrainingConfig
from flexdan.config.unannotated import UnannotatedConfig


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Settings of the run, and of its parts below.

    Args:
        strategy: how the networks learn; supervised: the segmentation network alone, from annotated images; dan:
            against an evaluation network, with unannotated images too (deep adversarial network, Zhang et al. 2017);
            mean_teacher, fixmatch, unimatch, cross_pseudo_supervision, entropy_minimisation and self_training: from
            unannotated images, as docs/strategies.md says of each; dan+mean_teacher and alike: both at once;
            batch_norm_only: a control, whose unannotated images reach nothing but the statistics of batch norm.
        seed: seed of the weights, the order of the images and the augmentation.
        init_sn: run folder or checkpoint whose segmentation network is the starting point; empty: random weights.
        init_en: the same for the evaluation network.
        data: images.
        augmentation: random changes of the training images.
        sn: segmentation network (SN).
        en: evaluation network (EN) of adversarial strategies.
        adversarial: the EN's part in the objective.
        unannotated: what other strategies make of unannotated images.
        loss: loss of the SN.
        optimizer: optimiser.
        scheduler: learning rate over time.
        training: training loop.
    """

    strategy: Strategy = "supervised"
    seed: int = 0
    init_sn: str = ""
    init_en: str = ""
    data: DataConfig = field(default_factory=DataConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    sn: SegmentationNetworkConfig = field(default_factory=SegmentationNetworkConfig)
    en: EvaluationNetworkConfig = field(default_factory=EvaluationNetworkConfig)
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    unannotated: UnannotatedConfig = field(default_factory=UnannotatedConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self):
        if self.seed < 0:
            raise UserError(f"seed is {self.seed}: it must be 0 or more")
        if not self.data.validates:
            self._check_unvalidated()
        weights, classes, contours = len(self.loss.class_weights), self.sn.output_channels, self.sn.contour_width > 0
        if weights and classes != "auto" and weights != classes + contours:
            raise UserError(
                f"loss.class_weights has {weights} weights, but there are {classes + contours} classes, background"
                f"{' and contours' * contours} included: give one for each"
            )
        if has_en(self.strategy):
            self._check_adversarial()
        self._check_teacher()
        if self.generations > 1:
            self._check_generations()

    @property
    def generations(self) -> int:
        """Trainings from the initial weights that follow each other; 1 but for self_training."""
        return num_generations(self.strategy, self.unannotated.generations)

    def generation_at(self, epoch: int) -> int:
        """Return the generation that an epoch, 1 for the first one, belongs to: 0 for the first one."""
        return (epoch - 1) * self.generations // self.training.num_epochs

    @property
    def weight_averaging(self) -> Averaging:
        """The average of the SN's weights that is kept; what is auto depends on the strategy."""
        return averaging(self.strategy, self.unannotated.labels_from, self.training.weight_averaging)

    def _check_teacher(self):
        if needs_average(self.strategy, self.unannotated.labels_from) and self.weight_averaging != "ema":
            other = "" if term_of(self.strategy) == "mean_teacher" else ", or unannotated.labels_from student"
            raise UserError(
                f"strategy is {self.strategy}, whose labels come from an average of the weights, but "
                f"training.weight_averaging is {self.weight_averaging}: say auto or ema{other}"
            )
        if term_of(self.strategy) == "mean_teacher" and self.unannotated.labels_from == "student":
            raise UserError(
                f"unannotated.labels_from is student, but strategy is {self.strategy}, where the average teaches: say "
                "average, or take the strategy fixmatch"
            )

    def _check_generations(self):
        if self.training.num_epochs % self.generations:
            raise UserError(
                f"training.num_epochs is {self.training.num_epochs}, which {self.generations} generations of equal "
                f"length cannot share: say {-(-self.training.num_epochs // self.generations) * self.generations}, or "
                "another number with unannotated.generations"
            )
        if self.training.early_stopping_patience:
            raise UserError(
                f"training.early_stopping_patience is {self.training.early_stopping_patience}, but strategy is "
                f"{self.strategy}, where every generation begins anew and is worse than the one before at first: say 0"
            )
        first = self.training.num_epochs // self.generations
        if has_en(self.strategy) and self.adversarial.gan_start_epoch > first:
            raise UserError(
                f"adversarial.gan_start_epoch is {self.adversarial.gan_start_epoch}, but strategy is {self.strategy}, "
                f"whose first generation has {first} epochs: an EN must choose its labels; say {first} at most"
            )

    def _check_unvalidated(self):
        named = {"training.best_metric": self.training.best_metric}
        if self.scheduler.scheduler_type == "ReduceLROnPlateau":
            named["scheduler.plateau_metric"] = self.scheduler.plateau_metric
        for name, metric in named.items():
            if metric not in UNVALIDATED:
                raise UserError(
                    f"data.val_split is none, so that nothing is validated, but {name} is {metric}: say "
                    f"{'epoch, for the last one' if name == 'training.best_metric' else 'train_loss'}, or name a split"
                )

    def _check_adversarial(self):
        if self.strategy != "dan":
            self._check_combination()
        if self.adversarial.freeze == "en" and not self.init_en:
            raise UserError("adversarial.freeze is en, but a fresh EN knows nothing: say whose with init_en")
        if self.adversarial.gan_start_epoch > self.training.num_epochs:
            raise UserError(
                f"adversarial.gan_start_epoch is {self.adversarial.gan_start_epoch}, but training.num_epochs is "
                f"{self.training.num_epochs}: the EN would never take part; train longer, or say strategy supervised"
            )
        if self.adversarial.freeze == "sn" and self.adversarial.gan_start_epoch > 1:
            raise UserError(
                f"adversarial.freeze is sn, but adversarial.gan_start_epoch is {self.adversarial.gan_start_epoch}: "
                "before that only the SN trains; say 1"
            )
        self._check_en_batch()

    def _check_combination(self):
        if self.adversarial.freeze == "sn":
            raise UserError(
                f"adversarial.freeze is sn, but strategy is {self.strategy}, in which the SN learns: say none, or take "
                "the strategy dan"
            )
        if self.adversarial.unannotated_source == "half_batch":
            raise UserError(
                f"adversarial.unannotated_source is half_batch, but strategy is {self.strategy}, which needs "
                "unannotated images: say split"
            )
        if self.strategy == "dan+self_training" and self.data.crop:
            raise UserError(
                f"data.crop is true, but strategy is {self.strategy}, whose EN judges the labels of images as a whole: "
                "say false, or take the strategy self_training"
            )

    def _check_en_batch(self):
        half_batch = self.adversarial.unannotated_source == "half_batch"
        own, other = self.training.batch_size, self.training.unannotated_batch_size
        mixed = own if half_batch else own + (own if other == "auto" else other)
        if mixed < 3 and self.en.model_type != "PatchEN":
            raise UserError(
                f"training.batch_size is {own}, and with adversarial.unannotated_source "
                f"{self.adversarial.unannotated_source} the EN would see {mixed} images at once, of which batch norm "
                "makes plus and minus one whatever they are: it needs 3 at least"
            )


def to_dict(config: RunConfig) -> dict[str, Any]:
    """Return the settings as nested plain dicts, lists and scalars (what YAML, JSON and a checkpoint can hold)."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list | tuple) else value

    return plain(asdict(config))


def to_yaml(config: RunConfig) -> str:
    """Return the full settings as YAML that `flexdan train --config` reads back."""
    return yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True, width=120)


def setting_values(config: RunConfig) -> dict[str, Any]:
    """Return the settings as plain values by dotted name, such as ``sn.num_fcn_blocks``."""
    values: dict[str, Any] = {}
    for name, value in to_dict(config).items():
        values |= {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, dict) else {name: value}
    return values


def changed_settings(config: RunConfig) -> dict[str, Any]:
    """Return the settings that are not as by default, as plain values by dotted name."""
    usual = setting_values(RunConfig())
    return {name: value for name, value in setting_values(config).items() if value != usual[name]}


def with_settings(config: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    """Return a configuration with some settings changed.

    Args:
        config: stays as it is.
        changes: values by dotted name, such as ``sn.num_fcn_blocks``.

    Raises:
        UserError: for a value that is not allowed.
    """
    sections: dict[str, Any] = {}
    for name, value in changes.items():
        section, _, leaf = name.rpartition(".")
        if section:
            sections.setdefault(section, {})[leaf] = value
        else:
            sections[leaf] = value
    for name, value in sections.items():
        part = getattr(config, name)
        sections[name] = replace(part, **value) if is_dataclass(part) and not isinstance(part, type) else value
    return replace(config, **sections)


def network_shape(config: RunConfig) -> tuple[int, int, tuple[int, int]]:
    """Return channels, classes and image size (height, width) of a resolved configuration: none is `auto`."""
    channels, classes, size = config.sn.input_channels, config.sn.output_channels, config.data.image_size
    assert channels != "auto", "a resolved configuration names its channels"
    assert classes != "auto", "a resolved configuration names its classes"
    assert size != "auto", "a resolved configuration names its image size"
    return channels, classes, size


def network_outputs(config: RunConfig) -> int:
    """Return the channels of the logits of a resolved configuration: one more than classes where contours are one."""
    return network_shape(config)[1] + (config.sn.contour_width > 0)
