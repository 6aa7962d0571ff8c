"""``gcl train``: the stages of a run, in one process or in several that share each batch."""

import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from gclib import ROOT
from gclib.errors import UserError, require_one_of
from gclib.files import home_expanded


def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="Name of a recipe, as `gcl recipes` lists them.")
    ],
    data: Annotated[
        str, typer.Option("--data", metavar="NAME", help="Data set, as for `gcl data`.")
    ] = "digits",
    ratio: Annotated[
        float | None,
        typer.Option(
            metavar="R",
            min=0,
            max=1000,
            help="Imbalance ratio, 0 to cut nothing [default: usual for the data]",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, max=1_000_000, help="Seed of the weights and of all draws.")
    ] = 0,
    scale: Annotated[
        str, typer.Option("--scale", metavar="SCALE", help="`smoke`, `short` or `paper`.")
    ] = "smoke",
    overrides: Annotated[
        str,
        typer.Option(metavar="'PATH=VALUE ...'", help="Changes to the recipe, such as `parts=8`."),
    ] = "",
    gpus: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=1024, help="GPUs of this machine, a process each [default: one device]"
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=1024, help="Processes on the CPU, in place of GPUs [default: 1]"
        ),
    ] = None,
    first_stage: Annotated[
        bool, typer.Option("--first-stage", help="Only the first stage, which other recipes may share.")
    ] = False,
    workdir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", parser=home_expanded, help="Folder of checkpoints [default: runs/ in the checkout]"
        ),
    ] = None,
) -> None:
    """Train all stages of a recipe, on one device or on several that share each batch.

    A recipe with `parts` cuts each batch into so many; each GPU, or process, takes as many of them, so the run is
    the same on one, two or eight. Given again, the command goes on where it was, on another number as well. Then the
    page `training` finds the stages done and makes figures and record. `torchrun` may start it too:
    `torchrun --nproc-per-node 8 -m gclib.cli train RECIPE ...`, on several machines as well.

    Example:

        gcl train gcl-official --data digits --processes 2 --overrides "parts=2 stage-two.parts=2"

    Exit codes: 0 done; 2 bad input, or a process that ended; 130 interrupted.
    """
    from gclib.data import IMAGE_BUDGET
    from gclib.recipes import get, parse_overrides
    from gclib.train.launch import launch, launched, one_of_many

    if gpus and processes:
        raise UserError("both --gpus and --processes were given; expected one of them")
    require_one_of("scale", scale, IMAGE_BUDGET)
    named, changes = get(recipe), parse_overrides(overrides)
    if gpus:
        _require_gpus(gpus)
    if not launched() and (gpus or processes or 1) > 1:
        launch(["-m", "gclib.cli", *sys.argv[1:]], gpus or processes or 1)
        return
    with one_of_many() if launched() else nullcontext():
        _train(
            named.name,
            data,
            ratio,
            seed,
            scale,
            changes,
            workdir or ROOT / "runs",
            on_cpu=bool(processes),
            first_alone=first_stage,
        )


def _require_gpus(wanted: int) -> None:
    import torch

    found = torch.cuda.device_count()
    if found < wanted:
        raise UserError(f"{wanted} GPUs were asked for, and torch sees {found}; give fewer, or --processes")


def _train(
    name: str,
    data: str,
    ratio: float | None,
    seed: int,
    scale: str,
    overrides: dict,
    workdir: Path,
    on_cpu: bool,
    first_alone: bool,
) -> None:
    import torch

    from gclib import records
    from gclib.data import load, ratio_of
    from gclib.recipes import get
    from gclib.train import world
    from gclib.train.effort import effort
    from gclib.train.runner import Runner

    on_gpu = torch.cuda.is_available() and not on_cpu
    with world.joined(on_gpu):
        with world.after_the_first():  # which fetches what is missing
            images = load(data, ratio_of(data, ratio), scale=scale)
        resolved = get(name).resolve(images, scale, **overrides)
        runner = Runner.on(f"cuda:{world.local()}" if on_gpu else "cpu", resolved, images, seed)
        if world.first():
            print(effort(resolved, images), flush=True)
        for planned, state in runner.stages(workdir, resume=True, first_alone=first_alone):
            if world.first():
                start = (
                    ""
                    if planned.start == "scratch"
                    else f" after the {planned.start} epoch of the stage before"
                )
                print(f"{planned.settings.name}{start}: top-1 {state['last']['top1']:.1f}%", flush=True)
        if world.first() and not first_alone:
            threads = torch.get_num_threads()
            again = records.command(name, images.name, images.ratio, seed, scale, overrides, threads)
            print(
                f"now figures, record and classifier: {again} -p resume true -p workdir {shlex.quote(str(workdir))}"
            )
