"""The grid through Snakemake: runs that fail, are interrupted and started again, and a real one."""

import hashlib
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forks
import pytest
from cells import digit_cells, record_of, states
from photographs import tiny_folder
from processes import PROCESSES, until

from gclib import data, grid, recipes, records, train
from gclib.errors import UserError
from gclib.files import InUseError, lock
from gclib.grid import Cell, Progress, StageLeft, engine
from gclib.train import checkpoints, loop
from gclib.train.loop import Trainer
from gclib.train.plan import stage_plan

# Commands that take no time instead of training


def stub(folder: Path) -> tuple[Callable, Callable]:
    """Commands for a cell and for a stage: each tells `log` its name, and a cell brings the record that is ready.

    A name that is written in the file `fail` fails, one in `hang` waits to be ended. The record comes whole or not at
    all, as that of a training does: who waits for its file may end the command at once.
    """
    code = (
        "import os, pathlib, shutil, sys, time; here, name, ready, record = sys.argv[1:]; here = pathlib.Path(here);"
        "print(name, os.getpid(), file=(here / 'log').open('a'), flush=True);"
        "name in (here / 'fail').read_text().split() and sys.exit('gcl: it broke');"
        "name in (here / 'hang').read_text().split() and time.sleep(600);"
        "record and (os.makedirs(os.path.dirname(record), exist_ok=True),"
        "shutil.copy(ready, record + '.tmp'), os.replace(record + '.tmp', record))"
    )

    def command(*values: str) -> list[str]:
        return [sys.executable, "-S", "-c", code, str(folder), *values]

    def cell_command(cell: Cell, workdir: Path) -> list[str]:
        (one,) = grid.survey([cell], workdir, folder / "results")
        ready = folder / "ready" / f"{cell.recipe}.json"
        return command(cell.recipe, str(ready), str(one.record))

    return cell_command, lambda cell, workdir: command("stage", "", "")


def run_stubs(folder: Path) -> list[str]:
    """Run Table 4 on digits with stubs for its commands; what is done and what failed is printed and returned."""
    engine._cell_command, engine._stage_command = stub(folder)
    progress = grid.survey(digit_cells(), folder / "runs", folder / "results")
    tell = lambda line: print(line, flush=True)  # noqa: E731
    return grid.run(progress, jobs=2, workdir=folder / "runs", root=folder / "results", report=tell)


def run_in_a_session(folder: Path) -> None:
    os.setsid()  # a process group of its own, as a terminal gives a command
    run_stubs(folder)


@pytest.fixture
def stubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("_cell_command", "_stage_command"):
        monkeypatch.setattr(engine, name, getattr(engine, name))  # put back afterwards
    for name in ("fail", "hang", "log"):
        (tmp_path / name).write_text("")
    for cell in digit_cells():
        records.save(record_of(cell), tmp_path / "ready" / f"{cell.recipe}.json")
    return tmp_path


def begun(folder: Path) -> list[str]:
    return [line.split()[0] for line in (folder / "log").read_text().splitlines()]


def test_one_failing_cell_stops_no_other_and_alone_is_run_again(stubs: Path) -> None:
    names = [cell.recipe for cell in digit_cells()]
    (stubs / "fail").write_text(names[1])
    (failed,) = run_stubs(stubs)
    assert re.fullmatch(rf"{names[1]} seed 0 \(it broke; see .*{names[1]}-seed0\.log\)", failed)
    assert begun(stubs)[0] == "stage", "the shared stage comes first, once"
    assert sorted(begun(stubs)) == sorted(["stage", *names])
    made = {path: path.stat().st_mtime_ns for path in (stubs / "runs").glob("*/record.json")}
    assert len(made) == len(names) - 1

    (stubs / "fail").write_text("")
    assert run_stubs(stubs) == []
    assert begun(stubs)[len(names) + 1 :] == [names[1]], "alone it shares its first stage with nobody"
    assert all(path.stat().st_mtime_ns == at for path, at in made.items())
    assert run_stubs(stubs) == []
    assert len(begun(stubs)) == len(names) + 2


