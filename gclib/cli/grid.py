"""``gcl grid``."""

import re
import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand, TyperGroup

from gclib import ROOT
from gclib.errors import UserError
from gclib.files import home_expanded

if TYPE_CHECKING:
    from gclib.grid import Progress

PRICE = 3.5  # what an hour of a large GPU may cost, in dollars: an assumption
NUMBER = re.compile(r"\d+(\.\d*)?")
# Options that take several values after one name: which words go on with them.
SEVERAL = {"--seeds": NUMBER, "--ratio": NUMBER, "--data": re.compile(r"(?!table\d)[^-].*")}


class RunsTables(TyperGroup):
    """Lets ``gcl grid TABLE`` stand for ``gcl grid run TABLE``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command in front where a table or an option stands first."""
        if args and args[0] not in (*self.commands, "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


class SeveralValues(TyperCommand):
    """Takes several values after one option, for which Typer has no type, by repeating the option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option, then parse as usual."""
        repeated: list[str] = []
        option, values = "", 0
        for word in args:
            if word in SEVERAL:
                option, values = word, 0
            elif option and SEVERAL[option].fullmatch(word):
                if values:
                    repeated.append(option)
                values += 1
            else:
                option = ""
            repeated.append(word)
        return super().parse_args(ctx, repeated)


app = typer.Typer(cls=RunsTables, no_args_is_help=True, rich_markup_mode="markdown")

Tables = Annotated[
    list[str],
    typer.Argument(metavar="TABLE...", help="`table1` to `table5` of the paper."),
]
Seeds = Annotated[
    list[int] | None,
    typer.Option("--seeds", metavar="SEED...", min=0, max=1_000_000, help="One or more [default: 0]"),
]
DataSets = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        metavar="NAME...",
        help="`digits`, `cifar10`, `cifar100`, `folder:PATH` or `list:PATH` [default: cifar10]; of `table2` one of its "
        "three sets [default: all]",
    ),
]
Ratios = Annotated[
    list[float] | None,
    typer.Option(
        "--ratio", metavar="RATIO...", help="Imbalance ratios, 1 or more, or 0 [default: the data set's]"
    ),
]
Scale = Annotated[str, typer.Option(help="`smoke`, `short` or `paper`.")]
Workdir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        parser=home_expanded,
        help="Where checkpoints, executed notebooks and logs go [default: runs/ in the checkout]",
    ),
]


@app.callback()
def grid() -> None:
    """Run whole tables: the cells that have no record yet. `gcl grid TABLE` is short for `gcl grid run TABLE`.

    Example:

        gcl grid table1 --seeds 0 1 2
    """


@app.command(cls=SeveralValues)
def run(
    tables: Tables,
    seeds: Seeds = None,
    data: DataSets = None,
    ratio: Ratios = None,
    scale: Scale = "paper",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the cells and the time they will take; run nothing.")
    ] = False,
    engine: Annotated[
        Literal["here", "snakemake"] | None,
        typer.Option(
            help="`here`: side by side in this process, best on one GPU. `snakemake`: each cell a process of its own, "
            "on CPUs or a cluster [default: here where there is a GPU and no profile]"
        ),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            min=1, max=10_000, help="snakemake: how many cells run side by side, each on one thread."
        ),
    ] = 1,
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            metavar="PROFILE",
            help="snakemake: `slurm`, or the folder of a Snakemake profile of your own [default: this machine]",
        ),
    ] = None,
    places: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="here: how many run side by side [default: found out as they run]"),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=100_000,
            metavar="MINUTES",
            help="here: run what ends in so many minutes, the most valuable first [default: run all]",
        ),
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="dry run of `table2`: on which GPU, such as H100 or A100 [default: H200]"
        ),
    ] = None,
    price: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1e6,
            help=f"dry run of `table2`: what an hour of it costs [default: {PRICE:g}, a guess]",
        ),
    ] = None,
    workdir: Workdir = None,
) -> None:
    """Run the cells of tables that have no record yet.

    A cell is one run: recipe, data, ratio, seed, scale. A first stage that several cells share is trained once.
    Records of paper scale go to results/, others stay in the folder of runs. Stopped at any moment and started again,
    it redoes nothing that was finished. A cell that fails does not stop the others. --dry-run shows what is done, and
    the time of the rest by the records that there are; for the sets of Table 2, of which there are none, by what a GPU
    was measured or is predicted to do, with its price.

    Example:

        gcl grid run table1 --seeds 0 1 2 --jobs 2 --dry-run

        gcl grid run table2 --dry-run --gpu A100 --price 2

    Exit codes: 0 all cells have records, or a dry run; 1 a cell failed or was left for want of time, named in one
    line; 2 bad input; 130 interrupted.
    """
    from gclib import grid as grids
    from gclib import records
    from gclib.cli.plans import print_plan, print_price
    from gclib.data import PUBLISHED, load

    folder, results = workdir or ROOT / "runs", ROOT / "results"
    if dry_run and budget:
        raise UserError(
            "--budget is not for --dry-run: what ends in time is known only once cells run; leave it out"
        )
    if engine or profile or not dry_run:  # without them a plan holds for either engine
        chosen = engine or _best_engine(profile)
        _require_fitting(chosen, jobs, profile, places, budget)
    progress = _progress(tables, data, ratio, seeds, scale, folder)
    priced = dry_run and any(one.cell.data in PUBLISHED for one in progress)
    for option, value in {"--gpu": gpu, "--price": price}.items():
        if value is not None and not priced:
            raise UserError(f"{option} is for a --dry-run of table2; leave it out")
    if dry_run:
        waits = any(one.open for one in progress)  # what is done needs no records to go by
        found = [record for root in (results, folder) for record in records.find(root)] if waits else []
        for (name, _), group in groupby(progress, key=lambda one: (one.cell.data, one.cell.ratio)):
            if name in PUBLISHED:
                print_price(list(group), gpu or "H200", PRICE if price is None else price, jobs)
            else:
                print_plan(list(group), found, jobs)
        return
    waiting = sum(one.open for one in progress)
    for name, r in dict.fromkeys((one.cell.data, one.cell.ratio) for one in progress if one.open):
        load(name, r or None, download=False, scale=scale)  # a plan needs no images, but every cell does
    if chosen == "here":
        from gclib.grid import here
        from gclib.grid.standing import Board

        print(f"{len(progress)} cells, {waiting} to run", flush=True)
        options: dict[str, Any] = {"places": places, "seconds": budget and 60 * budget}
        with Board() as board:
            failed = here.run(
                progress, workdir=folder, root=results, report=board.report, show=board.show, **options
            )
    else:
        print(f"{len(progress)} cells, {waiting} to run; logs in {folder / 'grid' / 'logs'}", flush=True)
        failed = grids.run(progress, jobs=jobs, workdir=folder, root=results, profile=profile, report=_report)
    if failed:
        print(
            f"gcl: {len(failed)} of {len(progress)} cells have no record: {', '.join(failed)}",
            file=sys.stderr,
        )
        raise typer.Exit(1)


