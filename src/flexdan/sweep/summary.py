"""What is known of a sweep: its trials over all attempts, the best of them, and what is still to do."""

import statistics
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial

from flexdan.config.trials import FINISHED, SweepSummary, Trial
from flexdan.experiments import Range
from flexdan.sweep.attempts import given_up, lost_in_a_row, outcome
from flexdan.sweep.study import SweepStudy
from flexdan.sweep.worker import trial_folder


def summarize_sweep(study: SweepStudy) -> SweepSummary:
    """Return what is known of a sweep."""
    sweep = study.sweep
    attempts = study.attempts()
    trials = tuple(_trial(study, number, those) for number, those in sorted(attempts.items()))
    return SweepSummary(
        name=study.name,
        method=sweep.method,
        metric=sweep.metric,
        goal=sweep.goal,
        parameters={name: space.text for name, space in sweep.parameters.items()},
        trials=trials,
        continuous=frozenset(
            name for name, space in sweep.parameters.items() if isinstance(space, Range) and not space.stepped
        ),
        log=frozenset(name for name, space in sweep.parameters.items() if isinstance(space, Range) and space.log),
        memory=_memory(attempts),
        fixed=sweep.settings,
    )


def _memory(attempts: Mapping[int, Sequence[FrozenTrial]]) -> int | None:
    """Return the memory that trials were planned for, the least where machines differ."""
    attrs = [one.user_attrs for those in attempts.values() for one in those]
    found = [told[key]["memory"] for told in attrs for key in ("plan", "result") if "memory" in told.get(key, {})]
    return min(found, default=None)


def _trial(study: SweepStudy, number: int, attempts: Sequence[FrozenTrial]) -> Trial:
    last = attempts[-1]
    begun = [one for one in attempts if one.datetime_start is not None and outcome(one) != "infeasible"]
    latest = begun[-1] if begun else last
    result: Mapping[str, Any] = last.user_attrs.get("result", {})
    plan: Mapping[str, Any] = last.user_attrs.get("plan", {})
    curve = {epoch: value for epoch, value in sorted(latest.intermediate_values.items())}
    epoch = result.get("epoch", _best_epoch(curve, study.sweep.goal))
    return Trial(
        number=number,
        state=_state(attempts),
        params=study.params(last),
        value=result.get("value", curve.get(epoch) if epoch is not None else None),
        epoch=epoch,
        metrics=result.get("metrics", {}),
        curve=curve,
        seconds=result.get("seconds", _seconds(latest) if begun else None),
        worker=latest.user_attrs.get("worker", {}).get("name", ""),
        attempts=len(begun),
        predicted_peak=result.get("predicted_peak", plan.get("peak")),
        measured_peak=result.get("measured_peak"),
        weights=result.get("weights", plan.get("weights")),
        error=_error(attempts, result),
        traceback=result.get("traceback", ""),
        folder=trial_folder(number) if begun else "",
    )


def _state(attempts: Sequence[FrozenTrial]) -> Any:
    found = outcome(attempts[-1])
    if found in (*FINISHED, "running", "waiting"):
        return found
    return "failed" if given_up(attempts) else "waiting"


def _error(attempts: Sequence[FrozenTrial], result: Mapping[str, Any]) -> str:
    if outcome(attempts[-1]) == "lost" and given_up(attempts):
        count = lost_in_a_row(attempts)
        return f"{count} workers have died in it; the system kills a process that uses too much memory"
    return result.get("error", "")


def _best_epoch(curve: Mapping[int, float], goal: str) -> int | None:
    sign = 1 if goal == "max" else -1
    return max(curve, key=lambda epoch: sign * curve[epoch], default=None)


def _seconds(attempt: FrozenTrial) -> float | None:
    if attempt.datetime_start is None:
        return None
    end = attempt.datetime_complete or datetime.now()  # both are times of the worker's place
    return max((end - attempt.datetime_start).total_seconds(), 0.0)


def count_states(trials: Sequence[Trial]) -> dict[str, int]:
    """Return how many trials are in each state that some are in, those first that are still to do."""
    order = ("waiting", "running", *FINISHED)
    counts = {state: sum(one.state == state for one in trials) for state in order}
    return {state: count for state, count in counts.items() if count}


def seconds_left(trials: Sequence[Trial]) -> float | None:
    """Return about how long the trials that are left take with so many at once as run now; None if that is not known.

    It is the mean over finished trials; what runs counts as half done.
    """
    done = [one.seconds for one in trials if one.state in ("complete", "pruned") and one.seconds]
    counts = count_states(trials)
    running, waiting = counts.get("running", 0), counts.get("waiting", 0)
    if not done or not running:
        return None
    return statistics.mean(done) * (waiting + running / 2) / running