def test_a_failing_first_stage_is_the_reason_of_all_that_share_it(
    stubs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing of a person's own Snakemake takes part.
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "nowhere")
    (stubs / "profiles" / "default").mkdir(parents=True)
    (stubs / "profiles" / "default" / "config.yaml").write_text("dry-run: true\n")
    monkeypatch.chdir(stubs)
    (stubs / "fail").write_text("stage")
    failed = run_stubs(stubs)
    assert len(failed) == 4
    assert all("(it broke; see " in line and "/stage-" in line for line in failed)
    assert begun(stubs) == ["stage"]


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    try:
        return (
            status.read_text().rpartition(")")[2].split()[0] != "Z"
            if Path("/proc").exists()
            else not os.kill(pid, 0)
        )
    except OSError:
        return False


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGINT to all", "SIGKILL to all"])
def test_interrupted_and_started_again_it_redoes_nothing(stubs: Path, how: str) -> None:
    names = [cell.recipe for cell in digit_cells()]
    (stubs / "hang").write_text(names[-1])
    process = PROCESSES.Process(target=run_in_a_session, args=(stubs,))
    process.start()

    def last_alone() -> bool:
        return set(begun(stubs)) >= set(names) and len(list((stubs / "runs").glob("*/record.json"))) == 3

    until(last_alone)
    number = getattr(signal, how.split()[0])
    (os.killpg if how.endswith("all") else os.kill)(process.pid, number)
    process.join(120)
    assert process.exitcode not in (None, 0)
    pids = [int(line.split()[1]) for line in (stubs / "log").read_text().splitlines()]
    until(lambda: not any(map(alive, pids)))
    until(lambda: is_free(stubs / "runs"))  # Snakemake, which holds it too, may take a moment to die
    (stubs / "hang").write_text("")
    assert run_stubs(stubs) == []
    assert begun(stubs) == [*begun(stubs)[:5], names[-1]]


def is_free(runs: Path) -> bool:
    try:
        with engine.held(runs):
            return True
    except InUseError:
        return False


def test_one_grid_at_a_time_works_in_a_folder(stubs: Path) -> None:
    with (
        lock(stubs / "runs" / "grid", "busy"),
        pytest.raises(UserError, match=r"another grid works in .*runs; wait for it"),
    ):
        run_stubs(stubs)


def test_what_is_trained_is_kept_and_not_run(tmp_path: Path) -> None:
    (cell,) = digit_cells("table1", scale="paper")[:1]
    record = record_of(cell, weights=hashlib.sha256(b"weights").hexdigest())
    folder = tmp_path / "runs" / record.identity
    records.save(record, folder / "record.json")
    (folder / "stage-one.safetensors").write_bytes(b"weights")
    lines: list[str] = []
    progress = grid.survey([cell], tmp_path / "runs", tmp_path / "results")
    assert (
        grid.run(progress, jobs=1, workdir=tmp_path / "runs", root=tmp_path / "results", report=lines.append)
        == []
    )
    assert states([cell], tmp_path) == ["done"]
    assert lines == [f"kept: {tmp_path / 'results' / cell.place}"]


