"""A grid side by side in one process: its records, its order, its end in time, its way to another machine."""

import dataclasses
import io
import signal
import tarfile
from pathlib import Path
from typing import Any

import pytest
from cells import digit_cells, states
from rich.console import Console

from gclib import grid, recipes, records, train
from gclib.data import IMAGE_BUDGET, without_images
from gclib.errors import UserError
from gclib.files import InUseError, lock
from gclib.grid import budget, here, standing, travel
from gclib.train import checkpoints, fleet
from gclib.train.loop import Trainer

NAMES = ("ce", "ce-mixup-crt", "mislas")
STAGE = recipes.get("ce").resolve(without_images("cifar10", 100), "paper").stages[0]


@pytest.fixture(autouse=True)
def _small(without_fingerprint: None, small_networks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(IMAGE_BUDGET, "smoke", 1100)


def cells() -> list[grid.Cell]:
    return [cell for cell in digit_cells("table1") if cell.recipe in NAMES]


def survey(folder: Path) -> list[grid.Progress]:
    return grid.survey(cells(), folder / "runs", folder / "results")


def run(folder: Path, **options: Any) -> tuple[list[str], list[str]]:
    lines: list[str] = []
    options = {"places": 2, "device": "cpu", **options}
    failed = here.run(
        survey(folder), workdir=folder / "runs", root=folder / "results", report=lines.append, **options
    )
    return failed, lines


def outcomes(folder: Path) -> dict[str, Any]:
    found = [records.load(path) for path in (folder / "runs").glob("*/record.json")]
    return {run.name: [stage.last for stage in run.stages] for run in found}


def test_a_damaged_report_of_a_gpu_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here, "choose_device", lambda name: here.torch.device("cuda"))
    monkeypatch.setattr(here.torch.cuda, "get_device_name", lambda device: "A card")
    assert here._probed(tmp_path, "auto") is None
    path = here.report_path(tmp_path / "bench" / "gpu", "A card")
    path.parent.mkdir(parents=True)
    for text in ("{", "[]", "{}", '{"fastest": 5}', '{"fastest": {"variant": "plain"}}'):
        path.write_text(text)
        with pytest.raises(UserError, match=r"is no report of gcl bench gpu.*; remove it"):
            here._probed(tmp_path, "auto")
    path.write_text('{"fastest": {"variant": "plain", "places": 3, "speed": 1}}')
    assert here._probed(tmp_path, "auto") == {"variant": "plain", "places": 3}


def test_its_records_are_those_of_single_runs_and_shared_stages_run_once(tmp_path: Path) -> None:
    failed, lines = run(tmp_path / "grid")
    assert failed == []
    assert states(cells(), tmp_path / "grid") == ["done"] * len(NAMES)
    assert sum(line.endswith("done") for line in lines) == len(NAMES) + 1  # one first stage that two share
    for one in survey(tmp_path / "alone"):
        cell = one.cell
        images = here.data.load(cell.data, cell.ratio)
        recipe = here.recipes.get(cell.recipe).resolve(images, cell.scale)
        train.fit(recipe, images, seed=0, device="cpu", workdir=tmp_path / "alone" / "runs")
    assert outcomes(tmp_path / "grid") == outcomes(tmp_path / "alone")


def test_what_fails_is_named_and_stops_no_other_and_what_was_trained_travels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = Trainer.evaluate

    def failing(trainer: Trainer, epoch: int) -> float:
        if trainer.settings.name == "stage-two":
            raise MemoryError("no room")
        return evaluate(trainer, epoch)

    monkeypatch.setattr(Trainer, "evaluate", failing)
    failed, _ = run(tmp_path)
    assert len(failed) == 2
    assert all("MemoryError('no room')" in line for line in failed)
    assert sorted(outcomes(tmp_path)) == ["ce"]
    travel.pack(survey(tmp_path), tmp_path / "runs", tmp_path / "travel")
    travel.unpack(tmp_path / "travel", tmp_path / "elsewhere" / "runs", tmp_path / "elsewhere" / "results")
    for one, there in zip(survey(tmp_path), survey(tmp_path / "elsewhere"), strict=True):
        assert one.left == there.left
        assert {left.position for left in one.left} <= {1}


