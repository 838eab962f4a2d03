"""Optuna's parts of a sweep: the values of a parameter, and what chooses and ends trials."""

import warnings
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from flexdan.config import RunConfig
from flexdan.experiments import Choice, Range, Sweep
from flexdan.sweep.space import encode


def distribution(space: Choice | Range) -> BaseDistribution:
    """Return the values of a parameter as Optuna has them."""
    if isinstance(space, Choice):
        return CategoricalDistribution([encode(value) for value in space.values])
    if space.integer:
        return IntDistribution(int(space.low), int(space.high), log=space.log, step=int(space.step or 1))
    return FloatDistribution(space.low, space.high, log=space.log, step=space.step)


def draw(trial: optuna.Trial, sweep: Sweep) -> None:
    """Give a trial a value of every parameter, but for those that it has already."""
    for name, space in sweep.parameters.items():
        match distribution(space):
            case CategoricalDistribution() as one:
                trial.suggest_categorical(name, one.choices)
            case IntDistribution() as one:
                trial.suggest_int(name, one.low, one.high, step=one.step, log=one.log)
            case FloatDistribution() as one:
                trial.suggest_float(name, one.low, one.high, step=one.step, log=one.log)


def build_sampler(sweep: Sweep, number: int) -> optuna.samplers.BaseSampler:
    """Return the sampler of one trial; its draws are the same whichever worker makes them."""
    seed = int(np.random.SeedSequence([sweep.seed, number]).generate_state(1)[0])
    if sweep.method != "bayes":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)  # workers do not all try the same


def build_pruner(sweep: Sweep) -> optuna.pruners.BasePruner:
    """Return the pruner of a sweep."""
    pruner = sweep.pruner
    if pruner is None:
        return optuna.pruners.NopPruner()
    if pruner.kind == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=pruner.startup_trials, n_warmup_steps=pruner.min_epochs)
    longest: Any = sweep.settings.get("training.num_epochs", RunConfig().training.num_epochs)
    return optuna.pruners.HyperbandPruner(
        min_resource=pruner.min_epochs,
        max_resource=max(pruner.max_epochs or longest, pruner.min_epochs),
        reduction_factor=pruner.eta,
    )