@pytest.mark.parametrize("trains", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_what_has_parts_is_trained_on_the_devices_of_a_profile_before_its_notebook(
    trains: bool, tmp_path: Path
) -> None:
    """The workflow itself, with a profile's setting; in soak two processes train what is cut into two parts."""
    images = f"folder:{tiny_folder(tmp_path / 'images')}@8"
    gcl = [sys.executable, "-m", "gclib.cli", "train", "ce", "--data", images, "--workdir", str(tmp_path)]

    def noted(name: str, *more: str) -> str:
        code = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(' '.join(sys.argv[2:]))"
        return shlex.join([sys.executable, "-S", "-c", code, str(tmp_path / name), *more])

    def cell(name: str, parts: int, train: str, stage: str | None = None) -> dict[str, Any]:
        record = str(tmp_path / name)
        return {
            **{"record": record, "stage": stage, "after": [], "parts": parts},
            **{"train": train, "command": noted(name, "finished")},
        }

    real = shlex.join([*gcl, "--overrides", "parts=2 epochs=1"])
    plan = {
        "folder": str(tmp_path),
        "stages": {
            "whole": {"command": noted("stage-whole"), "parts": 1},
            "cut": {"command": noted("stage-cut"), "parts": 2},
        },
        "cells": {
            "cut": cell("cut", 2, real if trains else noted("trained"), "cut"),
            "alone": cell("alone", 1, "false", "whole"),
        },
    }
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(plan))
    command = [*engine._command(file, tmp_path, 2), "--config", "devices=--processes 2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [(tmp_path / name).read_text() for name in ("stage-cut", "stage-whole")] == ["--processes 2", ""]
    assert [(tmp_path / name).read_text() for name in ("cut", "alone")] == ["finished", "finished"]
    if not trains:
        assert (tmp_path / "trained").read_text() == "--processes 2"
        return
    (folder,) = (tmp_path / "stages").iterdir()
    state = checkpoints.load(folder)
    assert state is not None
    assert (state["epoch"], state["processes"]) == (1, 2)


@pytest.mark.parametrize(
    ("parts", "first", "alone"),
    [([4, 1, 1], 0, True), ([4, 4, 4], 0, False), ([4], 0, False), ([1, 1], 1, False), ([1, 2], 0, False)],
)
def test_devices_train_what_they_can_share(parts: list[int], first: int, alone: bool) -> None:
    cell = Cell("imagenet-lt", 0.0, "mislas", 0, "paper")
    stage = recipes.get("ce").resolve(data.without_images("cifar10", 100), "paper").stages[0]
    left = tuple(StageLeft(str(k), "mislas", k, stage, 9, n) for k, n in enumerate(parts, first))
    command, shared = engine._on_devices(Progress(cell, "to run", Path("m"), Path("r"), left), Path("runs"))
    assert ("--first-stage" in command) is alone
    assert shared == (parts[0] if alone else min(parts))


# Real cells


def test_commands_of_real_cells_keep_the_records_of_paper_scale_alone() -> None:
    for scale, keep in (("paper", "new"), ("short", "no")):
        words = engine._cell_command(Cell("cifar10", 100.0, "ce", 2, scale), Path("runs"))
        assert words[:6] == [sys.executable, "-P", "-m", "gclib.cli", "run", "training"]
        pairs = dict(itertools.pairwise(words))
        assert (pairs["data"], pairs["ratio"], pairs["seed"], pairs["keep"]) == ("cifar10", "100", "2", keep)
        assert (pairs["--scale"], pairs["--output"]) == (
            scale,
            f"runs/notebooks/{scale}-cifar10-ir100-ce-seed2.ipynb",
        )


class Hasty(Trainer):
    """Trains the first epoch, takes the next ones for done, and ends before the last."""

    def train_epoch(self, epoch: int) -> float:
        if epoch == self.settings.epochs - 1:
            raise InterruptedError
        if not epoch:
            return super().train_epoch(epoch)
        for name in ("loss", "learning_rate", "train_accuracy"):
            self.course[name].append(self.course[name][-1])
        return self.course["loss"][-1]


def forking(command: Callable[[Cell, Path], list[str]]) -> Callable[[Cell, Path], list[str]]:
    """Return the same commands, whose kernels are forked where those of the tests are."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import forks; forks.use(); " + (
        "from gclib.cli import main; sys.path.pop(0); main()"
    )

    def start(cell: Cell, workdir: Path) -> list[str]:
        python, *module, subcommand = (words := command(cell, workdir))[:5]
        assert (module, subcommand) == (["-P", "-m", "gclib.cli"], "run")
        return [python, "-c", code, *words[4:]]

    return start if forks.ADDRESS in os.environ else command


def test_a_real_grid_with_a_cell_that_fails_and_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_cell_command", forking(engine._cell_command))
    tiny_folder(tmp_path / "mine" / "images")
    monkeypatch.chdir(
        tmp_path / "mine"
    )  # cells run where the grid is called, and find the images by the same words
    images = "folder:images@8"
    good, bad = cells = [
        cell
        for cell in grid.cells("table5", images, 0.0, [7], "smoke")
        if cell.recipe.endswith(("cben", "lws"))
    ][::-1]
    photos = data.load(images)
    resolved = {cell: recipes.get(cell.recipe).resolve(photos, "smoke") for cell in cells}
    first, second = (stage.hash for stage in stage_plan(resolved[bad], photos, 7)[:2])
    left, save = resolved[good].stages[0].epochs - 1, checkpoints.save
    with monkeypatch.context() as patch:
        patch.setitem(loop.BETWEEN_CHECKPOINTS, "cpu", 0.0)
        patch.setattr(checkpoints, "save", lambda to, state: state["epoch"] < left or save(to, state))
        with pytest.raises(InterruptedError):
            train.fit_first_stage(
                resolved[good], photos, seed=7, device="cpu", workdir=tmp_path, trainer=Hasty
            )
    state = checkpoints.load(tmp_path / "stages" / first)
    assert state is not None
    assert state["epoch"] == left, "one epoch of the shared stage is left to train"
    planted = tmp_path / "stages" / second
    checkpoints.save(planted, {"epoch": 0, "precision": "float64", "threads": 2})

    def survey() -> list[Progress]:
        return grid.survey(cells, tmp_path, tmp_path / "results")

    (failed,) = grid.run(survey(), jobs=1, workdir=tmp_path, root=tmp_path / "results")
    assert failed.startswith(f"{bad} (training.ipynb: {planted} was begun with threads 2")
    assert [one.state for one in survey()] == ["done", "begun"]
    assert [one.name for one in (tmp_path / "notebooks").iterdir()] == [f"{good.name}.ipynb"]
    trained = (tmp_path / "stages" / first / "checkpoint.pt").stat().st_mtime_ns

    for path in planted.glob("checkpoint*"):
        path.unlink()
    assert grid.run(survey(), jobs=1, workdir=tmp_path, root=tmp_path / "results") == []
    assert (tmp_path / "stages" / first / "checkpoint.pt").stat().st_mtime_ns == trained, (
        "the shared stage ran once"
    )
    made = [records.load(one.record) for one in survey()]
    assert made[0].stages[0] == made[1].stages[0]
    assert json.loads((tmp_path / "grid" / "plan.json").read_text())["stages"] == {}
