"""The open cells of a grid as a Snakemake workflow: its plan, its run, its interruption, and what failed."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from gclib import ROOT, records, train
from gclib.errors import UserError
from gclib.files import lock
from gclib.grid.cells import Cell, Progress, same_later_stages, shared_stages
from gclib.notebook import KEEP_MEMORY, surroundings, terminated_as_interrupted

__all__ = ["held", "keep_trained", "run"]

WORKFLOW = ROOT / "workflow"
GRACE = 20  # seconds that processes get to end by themselves when a grid is interrupted


def run(
    progress: Sequence[Progress],
    *,
    jobs: int,
    workdir: str | Path,
    root: str | Path,
    profile: str | None = None,
    report: Callable[[str], None] = print,
) -> list[str]:
    """Run the open cells through Snakemake, each by ``gcl run training``, and shared first stages before, once.

    Parameters
    ----------
    progress
        How far each cell is; only what is open is run.
    jobs
        How many run side by side, >= 1.
    workdir, root
        Folders of runs and of the records that tables show; see `gclib.grid.survey`.
    profile
        Name of a folder in ``workflow/profiles/``, or path of another: Snakemake's own way to a cluster.
    report
        Takes a line for each cell that is done.

    Returns
    -------
    list of str
        The cells that did not end with a record, each with the last line of its log.

    Raises
    ------
    UserError
        If another grid works in `workdir`, it cannot be written, or the profile cannot be used.
    ModuleNotFoundError
        If Snakemake is not installed.
    KeyboardInterrupt
        When interrupted or terminated, once everything that was started has ended.
    """
    if not WORKFLOW.is_dir():
        raise UserError(f"no folder {WORKFLOW}; run gcl in a checkout of the companion")
    workdir = Path(workdir).resolve()
    options = [] if profile is None else ["--profile", str(_profile(profile))]
    for module in ("snakemake", "psutil"):
        if find_spec(module) is None:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    # Snakemake inherits the lock, so that it holds as long as one of both lives.
    with held(workdir) as lock_file:
        keep_trained(progress, workdir, root, report)
        waiting = [one for one in progress if one.open]
        if waiting:
            plan = _write_plan(waiting, workdir)
            _snakemake([*_command(plan, workdir, jobs), *options], workdir, lock_file, waiting, report)
    return [f"{one.cell} ({_reason(one, workdir)})" for one in waiting if not one.record.exists()]


def held(workdir: Path) -> AbstractContextManager[IO[str]]:
    """Hold a folder of runs for one grid; see `gclib.files.lock`."""
    return lock(workdir / "grid", f"another grid works in {workdir}; wait for it, or give another --workdir")


def keep_trained(
    progress: Sequence[Progress], workdir: Path, root: str | Path, report: Callable[[str], None]
) -> None:
    """Put records that lie in the folder of runs among the results where they belong there."""
    for one in progress:
        if one.state == "trained":
            report(f"kept: {train.keep(records.load(one.made), workdir, root)}")


def _profile(name: str) -> Path:
    path = WORKFLOW / "profiles" / name
    path = path if path.is_dir() else Path(name)
    if not (path / "config.yaml").is_file():
        known = ", ".join(sorted(entry.name for entry in (WORKFLOW / "profiles").iterdir()))
        raise UserError(f"no profile {name!r}: expected one of {known}, or a folder with a config.yaml")
    if path.name.startswith("slurm") and shutil.which("sbatch") is None:
        raise UserError(
            "no sbatch on this machine: start the grid where jobs are submitted to SLURM, or try one machine "
            "as a cluster with workflow/slurm.sh up"
        )
    return path


def _cell_command(cell: Cell, workdir: Path) -> list[str]:
    values = {
        "data": cell.data,
        "ratio": f"{cell.ratio:.12g}",
        "recipe": cell.recipe,
        "seed": str(cell.seed),
        "workdir": str(workdir),
        "keep": "new" if cell.kept else "no",
        "resume": "true",
    }
    pairs = [word for pair in values.items() for word in ("-p", *pair)]
    notebook = workdir / "notebooks" / f"{cell.name}.ipynb"
    gcl = [sys.executable, "-P", "-m", "gclib.cli"]
    return [*gcl, "run", "training", *pairs, "--scale", cell.scale, "--output", str(notebook)]


def _train_command(cell: Cell, workdir: Path) -> list[str]:
    values = {"data": cell.data, "ratio": f"{cell.ratio:.12g}", "seed": str(cell.seed), "scale": cell.scale}
    pairs = [word for name, value in values.items() for word in (f"--{name}", value)]
    gcl = [sys.executable, "-P", "-m", "gclib.cli"]
    return [*gcl, "train", cell.recipe, *pairs, "--workdir", str(workdir)]


def _stage_command(cell: Cell, workdir: Path) -> list[str]:
    return [*_train_command(cell, workdir), "--first-stage"]


def _on_devices(one: Progress, workdir: Path) -> tuple[list[str], int]:
    """The command that trains what several devices can share of a cell, and into how many parts that is cut."""
    trained = [stage for stage in one.left if stage.images]
    parts = min((stage.parts for stage in trained), default=1)
    if parts == 1 and trained and trained[0].position == 0 and trained[0].parts > 1:
        return _stage_command(one.cell, workdir), trained[0].parts
    return _train_command(one.cell, workdir), parts


def _write_plan(waiting: Sequence[Progress], workdir: Path) -> Path:
    """Write what the Snakefile is to run, and remove what an earlier grid left beside it."""
    grid = workdir / "grid"
    for left in ("logs", "stages"):
        shutil.rmtree(grid / left, ignore_errors=True)
    shared = shared_stages(waiting)
    on_devices = {one.cell: _on_devices(one, workdir) for one in waiting}
    plan: dict[str, Any] = {
        "folder": os.getcwd(),  # relative paths in names of data and in GCLIB_DATA begin here
        "stages": {
            stage: {
                "command": shlex.join(_stage_command(group[0].cell, workdir)),
                "parts": group[0].left[0].parts,
            }
            for stage, group in shared.items()
        },
        "cells": {
            one.cell.name: {
                "record": str(one.record.resolve()),
                "stage": next((stage.hash for stage in one.left if stage.hash in shared), None),
                "after": [str(other.record.resolve()) for other in same_later_stages(one, waiting)],
                "train": shlex.join(on_devices[one.cell][0]),
                "parts": on_devices[one.cell][1],
                "command": shlex.join(_cell_command(one.cell, workdir)),
            }
            for one in waiting
        },
    }
    path = grid / "plan.json"
    path.write_text(json.dumps(plan, indent=1))
    return path


def _command(plan: Path, workdir: Path, jobs: int) -> list[str]:
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(WORKFLOW / "Snakefile")),
        *("--configfile", str(plan), "--directory", str(workdir), "--jobs", str(jobs)),
        *("--keep-going", "--scheduler", "greedy", "--nocolor"),
        *("--workflow-profile", "none"),  # else the one in profiles/ of the folder that gcl is called in
        # A record is there whole or not at all, whatever was killed: nothing to lock, to distrust or to remove.
        *("--nolock", "--rerun-incomplete", "--rerun-triggers", "mtime", "--keep-incomplete"),
    ]


def _snakemake(
    command: list[str],
    workdir: Path,
    held: IO[str],
    waiting: Sequence[Progress],
    report: Callable[[str], None],
) -> None:
    environment = surroundings(os.environ, workdir / "grid" / "settings") | KEEP_MEMORY
    open_cells, ended = list(waiting), False
    with (workdir / "grid" / "snakemake.log").open("w") as log, terminated_as_interrupted():
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, pass_fds=[held.fileno()])
        try:
            while not ended:
                time.sleep(0.2)
                ended = process.poll() is not None
                for one in [one for one in open_cells if one.record.exists()]:
                    open_cells.remove(one)
                    count = f"{len(waiting) - len(open_cells)} of {len(waiting)}"
                    report(f"done: {one.cell} ({count}): {one.record}")
        finally:
            _stop(process)


def _stop(process: subprocess.Popen) -> None:
    """End Snakemake and all that it started: by itself it would wait for its jobs."""
    import psutil

    if process.poll() is not None:
        return
    first = psutil.Process(process.pid)
    tree = [first, *first.children(recursive=True)]
    for one in tree:
        with suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGINT)
    try:
        psutil.wait_procs(tree, GRACE)
    finally:  # also when interrupted once more
        left = [one for one in tree if one.is_running()]
        for one in left:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(left, GRACE)


def _reason(one: Progress, workdir: Path) -> str:
    """Return the last line of the log that says why a cell has no record, and where that log lies."""
    grid = workdir / "grid"
    logs = [grid / "logs" / f"{one.cell.name}.log"]
    logs += [grid / "logs" / f"stage-{stage.hash}.log" for stage in one.left[:1]]
    for log in (*logs, grid / "snakemake.log"):
        lines = log.read_text(errors="replace").split("\n") if log.exists() else []
        if written := [line.strip() for line in lines if line.strip()]:
            return f"{written[-1].removeprefix('gcl: ')}; see {log}"
    return f"no log in {grid}"
