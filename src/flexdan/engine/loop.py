"""The training loop: the order of things, checkpoints and records."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from flexdan.config import METRICS, RunConfig, UserError, has_en
from flexdan.engine.checkpoint import save_checkpoint, seen_size
from flexdan.engine.epoch import reset_peak_memory, train_epoch, validate
from flexdan.engine.generations import enter_generation
from flexdan.engine.progress import TrainingProgress, epoch_lines
from flexdan.engine.record import append_event, end_event
from flexdan.engine.setup import TrainingData, TrainingParts, build_parts, gather_data, resolve_config
from flexdan.engine.start import describe_run, restore_run, start_run, training_state
from flexdan.engine.trackers import Trackers, check_trackers
from flexdan.losses import EN_LOSSES
from flexdan.strategies import NonFiniteLossError, en_takes_part, gradient_ratio, judge_health

Watch = Callable[[dict[str, Any]], str]


def train(
    config: RunConfig,
    folder: Path,
    *,
    resume: bool = False,
    quiet: bool = False,
    watch: Watch = lambda row: "",
    before_writing: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Train, and leave config.yaml, record.jsonl, best.ckpt, last.ckpt, log.txt and TensorBoard events in a folder.

    Args:
        config: the settings.
        folder: the run folder.
        resume: go on after the last finished epoch of the run in the folder, with equal results.
        quiet: print no lines, but for the bar; log.txt has them all the same.
        watch: gets the metrics of each epoch once they are recorded, and returns why training is to end there; empty to
            go on.
        before_writing: is called before anything is written or removed in the folder, and may raise to prevent that.

    Returns:
        The metrics of every epoch.

    Raises:
        UserError: if data or settings do not allow it.
    """
    check_trackers(config)
    reset_peak_memory()
    data = gather_data(config)
    config = resolve_config(config, data)
    main = PartialState(cpu=config.training.device == "cpu").is_main_process
    with TrainingProgress(shown=main, quiet=quiet) as progress:
        parts = build_parts(config, data, lambda items: progress.track(items, "decoding images"))
        before_writing()
        history = restore_run(parts, config, data, folder) if resume else start_run(parts, config, data, folder)
        if main:
            progress.log_to(folder / "log.txt")
            describe_run(progress, parts, config, data, folder, len(history))
        try:
            with Trackers(config, folder, len(history), enabled=main) as trackers:
                return _run_epochs(parts, config, data, folder, history, progress, trackers, watch, before_writing)
        except UserError as error:
            if "UserError: " not in str(error):
                raise
            raise UserError(  # of a loader's worker: torch wraps the message into a traceback
                str(error).strip().rsplit("UserError: ", 1)[-1]
            ) from error
        except NonFiniteLossError as error:
            en_lr = f" and adversarial.en_lr {config.adversarial.en_lr or 'the same'}" * has_en(config.strategy)
            raise UserError(
                f"{error} in epoch {len(history) + 1}: training stopped before the update; optimizer.lr is "
                f"{config.optimizer.lr}{en_lr}: start anew with a tenth of it, or with training.precision fp32"
                + (f"; --init-sn {folder} starts from the best weights so far" if history else "")
            ) from error
        except KeyboardInterrupt:
            progress.say(
                f"stopped in epoch {len(history) + 1}" + (f": flexdan train --resume {folder}" * bool(history))
            )
            raise
        finally:
            parts.accelerator.end_training()


def _run_epochs(
    parts: TrainingParts,
    config: RunConfig,
    data: TrainingData,
    folder: Path,
    history: list[dict[str, Any]],
    progress: TrainingProgress,
    trackers: Trackers,
    watch: Watch,
    before_writing: Callable[[], None],
) -> list[dict[str, Any]]:
    num_epochs, main = config.training.num_epochs, parts.accelerator.is_main_process
    batches = len(parts.train_loader) + len(parts.val_loader)
    done = len(history)
    progress.begin(num_epochs * batches, done * batches)
    reason = "finished"
    for epoch in range(done + 1, num_epochs + 1):
        if _stops_early(history, config):
            reason = (
                f"{config.training.best_metric} was not better for {config.training.early_stopping_patience} epochs"
            )
            break
        parts = enter_generation(parts, config, epoch, folder, progress, resumed=epoch == done + 1)
        progress.begin_epoch(epoch, num_epochs)
        row = train_epoch(parts, config, epoch, progress) | validate(parts, config, progress)
        if adversarial := en_takes_part(config, epoch):
            row |= _health(row, config)
        _plateau_step(parts, config, row, adversarial)
        history.append(row)
        best = best_epoch(history, config.training.best_metric) is row
        before_writing()
        if main:
            seen = seen_size(config, data.native_size)
            saved = {"config": config, "native_size": seen, "epoch": epoch, "history": history}
            if best:
                save_checkpoint(folder / "best.ckpt", {"sn": parts.players.evaluated}, **saved)
            save_checkpoint(folder / "last.ckpt", parts.players.networks(), **saved, training=training_state(parts))
            append_event(folder / "record.jsonl", {"event": "epoch", **row})
            trackers.write(row)
            for line in epoch_lines(row, num_epochs, best, EN_LOSSES[config.adversarial.en_criterion].undecided):
                progress.say(line)
        if told := watch(row):
            reason = told
            break
    if main:
        best_row = best_epoch(history, config.training.best_metric)
        append_event(folder / "record.jsonl", end_event(reason, best_row))
        metric = config.training.best_metric
        found = f"best {metric} {best_row[metric]:.4f} in epoch {best_row['epoch']}"
        if metric == "epoch":
            found = f"the weights are those of epoch {best_row['epoch']}"
        progress.say(f"{reason}: {found}; run folder {folder}")
    parts.accelerator.wait_for_everyone()  # a process that left early would break the connections of the others
    return history


def _health(row: dict[str, Any], config: RunConfig) -> dict[str, Any]:
    health = judge_health(row, config.adversarial.freeze, EN_LOSSES[config.adversarial.en_criterion].undecided)
    ratio = gradient_ratio(row)
    return {"en_health": health.state, "en_advice": health.advice} | ({} if ratio is None else {"grad_ratio": ratio})


def _plateau_step(parts: TrainingParts, config: RunConfig, row: dict[str, Any], adversarial: bool) -> None:
    for name, scheduler in parts.schedulers.items():
        plays = name != "en" or (adversarial and config.adversarial.freeze != "sn")  # else the metric tells it nothing
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau) and plays:
            scheduler.step(row[config.scheduler.plateau_metric])


def best_epoch(history: list[dict[str, Any]], metric: str) -> dict[str, Any]:
    """Return the row with the best value of a metric: finite before not, and the first of several equal ones."""
    sign = 1 if METRICS[metric] == "max" else -1

    def merit(row: dict[str, Any]) -> tuple[bool, float, int]:
        finite = math.isfinite(row[metric])
        return finite, sign * row[metric] if finite else 0.0, -row["epoch"]

    return max(history, key=merit)


def _stops_early(history: list[dict[str, Any]], config: RunConfig) -> bool:
    patience = config.training.early_stopping_patience
    still = has_en(config.strategy) and config.adversarial.freeze == "sn"  # then no metric ever gets better
    if not patience or not history or still:
        return False
    return history[-1]["epoch"] - best_epoch(history, config.training.best_metric)["epoch"] >= patience