@pytest.fixture
def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of a grid that was asked to end by a signal when the first of its epochs had been trained."""
    train_epoch = Trainer.train_epoch

    def asking(trainer: Trainer, epoch: int) -> float:
        loss = train_epoch(trainer, epoch)
        if epoch == 1:
            signal.raise_signal(signal.SIGTERM)
        return loss

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_epoch", asking)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path)
    return tmp_path


def test_terminated_it_saves_and_goes_on_and_packed_it_goes_on_elsewhere(
    interrupted: Path, tmp_path: Path
) -> None:
    assert "begun" in states(cells(), interrupted)
    assert travel.pack(survey(interrupted), interrupted / "runs", tmp_path / "travel").startswith("packed ")
    elsewhere = tmp_path / "elsewhere"
    travel.unpack(tmp_path / "travel", elsewhere / "runs", elsewhere / "results")
    assert states(cells(), elsewhere) == states(cells(), interrupted)
    for folder in (interrupted, elsewhere, tmp_path / "whole"):
        assert run(folder)[0] == []
    assert outcomes(interrupted) == outcomes(elsewhere) == outcomes(tmp_path / "whole")


def test_without_time_nothing_is_begun_and_all_is_named(tmp_path: Path) -> None:
    failed, lines = run(tmp_path, seconds=here.SPARE)
    assert len(failed) == len(NAMES)
    assert all(line.endswith("(not begun, for want of time)") for line in failed)
    assert all(line.startswith("wanted: ") for line in lines)
    assert not list(tmp_path.glob("runs/stages/*/checkpoint.pt"))


def test_a_cell_that_would_not_end_in_time_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(here.Pace, "seconds", lambda pace, cost: 1e9)
    failed, _ = run(tmp_path, seconds=600)
    assert len(failed) == len(NAMES)
    assert all(line.endswith("(not begun, for want of time)") for line in failed)


@pytest.mark.parametrize(
    ("speed", "recorded", "epoch", "tried", "chosen"),
    [
        ({4: 69.8, 8: 71.5}, 1.0, 12.4, [4, 8], 4),  # an H200, in thousands of images
        ({4: 40, 8: 71.5, 12: 73}, 1.0, 12.4, [4, 8], 8),
        ({4: 40, 8: 70, 12: 90, 16: 91}, 0.2, 4, [4, 8, 12, 16], 12),
        ({4: 40, 8: 70}, 3.0, 12.4, [4], 4),  # slowly recorded: there is no time for eight
        ({4: 2}, 1.0, 12.4, [4], 4),
    ],
)
def test_how_many_run_side_by_side_is_found_out_in_twenty_seconds(
    speed: dict, recorded: float, epoch: float, tried: list[int], chosen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs are recorded one after another, and all stand still meanwhile; then they share what the card can do."""
    now, busy, runs, done = 0.0, 2.0, dict[str, fleet.Told](), dict[str, float]()
    monkeypatch.setattr(here.time, "monotonic", lambda: now)
    monkeypatch.setattr(fleet, "told", lambda: (sum(run.passes for run in runs.values()), runs))
    pace, seen, step = here.Pace(None), [], 1 / 32
    while now < 25:
        trying, level = pace.trying, pace.places()
        seen.append(level)
        if trying and not pace.trying:
            assert pace.rate in (0.0, pytest.approx(speed[level], rel=0.04))
        if busy > 0:
            busy -= step
        elif len(runs) < level:
            busy = recorded
            name = f"run {len(runs)}"
            runs[name], done[name] = fleet.Told(), 0.37 * len(runs) % 1 * epoch  # not in step
        else:
            for name in runs:
                done[name] += step * speed[max(seen)] / len(runs)
                runs[name].passes = epoch * int(done[name] / epoch)
        if now > here.TRIED:
            assert level == chosen
        now += step
    assert list(dict.fromkeys(seen)) == tried


