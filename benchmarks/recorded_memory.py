"""The 71 outcomes of the experiments log on a card of 14.76 GiB (a T4), against what the planner says.

`recorded_memory.csv` has a row for every combination of experiments 3, 4 and 5 whose outcome the log tells. Each is
predicted twice: for the training of FlexDAN, and for the recorded loop, whose step is written down here after what is
known of it. One set of parameters of the card (`t4` in `flexdan.memory.devices`) serves all rows and is fitted to none.

The second table has the cheapest change that makes FlexDAN's training fit, for every recorded out-of-memory row with
fewer than 700 million parameters.

    python benchmarks/recorded_memory.py             # both tables, two minutes
    python benchmarks/recorded_memory.py --markdown  # as in docs/memory.md
"""

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from flexdan.config import RunConfig, with_settings
from flexdan.experiments.common import AS_RECORDED, LOG
from flexdan.losses import score_loss
from flexdan.memory import DEVICES, Planner, PlanRow, trace_training
from flexdan.memory.demand import device_bytes, requests
from flexdan.strategies import Batch, Means, Players

GIB = 2**30
DEVICE = DEVICES["t4"]
MANY = 700_000_000  # parameters


@dataclass(frozen=True, kw_only=True)
class Case:
    """A recorded combination.

    Args:
        name: experiment, SN and EN, as in the log.
        config: its settings in FlexDAN.
        fits: what was recorded.
    """

    name: str
    config: RunConfig
    fits: bool


def read_cases() -> list[Case]:
    cases = []
    with Path(__file__).with_suffix(".csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            values = {name: int(value) if value.isdigit() else value for name, value in row.items() if value}
            settings = {f"{name[:2]}.{name[3:]}": value for name, value in values.items() if name[:3] in ("sn_", "en_")}
            adversarial = AS_RECORDED if row["use_gan"] == "True" else {}
            config = with_settings(
                LOG,
                settings
                | adversarial
                | {
                    "sn.input_channels": 3,
                    "sn.output_channels": 2,
                    "training.batch_size": values["batch_size"],
                    "training.precision": "fp32",
                    "training.channels_last": False,
                },
            )
            parts = [
                [value for name, value in settings.items() if name[:2] == net and "type" not in name]
                for net in ("sn", "en")
            ]
            name = f"{row['experiment']}: " + " ".join(f"({', '.join(map(str, part))})" for part in parts if part)
            cases.append(Case(name=name, config=config, fits=row["outcome"] == "fits"))
    return cases


def recorded_supervised_step(players: Players, batches: Sequence[Batch], means: Means) -> None:
    """The recorded loop without EN: cross-entropy of softmax outputs; PyTorch 1 kept gradients, filled with zeros."""
    (batch,), sn = batches, players.sn
    loss = means.criterion(sn.network(batch.images).softmax(1), batch.targets)
    sn.optimizer.zero_grad(set_to_none=False)
    means.backward(loss)
    sn.optimizer.step()


def recorded_adversarial_step(players: Players, batches: Sequence[Batch], means: Means) -> None:
    """The recorded loop with EN: half of the batch is unannotated, the EN's gradients are never set to zero.

    The SN runs once, over the whole batch; its graph lives on while the EN is updated, and one backward pass of both of
    its terms follows, through the EN's weights as well.
    """
    (batch,), sn, en = batches, players.sn, players.en
    assert en is not None
    assert batch.unannotated is not None
    half = len(batch.images)
    maps = sn.network(torch.cat([batch.images, batch.unannotated])).softmax(1)
    segmentation = means.criterion(maps[:half], batch.targets)
    known = en.network(torch.cat([batch.images, batch.targets[:, None].float()], 1))
    unknown = en.network(torch.cat([batch.unannotated, maps[half:, :1].detach()], 1))
    means.backward(score_loss(known, 1.0) + score_loss(unknown, 0.0))
    en.optimizer.step()
    scores = en.network(torch.cat([batch.unannotated, maps[half:, :1]], 1))
    sn.optimizer.zero_grad(set_to_none=False)
    means.backward(segmentation + score_loss(scores, 1.0))
    sn.optimizer.step()


def recorded_bytes(case: Case) -> tuple[int, int]:
    """Return the live bytes of the recorded loop, and what it needs of the card; PyTorch 1 went weight by weight."""
    config = with_settings(case.config, {"optimizer.implementation": "for_loop"})
    step = recorded_adversarial_step if config.strategy == "dan" else recorded_supervised_step
    trace = trace_training(config, step=step)
    return trace.peak()[0], device_bytes(requests(trace), DEVICE, DEVICE.memory)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], markdown: bool) -> None:
    if markdown:
        for row in (header, ["---"] * len(header), *rows):
            print(f"| {' | '.join(row)} |")
        return
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def outcome(fits: bool) -> str:
    return "fits" if fits else "out of memory"


def gib(nbytes: int) -> str:
    return f"{nbytes / GIB:,.2f}"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    options = parser.parse_args()
    planner = Planner(DEVICE, DEVICE.memory)
    rows, right, plain, ours = [], 0, 0, 0
    crashed: list[PlanRow] = []
    for case in read_cases():
        row = planner.check(case.name, case.config)
        live, needs = recorded_bytes(case)
        assert row.peak is not None
        assert row.breakdown is not None
        found = needs <= DEVICE.memory
        right += found == case.fits
        plain += (live <= DEVICE.memory) == case.fits
        ours += (row.peak <= DEVICE.memory) == case.fits
        mark = "" if found == case.fits else "wrong"
        cells = gib(row.breakdown.peak), gib(row.peak), gib(live), gib(needs)
        rows.append([case.name, outcome(case.fits), *cells, outcome(found), mark])
        if not case.fits and (row.parameters or 0) < MANY:
            crashed.append(planner.row(case.name, case.config))
    header = ("experiment: SN, EN", "recorded", "FlexDAN, live", "FlexDAN, needs", "recorded loop, live")
    print_table((*header, "recorded loop, needs", "predicted", ""), rows, options.markdown)
    print(f"\nGiB. Predicted as recorded: {right} of {len(rows)} (recorded loop, allocator, context).")
    print(f"Live bytes of the recorded loop against {gib(DEVICE.memory)} GiB: {plain}; FlexDAN's own step: {ours}.\n")

    changes = []
    for row in crashed:
        text = "fits as it is" if row.verdict != "does not fit" else row.change.text if row.change else "none"
        changes.append(
            [
                row.name,
                f"{(row.parameters or 0) / 1e6:,.1f} M",
                gib(row.peak or 0),
                text,
                gib(row.change_peak or row.peak or 0),
            ]
        )
    print_table(
        ("experiment: SN, EN", "parameters", "needs", "cheapest change that fits", "then"), changes, options.markdown
    )


if __name__ == "__main__":
    main()
