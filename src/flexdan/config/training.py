"""Settings of the loss, the optimiser, the scheduler and the training loop."""

from dataclasses import dataclass
from typing import Literal

from flexdan.config.errors import UserError

METRICS = {  # every metric of an epoch that can be watched, and its better direction
    "train_loss": "min",
    "val_loss": "min",
    "val_acc": "max",
    "iou_score": "max",
    "dice": "max",
    "precision": "max",
    "recall": "max",
    "epoch": "max",
}
Metric = Literal["train_loss", "val_loss", "val_acc", "iou_score", "dice", "precision", "recall", "epoch"]
UNVALIDATED = ("train_loss", "epoch")  # metrics that need no validation images


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The loss of the segmentation network.

    Args:
        criterion: cross_entropy, dice (soft Dice, mean over the foreground classes), tversky (the same with a weight
            for each kind of error, Salehi et al. 2017), or sums: cross_entropy_dice, cross_entropy_tversky,
            cross_entropy_dice_boundary (with the boundary loss, Kervadec et al. 2019).
        class_weights: weight of each class in the cross-entropy, background first, such as [1, 3]; empty: all alike.
        tversky_alpha: tversky: weight of false positives; one half in both is Dice.
        tversky_beta: tversky: weight of false negatives; above tversky_alpha, more of the objects is found.
        boundary_weight: boundary: its weight in the sum; it counts the distance from the true boundary in pixels, and
            is below 0 for a good segmentation.
    """

    criterion: Literal[
        "cross_entropy",
        "dice",
        "tversky",
        "cross_entropy_dice",
        "cross_entropy_tversky",
        "cross_entropy_dice_boundary",
    ] = "cross_entropy"
    class_weights: tuple[float, ...] = ()
    tversky_alpha: float = 0.3
    tversky_beta: float = 0.7
    boundary_weight: float = 0.01

    def __post_init__(self):
        for name in ("tversky_alpha", "tversky_beta", "boundary_weight"):
            if getattr(self, name) < 0:
                raise UserError(f"loss.{name} is {getattr(self, name)}: it must be 0 or more")
        if any(not weight > 0 for weight in self.class_weights):
            raise UserError(f"loss.class_weights is {list(self.class_weights)}: each weight must be above 0")


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """The optimiser.

    Args:
        optimizer_type: adam, adamw (Adam with decoupled weight decay, Loshchilov and Hutter 2019) or sgd.
        implementation: how torch goes through the weights, with equal results but for rounding; for_loop: one after the
            other; foreach: many at once, which is fast on a GPU and needs memory for two copies of them; fused: in one
            kernel without copies; auto: foreach on a GPU, fused on the CPU.
        lr: learning rate.
        encoder_lr: learning rate of the encoder of an EncoderUNet; null: lr.
        weight_decay: L2 penalty on the weights; with adamw each update multiplies the weights by 1 - lr * this instead,
            for which 0.01 is usual.
        momentum: momentum of sgd (Nesterov where above 0); adam and adamw ignore it.
        max_grad_norm: gradients of a network with a larger Euclidean norm are scaled down to it before each update; 0
            is off.
    """

    optimizer_type: Literal["adam", "adamw", "sgd"] = "adam"
    implementation: Literal["auto", "for_loop", "foreach", "fused"] = "auto"
    lr: float = 0.002
    encoder_lr: float | None = None
    weight_decay: float = 0.000005
    momentum: float = 0.9
    max_grad_norm: float = 0.0

    def __post_init__(self):
        if not self.lr > 0:
            raise UserError(f"optimizer.lr is {self.lr}: it must be above 0")
        if self.encoder_lr is not None and self.encoder_lr <= 0:
            raise UserError(f"optimizer.encoder_lr is {self.encoder_lr}: it must be above 0, or null for lr")
        for name in ("weight_decay", "max_grad_norm"):
            if getattr(self, name) < 0:
                raise UserError(f"optimizer.{name} is {getattr(self, name)}: it must be 0 or more")
        if not 0 <= self.momentum < 1:
            raise UserError(f"optimizer.momentum is {self.momentum}: it must be at least 0 and below 1")


@dataclass(frozen=True, kw_only=True)
class SchedulerConfig:
    """The learning-rate scheduler.

    Args:
        scheduler_type: OneCycle (up and down once over the whole training, per update), Cosine (a linear warm-up, then
            down to 0 along half a cosine, per update), ReduceLROnPlateau (per epoch) or none.
        factor: ReduceLROnPlateau: multiplies the learning rate.
        patience: ReduceLROnPlateau: epochs without an improvement that are borne.
        mode: ReduceLROnPlateau: whether the metric is to fall (min) or rise (max); auto: by the metric.
        plateau_metric: ReduceLROnPlateau: the watched metric.
        min_lr: ReduceLROnPlateau: lowest learning rate.
        threshold: ReduceLROnPlateau: smallest change that counts as an improvement.
        threshold_mode: ReduceLROnPlateau: whether the threshold is relative or absolute.
        cooldown: ReduceLROnPlateau: epochs to wait after a reduction.
        eps: ReduceLROnPlateau: smallest change of the learning rate that is made.
        pct_start: OneCycle: share of the updates that raise the learning rate.
        warmup: Cosine: share of the updates that raise the learning rate.
    """

    scheduler_type: Literal["OneCycle", "Cosine", "ReduceLROnPlateau", "none"] = "OneCycle"
    factor: float = 0.75
    patience: int = 5
    mode: Literal["auto", "min", "max"] = "auto"
    plateau_metric: Metric = "val_loss"
    min_lr: float = 0.00001
    threshold: float = 0.0001
    threshold_mode: Literal["rel", "abs"] = "rel"
    cooldown: int = 0
    eps: float = 1e-8
    pct_start: float = 0.25
    warmup: float = 0.05

    def __post_init__(self):
        if not 0 < self.factor < 1:
            raise UserError(f"scheduler.factor is {self.factor}: it must be above 0 and below 1")
        if not 0 < self.pct_start < 1:
            raise UserError(f"scheduler.pct_start is {self.pct_start}: it must be above 0 and below 1")
        if not 0 <= self.warmup < 1:
            raise UserError(f"scheduler.warmup is {self.warmup}: it must be at least 0 and below 1")
        for name in ("patience", "cooldown", "min_lr", "threshold", "eps"):
            if getattr(self, name) < 0:
                raise UserError(f"scheduler.{name} is {getattr(self, name)}: it must be 0 or more")
        if self.mode not in ("auto", METRICS[self.plateau_metric]):
            raise UserError(
                f"scheduler.mode is {self.mode}, but {self.plateau_metric} is better when "
                f"{'lower' if METRICS[self.plateau_metric] == 'min' else 'higher'}: "
                f"say {METRICS[self.plateau_metric]} or auto"
            )


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The training loop.

    Args:
        num_epochs: number of epochs, see updates_per_epoch.
        updates_per_epoch: length of an epoch, in updates from annotated images; auto: one pass over the annotated
            images, or, where unannotated images are used too, over the larger of both sets, while the smaller one
            starts over.
        batch_size: annotated images per forward and backward pass.
        unannotated_batch_size: unannotated images per pass; auto: as many as annotated ones.
        gradient_accumulation_steps: passes per update of the weights.
        num_workers: processes that read the images that data.cache_gib leaves out; none is started where all fit.
        pin_memory: copy batches through page-locked memory (helps on a GPU).
        device: auto (a GPU where there is one) or cpu.
        precision: auto (bf16 where the processor or GPU has it, else fp32), bf16 or fp32.
        channels_last: keep activations in channels-last order.
        activation_checkpointing: keep only the input of each block and compute the rest anew in the backward pass: less
            memory, equal results, about a third more time; for the networks of FlexDAN.
        best_metric: the metric of an epoch that chooses best.ckpt, one of validation, or epoch: the last one is taken.
        weight_averaging: an average of the SN's weights and batch-norm statistics over the updates, which is what is
            validated, kept in best.ckpt and used; ema: exponential moving average; swa: the plain mean from swa_start
            on (Izmailov et al. 2018, of every update); none; auto: ema where it teaches (mean_teacher and others), else
            none.
        ema_decay: ema: the average keeps this share of itself at each update t = 0, 1, ..., at the start no more than
            1 - 1 / (t + 1) (Tarvainen and Valpola 2017).
        swa_start: swa: share of the updates after which the mean begins; before, it is the SN itself.
        early_stopping_patience: stop after so many epochs without a better best_metric; 0 is off.
        tensorboard: write TensorBoard events into the run folder.
        wandb: log the run to Weights & Biases too; needs `pip install 'flexdan[wandb]'`.
    """

    num_epochs: int = 30
    updates_per_epoch: int | Literal["auto"] = "auto"
    batch_size: int = 2
    unannotated_batch_size: int | Literal["auto"] = "auto"
    gradient_accumulation_steps: int = 1
    num_workers: int = 2
    pin_memory: bool = False
    device: Literal["auto", "cpu"] = "auto"
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    channels_last: bool = True
    activation_checkpointing: bool = False
    weight_averaging: Literal["auto", "none", "ema", "swa"] = "auto"
    ema_decay: float = 0.99
    swa_start: float = 0.75
    best_metric: Metric = "iou_score"
    early_stopping_patience: int = 0
    tensorboard: bool = True
    wandb: bool = False

    def __post_init__(self):
        for name in (
            *("num_epochs", "updates_per_epoch", "batch_size", "unannotated_batch_size"),
            "gradient_accumulation_steps",
        ):
            value = getattr(self, name)
            if value != "auto" and value < 1:
                raise UserError(f"training.{name} is {value}: it must be at least 1")
        for name in ("ema_decay", "swa_start"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"training.{name} is {getattr(self, name)}: it must be at least 0 and below 1")
        for name in ("num_workers", "early_stopping_patience"):
            if getattr(self, name) < 0:
                raise UserError(f"training.{name} is {getattr(self, name)}: it must be 0 or more")