def open_cell(
    recipe: str,
    images: float = 10,
    data: str = "cifar10",
    ratio: float = 100.0,
    seed: int = 0,
    shared: float = 0,
) -> grid.Progress:
    """A cell that has so many images left for itself, and of a first stage `shared` with all that name one."""
    left = [grid.StageLeft(f"{recipe}{data}{ratio}{seed}", recipe, 1, STAGE, int(images))]
    if shared:
        left.insert(0, grid.StageLeft("shared", recipe, 0, STAGE, int(shared)))
    where = grid.Cell(data, ratio, recipe, seed, "paper")
    return grid.Progress(where, "to run", Path(), Path(), tuple(left))


def test_what_a_finding_or_a_conclusion_rests_on_comes_first_then_first_seeds_and_cheap_ones() -> None:
    order = [
        open_cell("ce"),
        open_cell("ce", seed=1),
        open_cell("ce", seed=2),
        open_cell("gcl-official-mean", 16, seed=1),  # dearer than what no finding compares
        open_cell("gcl-official", 8),
        open_cell("gcl-official", 8, seed=1),
        open_cell("bbn", 40),  # dear: two more seeds of another are worth more in its time
        open_cell("ce", data="cifar100"),
        open_cell("tde", 9),
        open_cell("ce", ratio=50),
        open_cell("tde", seed=1),
    ]
    assert budget.by_value(reversed(order)) == order
    assert budget.why(open_cell("ce", 2.48e6)) == "a finding rests on it, seed 0, 2.5 million image passes"
    assert budget.why(open_cell("ldam-drw")).startswith("a conclusion rests on it")


def test_a_shared_first_stage_counts_once_for_all_that_share_it() -> None:
    pair = [open_cell("gcl-official-lws", 4, shared=20), open_cell("ce-mixup-crt", 6, shared=20)]
    alone = open_cell("ce-mixup", 15)
    assert budget.by_value([alone, *reversed(pair)]) == [*pair, alone]
    assert budget.by_value([alone, pair[1]]) == [alone, pair[1]]


def test_a_checkpoint_that_went_further_elsewhere_replaces_the_one_that_is_there(
    interrupted: Path, tmp_path: Path
) -> None:
    progress, there = survey(interrupted), tmp_path / "there"
    stage = next(hash for one in progress if one.state == "begun" for hash in one.there)
    travel.pack(progress, interrupted / "runs", tmp_path / "first")
    state = checkpoints.load(interrupted / "runs" / "stages" / stage)
    checkpoints.save(interrupted / "runs" / "stages" / stage, {**state, "epoch": state["epoch"] + 1})
    travel.pack(progress, interrupted / "runs", tmp_path / "second")

    def unpacked(name: str) -> tuple[str, int]:
        said = travel.unpack(tmp_path / name, there / "runs", there / "results")
        return said, checkpoints.load(there / "runs" / "stages" / stage)["epoch"] - state["epoch"]

    with (
        lock(there / "runs" / "stages" / stage, ""),  # trained here, and nothing saved yet
        pytest.raises(InUseError, match="is being trained here"),
    ):
        unpacked("first")
    assert unpacked("first")[1] == 0
    with (
        lock(there / "runs" / "stages" / stage, ""),
        pytest.raises(InUseError, match="is being trained here"),
    ):
        unpacked("second")
    said, further = unpacked("second")
    assert "; 1 of the checkpoints here were behind; " in said
    assert further == 1
    said, further = unpacked("first")
    assert "behind" not in said
    assert further == 1


@pytest.mark.parametrize("fault", ["flipped", "of another stage"])
def test_unpack_writes_nothing_where_a_checkpoint_is_damaged(
    interrupted: Path, tmp_path: Path, fault: str
) -> None:
    progress = survey(interrupted)
    stage = next(hash for one in progress if one.state == "begun" for hash in one.there)
    content = bytearray((interrupted / "runs" / "stages" / stage / checkpoints.NAME).read_bytes())
    content[-100] ^= fault == "flipped"
    name = stage if fault == "flipped" else "0" * 16
    with tarfile.open(tmp_path / "grid-1.tar", "w") as tar:
        entry = tarfile.TarInfo(f"stages/{name}/checkpoint.pt")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    with pytest.raises(UserError, match=f"holds no sound checkpoint of stage {name}; pack it again"):
        travel.unpack(tmp_path, tmp_path / "there", tmp_path / "results")
    assert not (tmp_path / "there").exists()