@app.command(cls=SeveralValues)
def pack(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", parser=home_expanded, help="Where the files go.")
    ],
    tables: Tables,
    seeds: Seeds = None,
    data: DataSets = None,
    ratio: Ratios = None,
    scale: Scale = "paper",
    workdir: Workdir = None,
) -> None:
    """Pack what tables have so far, to take it to another machine: records, and checkpoints to go on from.

    At most 60 MB in four files; what is nearest to its end goes first.

    Example:

        gcl grid pack travel table1 --seeds 0 1 2

    Exit codes: 0 done; 2 bad input, or the folder cannot be written.
    """
    from gclib.grid import travel

    runs = workdir or ROOT / "runs"
    print(travel.pack(_progress(tables, data, ratio, seeds, scale, runs), runs, folder))


@app.command()
def unpack(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", parser=home_expanded, help="What `gcl grid pack` left.")
    ],
    workdir: Workdir = None,
) -> None:
    """Put what was packed on another machine where a grid looks for it; what is there stays, unless it is behind.

    Example:

        gcl grid unpack travel

    Exit codes: 0 done; 2 what lies in the folder was not packed so, is damaged, or is in training here.
    """
    from gclib.grid import travel

    print(travel.unpack(folder, workdir or ROOT / "runs", ROOT / "results"))


def _progress(
    tables: list[str],
    data: list[str] | None,
    ratio: list[float] | None,
    seeds: list[int] | None,
    scale: str,
    workdir: Path,
) -> list["Progress"]:
    from gclib import grid as grids
    from gclib.data import PUBLISHED, ratio_of

    if ratio and "table2" in tables:
        raise UserError("--ratio is not for table2, whose sets have ratios of their own; leave it out")
    cells = {
        cell: None
        for table in tables
        for name in data or (PUBLISHED if table == "table2" else ["cifar10"])
        for r in ratio or [ratio_of(name) or 0.0]
        for cell in grids.cells(table, name, r, seeds or [0], scale)
    }
    return grids.survey(cells, workdir, ROOT / "results")


def _report(line: str) -> None:
    print(line, flush=True)


def _best_engine(profile: str | None) -> str:
    from gclib.train.device import choose_device

    return "here" if profile is None and choose_device("auto").type == "cuda" else "snakemake"


def _require_fitting(
    engine: str, jobs: int, profile: str | None, places: int | None, budget: float | None
) -> None:
    here, snakemake = {"--places": places, "--budget": budget}, {"--jobs": jobs > 1, "--profile": profile}
    for option, given in (snakemake if engine == "here" else here).items():
        if given:
            raise UserError(f"{option} is not for --engine {engine}; leave it out or choose the other engine")
