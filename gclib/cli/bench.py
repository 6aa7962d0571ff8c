"""``gcl bench``."""

from pathlib import Path
from typing import Annotated

import typer

from gclib import ROOT
from gclib.cli.printing import print_table
from gclib.files import home_expanded

app = typer.Typer()

DAY = 86_400  # seconds


@app.callback()
def about() -> None:
    """Measure what this machine can do.

    Example:

        gcl bench gpu
    """


@app.command()
def gpu(
    budget: Annotated[
        float, typer.Option(min=1, max=DAY, metavar="SECONDS", help="Time that it may take.")
    ] = 90,
    device: Annotated[str, typer.Option(help="`auto`, `cuda`, or `cpu` to rehearse it.")] = "auto",
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            parser=home_expanded,
            help="Where the report goes [default: results/bench/gpu, or build/bench for a CPU]",
        ),
    ] = None,
) -> None:
    """Try a GPU: whether it is right, how fast it is, and how it is best used.

    Losses and weights of each recipe's first steps beside the CPU's, a run among others beside the run alone, images a
    second for each way to compute the network and for 1 to 16 runs side by side, the ten dearest kernels, test pass,
    memory, and what the memory's bandwidth allows. A part that fails is entered as such and stops no other.

    Example:

        gcl bench gpu --budget 60

    Exit codes: 0 done; 2 no such device, or the report cannot be written.
    """
    from gclib.grid.bench import probe
    from gclib.tables.gpu import images_per_second
    from gclib.train.device import choose_device

    chosen = choose_device(device)
    usual = ROOT / ("results/bench/gpu" if chosen.type == "cuda" else "build/bench")
    report, path = probe(chosen, budget, folder or usual)
    print_table(
        ("runs side by side", *(variants := images_per_second(report))),
        (
            (runs, *(variants[v].get(runs, "") for v in variants))
            for runs in sorted({runs for by_runs in variants.values() for runs in by_runs}, key=int)
        ),
    )
    best = report["fastest"]
    chosen_way = f"best: {best['variant']}, {best['places']} side by side" if best else "no time to measure"
    typer.echo(f"images a second in sum; {chosen_way}")
    typer.echo(f"{path}, {report['seconds']:.0f} s")


@app.command()
def photographs(
    network: Annotated[str, typer.Option(help="`resnet50` or another network for photos.")] = "resnet50",
    seconds: Annotated[float, typer.Option(min=1, max=DAY, help="Time that the steps take.")] = 60,
    device: Annotated[str, typer.Option(help="`auto`, `cuda`, or `cpu` to rehearse it.")] = "auto",
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            parser=home_expanded,
            help="Where the report goes [default: results/bench/photographs, or build/bench for a CPU]",
        ),
    ] = None,
) -> None:
    """Measure how many photographs a second a device trains and tests; `gcl grid table2 --dry-run` goes by it.

    Bare steps of a network on random images of 224 pixels: what reads the files is not in it.

    Example:

        gcl bench photographs --seconds 60

    Exit codes: 0 done; 2 no such device or network, or the report cannot be written.
    """
    from gclib.grid.bench.photographs import photographs as measure
    from gclib.train.device import choose_device

    chosen = choose_device(device)
    usual = ROOT / ("results/bench/photographs" if chosen.type == "cuda" else "build/bench/photographs")
    report, path = measure(chosen, network, seconds, folder or usual)
    print(
        f"{report['device']}: {report['trained']:,.0f} photographs a second in training, {report['tested']:,.0f} in "
        f"tests; {network}, batches of {report['batch']}"
    )
    print(path)
