"""How many updates of the segmentation network (SN) a run has had, by its record."""

from pathlib import Path

from flexdan.config import UserError
from flexdan.report.run import Run, pick, read_run


def updates_done(run: Run) -> int | None:
    """Return the updates of the SN in all epochs so far; None where an old record does not tell."""
    counts = [row.get("sn_updates") for row in run.rows]
    return None if None in counts else int(sum(count or 0 for count in counts))


def updates_planned(run: Run) -> int | None:
    """Return the updates of the SN that the settings plan, as many in an epoch that is missing as in the last one."""
    done, last = updates_done(run), run.rows[-1].get("sn_updates") if run.rows else None
    return None if done is None or last is None else done + int(last) * max(run.num_epochs - len(run.rows), 0)


def ancestors(run: Run) -> list[Run | None]:
    """Return the trainings that the SN started from, the nearest first; None at the end if one has no record."""
    found: list[Run | None] = []
    seen = {run.folder.resolve()}
    while start := pick(run.start, "config", "init_sn"):
        folder = Path(start).parent if Path(start).suffix == ".ckpt" else Path(start)
        if folder.resolve() in seen:
            return [*found, None]
        seen.add(folder.resolve())
        try:
            run = read_run(folder)
        except UserError:
            return [*found, None]
        found.append(run)
    return found


def updates_before(run: Run) -> int | None:
    """Return the updates of the trainings that the SN started from; None where their records do not tell."""
    done = [updates_done(one) if one else None for one in ancestors(run)]
    return None if None in done else sum(count or 0 for count in done)


def match_updates(total: int, epochs: int) -> tuple[int, int]:
    """Return a number of epochs and of updates in each whose product is a total, or as near as can be.

    Among the numbers of epochs that divide the total, the nearest to the wanted one is taken, if it is at least half
    and at most twice as large: else the best epoch would be chosen from far fewer or far more. Where there is none, the
    number of epochs stays, with at least one update in each, and the total is missed by less than it.

    Args:
        total: updates in all, at least 1.
        epochs: wanted.
    """
    near = [one for one in range(max(1, -(-epochs // 2)), 2 * epochs + 1) if total % one == 0]
    if near:
        best = min(near, key=lambda one: (abs(one - epochs), one))
        return best, total // best
    return epochs, max(1, round(total / epochs))
