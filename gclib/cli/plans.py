"""What ``gcl grid --dry-run`` prints: the cells of a table, what is done, and what the rest takes."""

import os
from collections.abc import Sequence

from gclib import grid as grids
from gclib.cli.printing import print_table
from gclib.data import PUBLISHED, published_counts
from gclib.grid import Estimate, Progress
from gclib.records import RunRecord


def print_plan(progress: Sequence[Progress], found: Sequence[RunRecord], jobs: int) -> None:
    """Print the cells of one data set, and the time of the open ones by the records that there are."""
    from gclib.train.environment import machine

    cell = progress[0].cell
    here = machine(cell.scale)
    measured = grids.speeds(found, here, cell.data, cell.scale)
    # More jobs than cores share them; how a GPU is shared, records do not tell.
    places = min(jobs, os.cpu_count() or 1) if here.device == "cpu" else jobs
    estimate = grids.estimate(progress, measured, places) if measured else None
    print_table(("cell", "state", "time"), _rows(progress, estimate))
    waiting, shared = sum(one.open for one in progress), grids.shared_stages(progress)
    imbalance = f"at ratio {cell.ratio:g}" if cell.ratio else "as it is"
    print(
        f"{cell.data} {imbalance}, {cell.scale} scale: {len(progress)} cells, "
        f"{len(progress) - waiting} done, {waiting} to run"
    )
    if shared:
        print(f"{sum(map(len, shared.values()))} of these share {len(shared)} first stages, which run once")
    if not waiting:
        return
    if estimate is None:
        print(f"time: not known, for there is no record of {cell.data} yet to go by")
        return
    together = f"{_duration(estimate.span)} with {jobs} job{'s' * (jobs > 1)}"
    if places < jobs:
        together += f" on {places} cores"
    print(f"time: about {together}, {_duration(estimate.total)} of training in all")
    print(f"it rests on {estimate.basis}")
    if here.device != "cpu" and jobs > 1:
        print("jobs that share a GPU slow each other down: expect more than that")


def print_price(progress: Sequence[Progress], gpu: str, price: float, jobs: int) -> None:
    """Print the cells of a set of Table 2, with hours and money on a GPU that need not be here."""
    cell = progress[0].cell
    rates = grids.rates_of(gpu)
    estimate = grids.estimate(progress, grids.predicted_speeds((one.cell for one in progress), rates), jobs)
    rows = [
        (*row, f"{seconds / 3600 * price:.0f}" if seconds else "")
        for row, seconds in zip(
            _rows(progress, estimate),
            [*estimate.stages.values(), *(estimate.cells.get(one.cell, 0.0) for one in progress)],
            strict=True,
        )
    ]
    print_table(("cell", "state", f"time on one {gpu}", f"at {price:g} an hour"), rows)
    waiting = sum(one.open for one in progress)
    print(
        f"{PUBLISHED[cell.data].title}, {cell.scale} scale: {len(progress)} cells, {len(progress) - waiting} done, "
        f"{waiting} to run; about {estimate.total / 3600:.0f} hours of one {gpu}, "
        f"{estimate.total / 3600 * price:.0f} at {price:g} an hour"
    )
    if jobs > 1:
        print(f"with {jobs} of them side by side about {_duration(estimate.span)}")
    print(f"it rests on {estimate.basis}")
    if published_counts(cell.data) is None:
        print(
            f"the class counts of {PUBLISHED[cell.data].title} are in {PUBLISHED[cell.data].train[0]} alone: "
            "without it no record is known to be done"
        )


def _rows(progress: Sequence[Progress], estimate: Estimate | None) -> list[tuple[str, str, str]]:
    rows, shared = [], grids.shared_stages(progress)
    for stage, group in shared.items():
        time = _duration(estimate.stages[stage]) if estimate else "?"
        rows.append((f"first stage of {', '.join(str(one.cell) for one in group)}", "run once", time))
    for one in progress:
        time = "" if not one.open else _duration(estimate.cells[one.cell]) if estimate else "?"
        rows.append((str(one.cell), one.state, time))
    return rows


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
