"""The table of an experiment: what came out of each training, read from its record."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flexdan.config.files import atomic_path
from flexdan.report.run import Row, read_run
from flexdan.report.table_formats import markdown
from flexdan.report.tables import Table, number

BASELINE = "supervised"  # the training with which others of the same seed are compared, where there is one


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came out of one training.

    Args:
        name: of the training.
        seed: of the training.
        status: trained, done before, failed, or left out.
        why: it failed or was left out.
        seconds: it took now.
        rows: metrics of every epoch; empty where there are none.
        best: the row of the best epoch.
        health: how often the EN was in which state.
        updates_before: updates of the SN that it started from.
    """

    name: str
    seed: int
    status: str
    why: str
    seconds: float
    rows: tuple[Row, ...]
    best: Row | None
    health: dict[str, int]
    updates_before: float = 0.0

    @classmethod
    def read(
        cls, name: str, seed: int, folder: Path, status: str, why: str, seconds: float, updates_before: float = 0.0
    ) -> "Outcome":
        """Read the record of a training, where there is one."""
        there = status in ("trained", "done before") and (folder / "record.jsonl").is_file()
        run = read_run(folder) if there else None
        return cls(
            name=name,
            seed=seed,
            status=status,
            why=why,
            seconds=seconds,
            updates_before=updates_before,
            rows=run.rows if run else (),
            best=run.best if run else None,
            health=dict(Counter(run.health.values()).most_common()) if run else {},
        )

    @property
    def text(self) -> str:
        """The outcome in one line."""
        if self.best is None:
            return f"{self.status}: {self.why}"
        health = f", EN {_health(self.health)}" if self.health else ""
        iou = f"validation IoU {number(self.best.get('iou_score'))}, Dice {number(self.best.get('dice'))}"
        return f"{self.status}: {iou} in epoch {self.best['epoch']:g}{health}, {self.seconds:.0f} s"

    @property
    def updates(self) -> float:
        """Updates of the SN in all, with those of the training that it started from."""
        return self.updates_before + sum(row.get("sn_updates") or 0 for row in self.rows)


def experiment_table(title: str, outcomes: Sequence[Outcome]) -> Table:
    """Return one row for each training; where there are several seeds, their means and standard deviations."""
    seeds = {outcome.seed for outcome in outcomes}
    names = list(dict.fromkeys(outcome.name for outcome in outcomes))
    baseline = {outcome.seed: outcome for outcome in outcomes if outcome.name == BASELINE and outcome.best}
    header = ["training", "seeds", "IoU, best epoch", "Dice, best epoch", "IoU, last epoch", "Dice, last epoch"]
    header += [f"IoU, last epoch, minus {BASELINE}"] * bool(baseline) + ["SN updates", "EN health by epoch", "note"]
    rows = []
    for name in names:
        cells = [outcome for outcome in outcomes if outcome.name == name]
        good = [outcome for outcome in cells if outcome.best is not None]
        picks = [[(one.best or {}).get(key) for one in good] for key in ("iou_score", "dice")]
        picks += [[one.rows[-1].get(key) for one in good] for key in ("iou_score", "dice")]
        gains = [_gain(one, baseline[one.seed]) for one in good if one.seed in baseline]
        health = sum((Counter(one.health) for one in good), Counter())
        notes = dict.fromkeys(f"{one.status}: {one.why}" for one in cells if one.why)
        rows.append(
            [
                name,
                f"{len(good)} of {len(cells)}",
                *(_spread(values) for values in picks),
                *([_spread(gains, signed=True)] if baseline else []),
                " / ".join(dict.fromkeys(f"{one.updates:g}" for one in good)) or number(None),
                _health(health) or number(None),
                "; ".join(notes) or number(None),
            ]
        )
    spread = f"Mean and standard deviation over {len(seeds)} seeds. " if len(seeds) > 1 else ""
    note = f"{spread}On the validation images, pooled over their pixels, at the network's size."
    return Table(title=title, header=header, rows=rows, note=note)


def write_table(table: Table, path: Path) -> str:
    """Write a table as Markdown, and return its text."""
    text = markdown(table)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return text


def _gain(outcome: Outcome, baseline: Outcome) -> float | None:
    ours, theirs = (one.rows[-1].get("iou_score") for one in (outcome, baseline))
    return None if ours is None or theirs is None else ours - theirs


def _spread(values: Sequence[float | None], signed: bool = False) -> str:
    found, form = [value for value in values if value is not None], "+.4f" if signed else ".4f"
    if len(found) < 2:
        return number(found[0] if found else None, form)
    return f"{statistics.mean(found):{form}} ± {statistics.stdev(found):.4f}"


def _health(states: dict[str, int]) -> str:
    return ", ".join(f"{state} {count}" for state, count in states.items())
