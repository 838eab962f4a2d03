"""Attempts at the trials of a sweep, as the storage has them: one each, unless workers died or gave a trial back."""

from collections.abc import Iterable, Sequence
from typing import Literal

from optuna.trial import FrozenTrial, TrialState

Outcome = Literal["complete", "pruned", "infeasible", "out of memory", "failed", "given back", "duplicate"]
STATES = {  # of Optuna; pruned ones are those from which the sampler of bayes learns what to avoid
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "infeasible": TrialState.PRUNED,
    "out of memory": TrialState.PRUNED,
}
AGAIN = ("lost", "given back")  # outcomes after which another attempt is made
MAX_LOST = 3  # workers that may die in one trial


def number_of(attempt: FrozenTrial) -> int:
    """Return the number of the trial that an attempt belongs to."""
    return attempt.user_attrs.get("slot", attempt.number)


def outcome(attempt: FrozenTrial) -> str:
    """Return what came out of an attempt: an `Outcome`, or waiting, running or lost."""
    if attempt.state in (TrialState.WAITING, TrialState.RUNNING):
        return attempt.state.name.lower()
    if attempt.state is TrialState.COMPLETE:
        return "complete"
    return attempt.user_attrs.get("result", {}).get("outcome", "lost")


def history(attempt: FrozenTrial) -> list[int]:
    """Return the numbers of the attempts before, as Optuna's own retries have them."""
    return attempt.system_attrs.get("retry_history", [])


def by_trial(found: Iterable[FrozenTrial]) -> dict[int, list[FrozenTrial]]:
    """Return the attempts at each trial by its number, oldest first.

    Two workers may have put an attempt in the same place, after the same one before. Only the first of them counts;
    both workers, and everyone later, see the same one first, since the storage numbers all in one order.

    Args:
        found: all attempts, in the order of their numbers.
    """
    trials: dict[int, list[FrozenTrial]] = {}
    places = set()
    for one in found:
        place = (number_of(one), tuple(history(one)))
        if place not in places:
            places.add(place)
            trials.setdefault(number_of(one), []).append(one)
    return trials


def lost_in_a_row(attempts: Sequence[FrozenTrial]) -> int:
    """Return how many workers have died in a trial, since someone asked to try it again."""
    count = 0
    for one in attempts:
        count = (0 if one.user_attrs.get("fresh") else count) + (outcome(one) == "lost")
    return count


def given_up(attempts: Sequence[FrozenTrial]) -> bool:
    """Tell whether a trial has failed for good: by an error, by its memory, or since too many workers died in it."""
    last = outcome(attempts[-1])
    return last in ("failed", "out of memory") or (last == "lost" and lost_in_a_row(attempts) >= MAX_LOST)


def is_open(attempts: Sequence[FrozenTrial]) -> bool:
    """Tell whether there is still something to do for a trial."""
    return outcome(attempts[-1]) in ("waiting", "running", *AGAIN) and not given_up(attempts)
