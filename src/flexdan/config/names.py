"""Names of settings: ours, and those of the experiments log, which are accepted wherever a setting is written."""

import dataclasses
import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from flexdan.config.errors import UserError
from flexdan.config.run import RunConfig

LOG_NAMES = {  # name in the experiments log -> our name
    "lr": "optimizer.lr",
    "sn_lr": "optimizer.lr",
    "en_lr": "adversarial.en_lr",
    "optimizer_type": "optimizer.optimizer_type",
    "weight_decay": "optimizer.weight_decay",
    "num_epochs": "training.num_epochs",
    "batch_size": "training.batch_size",
    "num_workers": "training.num_workers",
    "pin_memory": "training.pin_memory",
    "criterion_type": "loss.criterion",
    "sn_criterion": "loss.criterion",
    "sn_criterion_type": "loss.criterion",
    "en_criterion": "adversarial.en_criterion",
    "en_criterion_type": "adversarial.en_criterion",
    "scheduler_type": "scheduler.scheduler_type",
    "scheduler_factor": "scheduler.factor",
    "scheduler_patience": "scheduler.patience",
    "scheduler_mode": "scheduler.mode",
    "scheduler_plateau_metric": "scheduler.plateau_metric",
    "scheduler_min_lr": "scheduler.min_lr",
    "use_gan": "strategy",
    "sigma": "adversarial.sigma",
    "sigma_weight": "adversarial.sigma_weight",
    "gan_start_epoch": "adversarial.gan_start_epoch",
    "sn_model_type": "sn.model_type",
    "sn_input_channels": "sn.input_channels",
    "sn_output_channels": "sn.output_channels",
    "sn_input_block_depth": "sn.input_block_depth",
    "sn_num_fcn_blocks": "sn.num_fcn_blocks",
    "sn_block_depth": "sn.block_depth",
    "sn_first_layer_out_channels": "sn.first_layer_out_channels",
    "sn_block_pattern": "sn.block_pattern",
    "sn_upsampling_pattern": "sn.upsampling_pattern",
    "en_model_type": "en.model_type",
    "en_input_channels": "en.input_channels",
    "en_input_block_depth": "en.input_block_depth",
    "en_num_fcn_blocks": "en.num_fcn_blocks",
    "en_depth_fcn_block": "en.depth_fcn_block",
    "en_first_layer_out_channels": "en.first_layer_out_channels",
    "en_fcn_block_pattern": "en.fcn_block_pattern",
    "en_depth_linear_block": "en.depth_linear_block",
    "en_linear_block_pattern": "en.linear_block_pattern",
    "en_first_linear_layer_out_features": "en.first_linear_layer_out_features",
    "en_out_features": "en.out_features",
}

IGNORED = {  # names of the log without an effect today -> why
    "scheduler_verbose": "PyTorch's schedulers print nothing any more; every epoch's learning rate is in the record",
}

LOG_VALUES = {  # our name -> value in the log (lower case) -> our value
    "strategy": {"true": "dan", "false": "supervised"},
    "loss.criterion": {"crossentropyloss": "cross_entropy"},
    "adversarial.en_criterion": {"bceloss": "binary_cross_entropy"},
}

MAY_BE_NULL = {"adversarial.en_lr", "optimizer.encoder_lr"}


def setting_names(section: type = RunConfig, prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of every setting, such as ``sn.num_fcn_blocks``."""
    for field in dataclasses.fields(section):
        if dataclasses.is_dataclass(field.type):
            yield from setting_names(field.type, f"{prefix}{field.name}.")  # type: ignore[arg-type]
        else:
            yield prefix + field.name


def is_flag(name: str) -> bool:
    """Tell whether a setting, under any accepted name, is true or false, so that an option without a value is true."""
    section, _, leaf = LOG_NAMES.get(name, name).rpartition(".")
    fields = {field.name: field for field in dataclasses.fields(RunConfig)}
    within = dataclasses.fields(fields[section].type) if section in fields else ()  # type: ignore[arg-type]
    return name == "use_gan" or any(field.name == leaf and field.type is bool for field in within)


def translate(settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Turn settings under any accepted name into settings under our names.

    Args:
        settings: as written by a user: our names, nested or dotted, and names of the log, values as in the log.

    Returns:
        The settings by dotted name, and one note for each name that is ignored.

    Raises:
        UserError: for a name that is not known, or two names of one setting with different values.
    """
    names = set(setting_names())
    translated: dict[str, Any] = {}
    written: dict[str, str] = {}
    notes: list[str] = []
    for name, value in _flatten(settings, names):
        if name in IGNORED:
            notes.append(f"{name} is accepted but has no effect: {IGNORED[name]}")
            continue
        ours = LOG_NAMES.get(name, name)
        if ours not in names and not ours.startswith("sn.model_args."):
            raise UserError(unknown_name(name, names))
        if value is None and ours not in MAY_BE_NULL:
            raise UserError(f"{name} has no value: give one, or leave the name out for the default")
        value = LOG_VALUES.get(ours, {}).get(str(value).lower(), value)
        if ours in translated and translated[ours] != value:
            raise UserError(
                f"{written[ours]} and {name} are the same setting, {ours}, but have different values, "
                f"{translated[ours]!r} and {value!r}: keep one"
            )
        translated[ours], written[ours] = value, name
    return translated, notes


def unknown_name(name: str, known: set[str], what: str = "setting") -> str:
    """Return the message for a name that is not known, with the nearest known ones."""
    candidates = sorted(known | set(LOG_NAMES) | set(IGNORED))
    by_leaf = [full for full in candidates if re.split(r"[.]", full)[-1] == re.split(r"[.]", name)[-1]]
    near = list(dict.fromkeys(by_leaf + difflib.get_close_matches(name, candidates, n=3, cutoff=0.6)))[:4]
    hint = f"did you mean {' or '.join(near)}?" if near else "`flexdan config show` lists every setting"
    return f"unknown {what} {name!r}: {hint}"


def _flatten(settings: Mapping[str, Any], names: set[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    sections = {name.rsplit(".", 1)[0] for name in names if "." in name}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if name in sections and value is None:
            continue  # a section heading with nothing under it
        if name in sections and not isinstance(value, Mapping):
            raise UserError(
                f"{name} is {value!r}: it is a section and takes settings, such as {min(_below(name, names))}"
            )
        if name in sections:
            yield from _flatten(value, names, f"{name}.")
        else:
            yield name, value


def _below(section: str, names: set[str]) -> list[str]:
    return [name for name in names if name.startswith(f"{section}.")]
