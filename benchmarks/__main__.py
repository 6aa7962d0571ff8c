"""Measure, print one table, keep it: ``python -m benchmarks``. Exit code 1 if a bar is missed."""

import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks import contests, methods, photos
from benchmarks.report import Report
from gclib import ROOT
from gclib.cli.printing import print_table
from gclib.errors import UserError
from gclib.train.device import can_compile, choose_precision
from gclib.train.environment import device_name, environment


def main(
    quick: Annotated[bool, typer.Option(help="Only try that all of it runs: no bar is meant.")] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Where the report goes; else results/bench, or build/bench if quick.")
    ] = None,
) -> None:
    """Measure speed, one thread, the best of five interleaved turns. Leave the machine alone meanwhile."""
    torch.set_num_threads(1)
    begun = time.perf_counter()
    data, images = contests.images()
    data = contests.few(data) if quick else data
    precision = choose_precision("paper", contests.CPU)
    batch_size, steps, repeats, calls = (8, 1, 2, 2) if quick else (64, 20, 5, 20)
    typer.echo(f"{precision}, batch {batch_size}, {images} (their content does not change the time)")
    timings: dict[str, dict[str, list[float]]] = {}
    compile_seconds = None
    if not quick:  # first: later the process has compiled this network already
        typer.echo("torch.compile")
        try:
            seconds = contests.compiled(data, precision, batch_size, steps // 2, repeats)
            timings["compiled step"], compile_seconds = seconds
        except UserError as reason:
            typer.echo(str(reason))
    typer.echo("training step: ours on one thread; the usual loop's two workers take a second core")
    compiled = not quick and can_compile()  # as gclib.train.fit decides for a run at paper scale
    timings["training step"] = contests.training(data, precision, batch_size, steps, repeats, compiled)
    typer.echo("a step of each method")
    timings["method steps"] = methods.steps_of_all(data, precision, batch_size, max(1, steps // 4), repeats)
    typer.echo("losses")
    timings["loss, 10 classes"] = contests.losses(10, batch_size, 20 * calls, repeats)
    timings["loss, 8142 classes"] = contests.losses(8142, batch_size, calls, repeats)
    typer.echo("class statistics and sampler")
    labels = contests.inaturalist_labels()
    timings["class statistics"], timings["indices of an epoch"] = contests.sampler(labels, repeats)
    typer.echo("photos: decoding, and a step of ResNet-50")
    timings["photos"] = photos.decoding(32 if quick else 384, repeats)
    if not quick:
        timings["photo step"] = photos.photo_step(4, 2, repeats, precision)
    state = {
        "devices": [device_name(contests.CPU)],
        "precision": precision,
        "threads": torch.get_num_threads(),
        "compiled": compiled,
    }
    report = Report(
        environment=environment(contests.CPU, [state]),
        quick=quick,
        images=images,
        batch_size=batch_size,
        timings=timings,
        memory_mb=contests.memory(),
        compile_seconds=compile_seconds,
    )
    word = {True: "yes", False: "NO", None: ""}
    print_table(
        ("what", "measured", "bar", "holds"),
        ((row.what, f"{row.measured:g} {row.unit}", row.bar, word[row.holds]) for row in report.rows),
    )
    if quick:
        typer.echo("quick: too short for the bars to mean anything")
    path = report.save(folder or ROOT / ("build/bench" if quick else "results/bench"))
    typer.echo(f"{path}, {time.perf_counter() - begun:.0f} s")
    if not quick and not report.holds:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
