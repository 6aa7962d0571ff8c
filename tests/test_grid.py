"""The grid: cells, what is done, the time of the rest, and runs through Snakemake that fail or are interrupted."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import yaml
from factories import ENVIRONMENT, make_record

from gclib import checkpoints, cli, data, grid, notebook, recipes, records, tables
from gclib.errors import UserError
from gclib.grid import Cell, Progress, engine
from gclib.grid.cells import same_later_stages
from gclib.plan import stage_plan

TESTS = Path(__file__).parent
DIGITS = data.load("digits", 20)


def digit_cells(table: str = "table4", seeds: Sequence[int] = (0,), scale: str = "smoke") -> list[Cell]:
    return grid.cells(table, "digits", 20.0, seeds, scale)


def resolved(cell: Cell) -> recipes.Recipe:
    return recipes.get(cell.recipe).resolve(DIGITS, cell.scale)


def stages(cell: Cell) -> list[str]:
    return [stage.hash for stage in stage_plan(resolved(cell), DIGITS, cell.seed)]


def record_of(cell: Cell, **changes: Any) -> records.RunRecord:
    """Make a record with the identity that the run of the cell would have, and drawn numbers."""
    recipe = resolved(cell)
    drawn = make_record(seed=cell.seed, epochs=tuple(2 for _ in recipe.stages))
    fields = drawn.model_dump(exclude={"identity", "digest"})
    own = {"recipe": recipe.model_dump(mode="json"), "data": records.DataSummary.of(DIGITS)}
    return records.RunRecord(**fields | own | changes)


def states(cells: Sequence[Cell], folder: Path) -> list[str]:
    return [one.state for one in grid.survey(cells, folder / "runs", folder / "results")]


# Cells, and what is done


@pytest.mark.parametrize("number", tables.ROWS)
def test_the_cells_are_the_recipes_of_the_rows_once_for_each_seed(number: int) -> None:
    cells = grid.cells(f"table{number}", "cifar100", 50.0, [3, 0, 3], "short")
    assert {(cell.data, cell.ratio, cell.scale) for cell in cells} == {("cifar100", 50.0, "short")}
    pairs = [(cell.recipe, cell.seed) for cell in cells]
    assert set(pairs) == {(row.recipe, seed) for row in tables.ROWS[number] for seed in (0, 3)}
    assert len(pairs) == len(set(pairs))


def test_a_cell_is_done_with_its_record_alone(tmp_path: Path) -> None:
    done, other, trained, begun, new = cells = digit_cells("table1", scale="paper")[:5]
    for cell, at in ((done, "results" / done.place), (other, "results" / other.place)):
        recipe = resolved(cell).model_dump(mode="json")
        if cell is other:
            recipe["stages"][0]["epochs"] += 1
        records.save(record_of(cell, recipe=recipe), tmp_path / at)
    record = record_of(trained)
    records.save(record, tmp_path / "runs" / record.identity / "record.json")
    checkpoints.save(tmp_path / "runs" / "stages" / stages(begun)[0], {"epoch": 1})
    expected = ["done", "done, with other settings", "trained", "begun", "to run"]
    assert states(cells, tmp_path) == expected
    assert states([replace(cell, seed=1) for cell in cells], tmp_path) == ["to run"] * 5
    assert str(new) == f"{new.recipe} seed 0"


def test_below_paper_scale_a_record_among_the_runs_will_do(tmp_path: Path) -> None:
    first, second, third = digit_cells()[:3]
    record = record_of(first)
    records.save(record, tmp_path / "runs" / record.identity / "record.json")
    records.save(record_of(second), tmp_path / "results" / second.place)
    assert states([first, second, third], tmp_path) == ["done", "done", "to run"]


def test_a_stage_that_is_finished_is_no_work_and_is_shared_by_nobody(tmp_path: Path) -> None:
    cells = digit_cells(seeds=(0, 1), scale="paper")
    images, first = len(DIGITS.train), resolved(cells[0]).stages[0].epochs
    progress = grid.survey(cells, tmp_path, tmp_path)
    assert [sorted(str(one.cell) for one in group) for group in grid.shared_stages(progress).values()] == [
        sorted(f"{row.recipe} seed {seed}" for row in tables.ROWS[4]) for seed in (0, 1)
    ]
    assert [stage.images for stage in progress[0].left] == [images * n for n in (first, 30, 30)]

    checkpoints.save(tmp_path / "stages" / stages(cells[0])[0], {"epoch": first})
    checkpoints.save(tmp_path / "stages" / stages(cells[0])[1], {"epoch": 10})
    progress = grid.survey(cells, tmp_path, tmp_path)
    (group,) = grid.shared_stages(progress).values()
    assert {one.cell.seed for one in group} == {1}
    assert [stage.images for stage in progress[0].left] == [images * n for n in (20, 30)]


def test_a_cell_waits_for_one_that_trains_the_same_later_stage(tmp_path: Path) -> None:
    """On the digits the unified twin of GCL is GCL: small data takes the difference in batch and mixup away."""
    names = ("gcl-official", "gcl-official-cben", "gcl-unified", "ce")
    every = grid.survey([Cell("digits", 20, name, 0, "smoke") for name in names], tmp_path, tmp_path)
    waits = {one.cell.recipe: [o.cell.recipe for o in same_later_stages(one, every)] for one in every}
    assert waits == {name: ["gcl-official-cben"] if name == "gcl-unified" else [] for name in names}
    hashes: dict[str, list[str]] = {}
    for name in recipes.names():
        for stage in stage_plan(recipes.get(name).resolve(DIGITS), DIGITS, 0)[1:]:
            hashes.setdefault(stage.hash, []).append(name)
    assert {tuple(group) for group in hashes.values() if len(group) > 1} == {
        ("gcl-official-cben", "gcl-unified")
    }


# How long the rest takes


def seconds_per_image(record: records.RunRecord, at: Sequence[int]) -> list[float]:
    images = sum(record.data.class_counts)
    courses = [record.stages[k].course for k in at]
    return [sum(course.seconds) / len(course.loss) / images for course in courses]


def test_the_time_follows_from_the_seconds_in_the_records(tmp_path: Path) -> None:
    found = [make_record(recipe="gcl-official", epochs=(4, 3), seed=seed) for seed in range(3)]
    measured = grid.speeds([*found, found[0]], ENVIRONMENT, "digits", "smoke")
    assert measured is not None
    assert measured.basis.startswith(
        "the speed of 3 records of digits made on this device (a processor, float64)"
    )
    progress = grid.survey(digit_cells(seeds=(0, 1)), tmp_path, tmp_path)
    one = median(s for record in found for s in seconds_per_image(record, [0]))
    two = median(s for record in found for s in seconds_per_image(record, [1, 2]))
    first, second = resolved(progress[0].cell).stages
    images = len(DIGITS.train)
    expected = 2 * one * images * first.epochs + 8 * 2 * two * images * second.epochs
    estimate = grid.estimate(progress, measured, jobs=1)
    assert estimate.total == pytest.approx(expected)
    assert estimate.span == pytest.approx(expected)
    assert len(estimate.stages) == 2
    assert grid.estimate(progress, measured, jobs=2).span == pytest.approx(expected / 2)
    assert "; 3 recipes without such a record" in estimate.basis


def test_speeds_come_from_this_device_or_else_from_others_and_it_says_so() -> None:
    here = ENVIRONMENT
    card = here.model_copy(update={"device": "a card", "precision": "bfloat16"})
    cpu = make_record()
    assert grid.speeds([], here, "digits", "smoke") is None
    assert grid.speeds([make_record(dataset="folder:birds")], here, "digits", "smoke") is None
    assert grid.speeds([cpu], card, "digits", "paper") is None
    elsewhere = grid.speeds([cpu], card, "digits", "smoke")
    assert elsewhere is not None
    assert "1 record of digits made on other devices (a processor, float64)" in elsewhere.basis
    another = here.model_copy(update={"cpu": "another processor"})
    fields = make_record(seed=1).model_dump(exclude={"identity", "digest"})
    both = [cpu, records.RunRecord(**fields | {"environment": another})]
    near, far = grid.speeds(both, here, "digits", "smoke"), grid.speeds(both, another, "digits", "smoke")
    assert near is not None
    assert far is not None
    assert near.own[("ce", 0)] == pytest.approx(seconds_per_image(both[0], [0])[0])
    assert far.own[("ce", 0)] == pytest.approx(seconds_per_image(both[1], [0])[0])


def test_the_last_job_ends_between_what_is_possible_and_what_is_needed() -> None:
    lengths = {"a": 5.0, "b": 3.0}
    tasks = [(1.0, "a"), (2.0, "a"), (4.0, "b"), (7.0, None), (1.0, None)]
    total = sum(lengths.values()) + sum(seconds for seconds, _ in tasks)
    longest = max(seconds + lengths.get(stage or "", 0.0) for seconds, stage in tasks)
    assert grid.makespan(lengths, tasks, 1) == total
    assert grid.makespan(lengths, tasks, 99) == longest
    for jobs in range(2, 6):
        assert max(total / jobs, longest) <= grid.makespan(lengths, tasks, jobs) <= total / jobs + longest
    assert grid.makespan({}, [], 3) == 0


# The command


@pytest.fixture
def gcl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path) -> Callable:
    """Run ``gcl grid`` in an empty checkout; return exit code, stdout and stderr."""
    monkeypatch.setattr(notebook, "ROOT", tmp_path)

    def call(line: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gcl", "grid", *line.split()])
        with pytest.raises(SystemExit) as done:
            cli.main()
        return done.value.code or 0, *capsys.readouterr()

    return call


def test_the_dry_run_shows_cells_states_and_time_and_writes_nothing(gcl: Callable, tmp_path: Path) -> None:
    line = "table4 --seeds 0 1 --jobs 2 --dry-run --data digits --ratio 20 --scale smoke"
    code, out, err = gcl(line)
    assert (code, err) == (0, "")
    rows = [[part.strip() for part in row.strip("│").split("│")] for row in out.splitlines() if "│" in row]
    assert [row[:2] for row in rows if row[1] == "to run"] == [
        [str(cell), "to run"] for cell in digit_cells(seeds=(0, 1))
    ]
    assert [row[1:] for row in rows if row[0].startswith("first stage of")] == [["run once", "?"]] * 2
    assert "8 cells, 0 done, 8 to run" in out
    assert "8 of these share 2 first stages, which run once" in out
    assert "time: not known, for there is no record of digits yet" in out
    assert list(tmp_path.iterdir()) == []

    for cell in digit_cells(seeds=(0, 1))[:6]:
        records.save(record_of(cell), tmp_path / "results" / cell.place)
    out = gcl(line)[1]
    assert "8 cells, 6 done, 2 to run" in out
    assert "2 of these share 1 first stages" in out
    assert re.search(r"^time: about .* with 2 jobs.* of training in all$", out, re.MULTILINE)
    assert "it rests on the speed of 6 records of digits made on other devices" in out


def test_seeds_may_stand_anywhere_and_one_is_enough(gcl: Callable) -> None:
    options = "--dry-run --data digits --ratio 20 --scale smoke"
    for line in (f"--seeds 3 table5 {options}", f"table5 {options} --seeds 3", f"table5 --seeds 3 {options}"):
        assert "3 cells, 0 done" in gcl(line)[1]
    assert "ce seed 4" in gcl(f"table1 --seeds 4 --seeds 5 {options}")[1]


def test_without_snakemake_it_says_what_to_install(gcl: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    code, _, err = gcl("table4 --data digits --ratio 20 --scale smoke")
    assert code == 2
    assert (
        err
        == "gcl: this command needs the module snakemake; run `pip install -e '.[grid]'` in the checkout\n"
    )


def test_the_slurm_profile_needs_sbatch(gcl: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.shutil, "which", lambda name: None)
    options = "table4 --data digits --ratio 20 --scale smoke --profile"
    code, _, err = gcl(f"{options} slurm")
    assert code == 2
    assert "no sbatch on this machine" in err
    assert "no profile 'pbs': expected one of slurm" in gcl(f"{options} pbs")[2]
    profile = yaml.safe_load((engine.WORKFLOW / "profiles" / "slurm" / "config.yaml").read_text())
    assert profile["executor"] == "slurm"


# Snakemake, with commands that take no time instead of training


def stub(folder: Path) -> tuple[Callable, Callable]:
    """Commands for a cell and for a stage: each tells `log` its name, and a cell brings the record that is ready.

    A name that is written in the file `fail` fails, one in `hang` waits to be ended.
    """
    code = (
        "import os, pathlib, shutil, sys, time; name, ready, record = sys.argv[1:]; here = pathlib.Path.cwd().parent;"
        "print(name, os.getpid(), file=(here / 'log').open('a'), flush=True);"
        "name in (here / 'fail').read_text().split() and sys.exit('gcl: it broke');"
        "name in (here / 'hang').read_text().split() and time.sleep(600);"
        "record and (os.makedirs(os.path.dirname(record), exist_ok=True), shutil.copy(ready, record))"
    )

    def command(*values: str) -> list[str]:
        return [sys.executable, "-S", "-c", code, *values]

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


def test_a_failing_first_stage_is_the_reason_of_all_that_share_it(stubs: Path) -> None:
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


def wait_for(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 240  # a busy machine
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGINT to all", "SIGKILL to all"])
def test_interrupted_and_started_again_it_redoes_nothing(stubs: Path, how: str) -> None:
    names = [cell.recipe for cell in digit_cells()]
    (stubs / "hang").write_text(names[-1])
    code = f"import pathlib, test_grid; test_grid.run_stubs(pathlib.Path({str(stubs)!r}))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=TESTS, start_new_session=True, stderr=subprocess.PIPE
    )

    def last_alone() -> bool:
        return set(begun(stubs)) >= set(names) and len(list((stubs / "runs").glob("*/record.json"))) == 3

    wait_for(last_alone)
    number = getattr(signal, how.split()[0])
    os.killpg(process.pid, number) if how.endswith("all") else process.send_signal(number)
    process.communicate(timeout=120)
    assert process.returncode != 0
    pids = [int(line.split()[1]) for line in (stubs / "log").read_text().splitlines()]
    wait_for(lambda: not any(map(alive, pids)))
    (stubs / "hang").write_text("")
    assert run_stubs(stubs) == []
    assert begun(stubs) == [*begun(stubs)[:5], names[-1]]


def test_one_grid_at_a_time_works_in_a_folder(stubs: Path) -> None:
    with (
        engine._only_grid(stubs / "runs" / "grid"),
        pytest.raises(UserError, match=r"another grid works in .*runs; wait for it"),
    ):
        run_stubs(stubs)


def test_what_is_trained_is_kept_and_not_run(tmp_path: Path) -> None:
    (cell,) = digit_cells("table1", scale="paper")[:1]
    record = record_of(cell)
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


# Real cells


def test_commands_of_real_cells_keep_the_records_of_paper_scale_alone() -> None:
    for scale, keep in (("paper", "new"), ("short", "no")):
        words = engine._cell_command(Cell("cifar10", 100.0, "ce", 2, scale), Path("runs"))
        assert words[:5] == [sys.executable, "-m", "gclib.cli", "run", "training"]
        pairs = dict(itertools.pairwise(words))
        assert (pairs["data"], pairs["ratio"], pairs["seed"], pairs["keep"]) == ("cifar10", "100", "2", keep)
        assert (pairs["--scale"], pairs["--output"]) == (
            scale,
            f"runs/notebooks/{scale}-cifar10-ir100-ce-seed2.ipynb",
        )


def test_a_real_grid_with_a_cell_that_fails_and_is_resumed(tmp_path: Path) -> None:
    good, bad = cells = [
        cell for cell in digit_cells("table5", seeds=[7]) if cell.recipe.endswith(("tau", "lws"))
    ][::-1]
    first, second = stages(bad)[:2]
    planted = tmp_path / "stages" / second
    checkpoints.save(planted, {"epoch": 0, "precision": "bfloat16", "threads": 1})

    def survey() -> list[Progress]:
        return grid.survey(cells, tmp_path, tmp_path / "results")

    (failed,) = grid.run(survey(), jobs=1, workdir=tmp_path, root=tmp_path / "results")
    assert failed.startswith(f"{bad} (training.ipynb: {planted} was begun with precision bfloat16")
    assert [one.state for one in survey()] == ["done", "begun"]
    assert [one.name for one in (tmp_path / "notebooks").iterdir()] == [
        f"smoke-digits-ir20-{good.recipe}-seed7.ipynb"
    ]
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
