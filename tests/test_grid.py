"""The grid: its cells, what is done, the time of the rest, and what the command says before it runs."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import yaml
from cells import DIGITS, digit_cells, record_of, resolve, stage_hashes, states
from factories import ENVIRONMENT, make_record

from gclib import grid, notebook, recipes, records, tables
from gclib.grid import Cell, engine, here
from gclib.grid.cells import same_later_stages
from gclib.tables.rows import rows
from gclib.train import checkpoints
from gclib.train.plan import stage_plan

# Cells, and what is done


@pytest.mark.parametrize("number", sorted(tables.ROWS.keys() - {2}))
def test_the_cells_are_the_recipes_of_the_rows_once_for_each_seed(number: int) -> None:
    cells = grid.cells(f"table{number}", "cifar100", 50.0, [3, 0, 3], "short")
    assert {(cell.data, cell.ratio, cell.scale) for cell in cells} == {("cifar100", 50.0, "short")}
    pairs = [(cell.recipe, cell.seed) for cell in cells]
    assert set(pairs) == {(row.recipe, seed) for row in rows(number) for seed in (0, 3)}
    assert len(pairs) == len(set(pairs))


def test_a_cell_is_done_with_its_record_alone(tmp_path: Path) -> None:
    done, other, trained, begun, new = cells = digit_cells("table1", scale="paper")[:5]
    for cell, at in ((done, "results" / done.place), (other, "results" / other.place)):
        recipe = resolve(cell).model_dump(mode="json")
        if cell is other:
            recipe["stages"][0]["epochs"] += 1
        records.save(record_of(cell, recipe=recipe), tmp_path / at)
    record = record_of(trained)
    records.save(record, tmp_path / "runs" / record.identity / "record.json")
    checkpoints.save(tmp_path / "runs" / "stages" / stage_hashes(begun)[0], {"epoch": 1})
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
    images, first = len(DIGITS.train), resolve(cells[0]).stages[0].epochs
    progress = grid.survey(cells, tmp_path, tmp_path)
    assert [sorted(str(one.cell) for one in group) for group in grid.shared_stages(progress).values()] == [
        sorted(f"{row.recipe} seed {seed}" for row in tables.ROWS[4]) for seed in (0, 1)
    ]
    assert [stage.images for stage in progress[0].left] == [images * n for n in (first, 30, 30)]

    checkpoints.save(tmp_path / "stages" / stage_hashes(cells[0])[0], {"epoch": first})
    checkpoints.save(tmp_path / "stages" / stage_hashes(cells[0])[1], {"epoch": 10})
    progress = grid.survey(cells, tmp_path, tmp_path)
    (group,) = grid.shared_stages(progress).values()
    assert {one.cell.seed for one in group} == {1}
    assert [stage.images for stage in progress[0].left] == [images * n for n in (20, 30)]


def test_a_cell_waits_for_one_that_trains_the_same_later_stage(tmp_path: Path) -> None:
    """On the digits the unified twin of GCL is GCL: small data takes the difference in batch and mixup away.

    So it does from the controls of the text's stage two that add the code's mixup and batch.
    """
    names = ("gcl-official", "gcl-official-cben", "gcl-unified", "ce")
    every = grid.survey([Cell("digits", 20, name, 0, "smoke") for name in names], tmp_path, tmp_path)
    waits = {one.cell.recipe: [o.cell.recipe for o in same_later_stages(one, every)] for one in every}
    assert waits == {name: ["gcl-official-cben"] if name == "gcl-unified" else [] for name in names}
    hashes: dict[str, list[str]] = {}
    for name in recipes.names():
        for stage in stage_plan(recipes.get(name).resolve(DIGITS), DIGITS, 0)[1:]:
            hashes.setdefault(stage.hash, []).append(name)
    assert {tuple(group) for group in hashes.values() if len(group) > 1} == {
        ("gcl-official-cben", "gcl-unified"),
        ("gcl-paper-batch", "gcl-paper-loss", "gcl-paper-mixup"),
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
    first, second = resolve(progress[0].cell).stages
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


def test_a_cpu_goes_by_other_cpus_and_a_gpu_by_other_gpus_where_there_are_any() -> None:
    devices = {"cpu": "another processor", "card": "a processor", "card, then cpu": "a third processor"}
    made = {}
    for seed, (device, cpu) in enumerate(devices.items()):
        fields = make_record(seed=seed).model_dump(exclude={"identity", "digest"})
        where = ENVIRONMENT.model_copy(update={"device": device, "cpu": cpu})
        made[device] = records.RunRecord(**fields | {"environment": where})
    for device, basis in (("cpu", "another processor, float64"), ("another card", "card, float64")):
        found = grid.speeds(
            made.values(), ENVIRONMENT.model_copy(update={"device": device}), "digits", "smoke"
        )
        assert found is not None
        assert f"1 record of digits made on other devices ({basis})" in found.basis
    only = grid.speeds([made["card, then cpu"]], ENVIRONMENT, "digits", "smoke")
    assert only is not None
    assert "(card, then cpu, float64)" in only.basis


def test_the_other_cifar_on_this_device_says_more_than_this_one_on_another() -> None:
    card = ENVIRONMENT.model_copy(update={"device": "a card"})
    fields = make_record(dataset="cifar100", scale="paper", ratio=100.0).model_dump(
        exclude={"identity", "digest"}
    )
    on_a_card = records.RunRecord(**fields | {"environment": card})
    here = make_record(dataset="cifar10", scale="paper", ratio=100.0)
    found = grid.speeds([on_a_card, here], ENVIRONMENT, "cifar100", "paper")
    assert found is not None
    assert found.own[("ce", 0)] == pytest.approx(seconds_per_image(here, [0])[0])
    assert "1 record of other images of this size made on this device" in found.basis
    assert grid.speeds([here], ENVIRONMENT, "folder:birds", "paper") is None


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
def gcl(gcl: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable:
    """Run ``gcl grid`` with a line of options, in an empty checkout."""
    monkeypatch.setattr("gclib.cli.grid.ROOT", tmp_path)
    return lambda line: gcl("grid", *line.split())


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


def test_what_is_done_needs_no_other_record_to_go_by(
    gcl: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cell in digit_cells():
        records.save(record_of(cell), tmp_path / "results" / cell.place)
    monkeypatch.setattr(records, "find", None)
    out = gcl("table4 --dry-run --data digits --ratio 20 --scale smoke")[1]
    assert "4 cells, 4 done, 0 to run" in out


def test_seeds_may_stand_anywhere_and_one_is_enough(gcl: Callable) -> None:
    options = "--dry-run --data digits --ratio 20 --scale smoke"
    for line in (f"--seeds 3 table5 {options}", f"table5 {options} --seeds 3", f"table5 --seeds 3 {options}"):
        assert "3 cells, 0 done" in gcl(line)[1]
    assert "ce seed 4" in gcl(f"table1 --seeds 4 --seeds 5 {options}")[1]


def test_on_one_gpu_the_options_reach_the_engine_and_a_cell_without_a_record_is_exit_code_1(
    gcl: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(
        here, "run", lambda progress, **options: given.update(options) or ["ce seed 0 (no room)"]
    )
    line = "table5 --data digits --ratio 20 --scale smoke --engine here --places 3 --budget 2"
    code, _, err = gcl(line)
    assert (code, err) == (1, "gcl: 1 of 3 cells have no record: ce seed 0 (no room)\n")
    assert (given["places"], given["seconds"], given["workdir"]) == (3, 120, tmp_path / "runs")


def test_what_is_packed_is_unpacked_elsewhere(gcl: Callable, tmp_path: Path) -> None:
    record = record_of(digit_cells("table5")[0])
    records.save(record, tmp_path / "runs" / record.identity / "record.json")
    code, _, err = gcl(f"pack {tmp_path / 'travel'} table5 --data digits --ratio 20 --scale smoke")
    assert (code, err) == (0, "")
    assert gcl(f"unpack {tmp_path / 'travel'} --workdir {tmp_path / 'there'}")[0] == 0
    assert records.load(tmp_path / "there" / record.identity / "record.json") == record


def test_without_snakemake_it_says_what_to_install(gcl: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    code, _, err = gcl("table4 --data digits --ratio 20 --scale smoke")
    assert code == 2
    assert (
        err
        == "gcl: this command needs the module snakemake; run `pip install -e '.[grid]'` in the checkout\n"
    )


def test_a_file_where_the_folder_of_runs_should_be(gcl: Callable, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    code, _, err = gcl(f"table4 --data digits --ratio 20 --scale smoke --workdir {tmp_path / 'file'}")
    assert code == 2
    assert re.fullmatch(r"gcl: cannot write to .*/file/grid: Not a directory; choose another folder\n", err)


def test_the_slurm_profile_needs_sbatch(gcl: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.shutil, "which", lambda name: None)
    options = "table4 --data digits --ratio 20 --scale smoke --profile"
    code, _, err = gcl(f"{options} slurm")
    assert code == 2
    assert "no sbatch on this machine" in err
    assert "no profile 'pbs': expected one of slurm" in gcl(f"{options} pbs")[2]
    profile = yaml.safe_load((engine.WORKFLOW / "profiles" / "slurm" / "config.yaml").read_text())
    assert profile["executor"] == "slurm"


def test_a_plan_needs_no_images_and_a_grid_asks_for_them_first(
    gcl: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(notebook, "ROOT", tmp_path)
    code, out, _ = gcl("table5 --dry-run")
    assert code == 0
    assert "3 cells, 0 done, 3 to run" in out
    code, out, err = gcl("table5")
    assert (code, out) == (2, "")
    assert "CIFAR10 is missing" in err
    assert not list(tmp_path.iterdir())