def test_pack_keeps_its_limits(interrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [path.stat().st_size for path in interrupted.glob("runs/stages/*/checkpoint.pt")]
    monkeypatch.setattr(travel, "FILES", 1)
    monkeypatch.setattr(travel, "FILE_BYTES", max(sizes) + 12_000)
    said = travel.pack(survey(interrupted), interrupted / "runs", tmp_path / "out")
    assert len(sizes) > 1
    assert said.endswith(f"; {len(sizes) - 1} had no room")
    files = list((tmp_path / "out").iterdir())
    assert len(files) == 1
    assert all(file.stat().st_size <= travel.FILE_BYTES for file in files)


def test_a_record_travels_with_the_weights_that_it_needs_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path)
    made = [one.made for one in survey(tmp_path) if one.made.exists()]
    weights = [path.with_name(travel.WEIGHTS) for path in made]
    monkeypatch.setattr(travel, "KEPT_WEIGHTS", {one.cell.recipe for one in survey(tmp_path)})
    # Room for weights, and not for the record beside them.
    monkeypatch.setattr(travel, "FILE_BYTES", max(path.stat().st_size for path in weights) + 12_000)
    said = travel.pack(survey(tmp_path), tmp_path / "runs", tmp_path / "out")
    assert f"; {2 * len(made)} had no room" in said
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("name", ["../evil", "elsewhere/x", "stages/../../x"])
def test_unpack_takes_nothing_that_no_grid_has_packed(name: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "grid-1.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(UserError, match="which no grid has packed"):
        travel.unpack(tmp_path, tmp_path / "runs", tmp_path / "results")
    with pytest.raises(UserError, match=r"holds no grid-\*\.tar"):
        travel.unpack(tmp_path / "runs", tmp_path, tmp_path)


def test_unpack_writes_nothing_where_a_record_is_damaged(tmp_path: Path) -> None:
    for number, content in enumerate((b"{}", b"not json"), 1):
        with tarfile.open(tmp_path / f"grid-{number}.tar", "w") as tar:
            for name in (f"{number:016x}/record.json", f"stages/{number:016x}/checkpoint.pt"):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    with pytest.raises(records.RecordError, match="grid-1"):
        travel.unpack(tmp_path, tmp_path / "runs", tmp_path / "results")
    assert not (tmp_path / "runs").exists()


def test_how_it_stands_is_a_line_now_and_then_and_a_table_in_a_terminal() -> None:
    runs = {"cifar10-ce-seed0": fleet.Told("stage-one", 50, 200, 61.25, 300.0), "waiting": fleet.Told()}
    now = standing.Standing(95, 69_789.4, 3, 9, 3_725, runs, {"cifar10-ce-seed0": 42.4})
    plain = Console(file=io.StringIO(), width=200)
    board = standing.Board(plain)
    with board:
        board.report("wanted: [ce]")
        for seconds in (10, 95, 100):
            board.show(dataclasses.replace(now, seconds=seconds))
    assert plain.file.getvalue().splitlines() == [
        "wanted: [ce]",
        "1:35: 3 of 9 cells ended, 2 side by side, 69,789 images/s in sum, 1:02:05 left; "
        "cifar10-ce-seed0 stage-one 50/200 61.2% 42 s; waiting ",
    ]
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    with standing.Board(terminal) as board:
        board.show(now)
    shown = terminal.file.getvalue()
    for part in ("50/200", "61.2%", "42 s", "69,789 images/s in sum"):
        assert part in shown


def test_the_time_left_is_what_is_not_done_at_the_pace_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    pace = here.Pace(4)
    monkeypatch.setattr(fleet, "told", lambda: (0.0, {"a": fleet.Told(passes=60)}))
    assert here._standing(5, pace, {"a": 100, "b": 80}, 0, 2, 99).left is None
    pace.rate = 20
    stands = here._standing(5, pace, {"a": 100, "b": 80}, 0, 2, 99)
    assert (stands.left, stands.to_go) == (6, {"a": 8})
    assert here._standing(5, pace, {"a": 100, "b": 80}, 0, 2, 3).left == 3
