"""What is known of a sweep: its trials over all attempts, the best of them, and what is still to do."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from flexdan.config.trials import FINISHED, SweepSummary, Trial
from flexdan.sweep.study import SweepStudy, given_up, outcome
from flexdan.sweep.worker import trial_folder


def summarize_sweep(study: SweepStudy) -> SweepSummary:
    """Return what is known of a sweep."""
    sweep = study.sweep
    trials = tuple(_trial(study, number, attempts) for number, attempts in sorted(study.attempts().items()))
    return SweepSummary(
        name=study.name,
        method=sweep.method,
        metric=sweep.metric,
        goal=sweep.goal,
        parameters={name: space.text for name, space in sweep.parameters.items()},
        trials=trials,
        memory=next((plan["memory"] for one in study.frozen() if (plan := one.user_attrs.get("plan"))), None),
        fixed=sweep.settings,
    )


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
        parameters=result.get("parameters", plan.get("parameters")),
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
        lost = sum(outcome(one) == "lost" for one in attempts)
        return f"{lost} workers have died in it; a worker that uses too much memory is killed by the system"
    return result.get("error", "")


def _best_epoch(curve: Mapping[int, float], goal: str) -> int | None:
    sign = 1 if goal == "max" else -1
    return max(curve, key=lambda epoch: sign * curve[epoch], default=None)


def _seconds(attempt: FrozenTrial) -> float | None:
    duration = attempt.duration
    return duration.total_seconds() if duration else None


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
