"""``gcl grid``."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from gclib import notebook
from gclib.cli.printing import print_table

if TYPE_CHECKING:
    from gclib.grid import Estimate, Progress


class SeedsCommand(TyperCommand):
    """Takes several numbers after one ``--seeds``, for which Typer has no type, by repeating the option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option, then parse as usual."""
        repeated: list[str] = []
        after = False
        for word in args:
            another = after and word.isdigit()
            if another and repeated[-1] != "--seeds":
                repeated.append("--seeds")
            repeated.append(word)
            after = another or word == "--seeds"
        return super().parse_args(ctx, repeated)


def grid(
    table: Annotated[
        str, typer.Argument(metavar="TABLE", help="`table1`, `table3`, `table4` or `table5` of the paper.")
    ],
    seeds: Annotated[
        list[int] | None,
        typer.Option("--seeds", metavar="SEED...", min=0, max=1_000_000, help="One or more [default: 0]"),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(min=1, help="How many cells run side by side, each on one thread or on the one GPU."),
    ] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the cells and the time they will take; run nothing.")
    ] = False,
    data: Annotated[
        str, typer.Option(metavar="NAME", help="`digits`, `cifar10`, `cifar100` or `folder:PATH`.")
    ] = "cifar10",
    ratio: Annotated[float, typer.Option(help="Imbalance ratio, 1 or more.")] = 100.0,
    scale: Annotated[str, typer.Option(help="`smoke`, `short` or `paper`.")] = "paper",
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="PROFILE",
            help="`slurm`, or the folder of a Snakemake profile of your own [default: this machine]",
        ),
    ] = None,
    workdir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where checkpoints, executed notebooks and logs go [default: runs/ in the checkout]",
        ),
    ] = None,
) -> None:
    """Run the cells of a table that have no record yet, through Snakemake.

    A cell is one run of the training notebook: recipe, data, ratio, seed, scale. A first stage that several
    cells share is trained once. Records of paper scale go to results/, others stay in the folder of runs.
    Stopped at any moment and started again, it redoes nothing that was finished. A cell that fails does not
    stop the others. --dry-run shows what is done, and the time of the rest by the records that there are.

    Example:

        gcl grid table1 --seeds 0 1 2 --jobs 2 --dry-run

    Exit codes: 0 all cells have records, or a dry run; 1 a cell failed, named in one line; 2 bad input;
    130 interrupted.
    """
    from gclib import grid as grids
    from gclib.data import load

    folder, results = workdir or notebook.ROOT / "runs", notebook.ROOT / "results"
    cells = grids.cells(table, data, ratio, seeds or [0], scale)
    progress = grids.survey(cells, folder, results)
    waiting = sum(one.open for one in progress)
    if dry_run:
        _print_plan(progress, folder, results, jobs)
        return
    if waiting:
        load(data, ratio, download=False)  # a plan needs no images, but every cell does
    print(f"{len(cells)} cells, {waiting} to run; logs in {folder / 'grid' / 'logs'}", flush=True)
    failed = grids.run(
        progress,
        jobs=jobs,
        workdir=folder,
        root=results,
        profile=profile,
        report=lambda line: print(line, flush=True),
    )
    if failed:
        print(f"gcl: {len(failed)} of {len(cells)} cells failed: {', '.join(failed)}", file=sys.stderr)
        raise typer.Exit(1)


def _print_plan(progress: Sequence["Progress"], folder: Path, results: Path, jobs: int) -> None:
    from gclib import grid as grids
    from gclib import records
    from gclib.train.environment import machine

    cell = progress[0].cell
    here = machine(cell.scale)
    found = [record for root in (results, folder) for record in records.find(root)]
    measured = grids.speeds(found, here, cell.data, cell.scale)
    # More jobs than cores share them; how a GPU is shared, records do not tell.
    places = min(jobs, os.cpu_count() or 1) if here.device == "cpu" else jobs
    estimate = grids.estimate(progress, measured, places) if measured else None
    print_table(("cell", "state", "time"), _rows(progress, estimate))
    waiting, shared = sum(one.open for one in progress), grids.shared_stages(progress)
    print(
        f"{cell.data} at ratio {cell.ratio:g}, {cell.scale} scale: {len(progress)} cells, "
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


def _rows(progress: Sequence["Progress"], estimate: "Estimate | None") -> list[tuple[str, str, str]]:
    from gclib.grid import shared_stages

    rows, shared = [], shared_stages(progress)
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
