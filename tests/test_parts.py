"""A batch in parts, and processes that share them: the run is the same on any number of processes."""

import io
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from processes import PROCESSES
from torch import nn
from training import few_digits, no_fingerprint, recipe, resnet8, same

from gclib import recipes
from gclib.data import LongTailed, load
from gclib.errors import UserError
from gclib.files import lock
from gclib.methods import stage as stages
from gclib.methods.settings import StageSettings
from gclib.methods.stage import Stage
from gclib.train import loop, making, runner, runs, world
from gclib.train.loop import Trainer
from gclib.train.making import make_stage
from gclib.train.parts import RunningStatistics
from gclib.train.plan import stage_plan
from gclib.train.runner import Runner
from gclib.train.steps import Steps

STEPS = -(-len(few_digits().train) // 32)  # of an epoch

NOISE = {"loss.name": "gcl", "loss.parameters": {"noise_scale": 0.5}}

# Noise and mixup in parts with a frozen second stage; weights of classes; statistics that shift; a last batch of one
# image, of which one process has no part; photos in their files, with noise drawn step by step.
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "gcl": (
        "gcl-official",
        {"epochs": 2, "mixup": 0.2, "parts": 2, "stage-two.parts": 2, "stage-two.epochs": 1},
    ),
    "ldam": ("ldam-drw", {"epochs": 2, "parts": 2, "parameters.start": 0.5}),
    "mislas": (
        "mislas",
        {
            "epochs": 1,
            "parts": 2,
            "stage-two.parts": 2,
            "stage-two.epochs": 1,
            "stage-two.parameters.shift": True,
        },
    ),
    "photos": ("ldam", {"epochs": 1, "mixup": 0.2, "parts": 2, "batch_size": 6, **NOISE}),
    "uneven": ("ce", {"epochs": 1, "parts": 2, "batch_size": len(few_digits().train) - 1}),
}


def photos(folder: Path) -> LongTailed:
    """Three classes of photos that a run reads anew for each epoch."""
    rng = np.random.default_rng(0)
    for label, count in enumerate((9, 6, 4)):
        (folder / f"class{label}").mkdir(parents=True, exist_ok=True)
        for number in range(count):
            image = Image.fromarray(rng.integers(0, 256, (70, 90, 3), np.uint8))
            image.save(folder / f"class{label}" / f"{number}.png")
    return load(f"folder:{folder}@66")


def train(folder: Path, run: str) -> dict[str, dict[str, Any]]:
    """Train the stages of one of `RUNS`; return their states by name and start."""
    name, overrides = RUNS[run]
    data = few_digits()
    if run == "photos":
        os.environ["GCLIB_WORKERS"] = "1"
        stages.NOISE_AT_ONCE = 0  # each step draws its own
        with world.after_the_first():
            data = photos(folder / "images")
    resolved = recipes.get(name).resolve(data, "smoke", **overrides)
    one = Runner.on("cpu", resolved, data, 3)
    return {f"{p.settings.name} {p.start}": state for p, state in one.stages(folder / run, resume=True)}


def process(
    rank: int, size: int, port: int, work: Callable[..., Any], arguments: tuple, answer: Connection
) -> None:
    """Be a process among others: do the work and send what comes of it."""
    multiprocessing.set_start_method("fork", force=True)  # readers are forked, as those of any run
    for module in (making, runner):
        module.make_network = resnet8  # of a part of one image it has several pixels to normalise over
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in names.items()}, MASTER_ADDR="localhost")
    torch.set_num_threads(1)
    try:
        with world.joined(on_gpu=False):
            found = work(*arguments)
    except UserError as error:
        found = str(error)
    buffer = io.BytesIO()
    torch.save(found, buffer)
    answer.send_bytes(buffer.getvalue())


def together(size: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What each of several processes makes of some work; None of one that was killed, an error of one that failed."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    ends = [PROCESSES.Pipe() for _ in range(size)]
    started = []
    for rank, (_, answer) in enumerate(ends):
        one = PROCESSES.Process(target=process, args=(rank, size, port, work, arguments, answer))
        one.start()
        answer.close()
        started.append(one)
    found = []
    for mine, _ in ends:
        try:
            found.append(torch.load(io.BytesIO(mine.recv_bytes())) if mine.poll(60) else None)
        except EOFError:
            found.append(None)
    for one in started:
        one.join(30)
        assert one.exitcode is not None
    return found


def train_all(folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
    return {run: train(folder, run) for run in RUNS}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, Any]]]:
    """All `RUNS` by one process."""
    return together(1, train_all, tmp_path_factory.mktemp("alone"))[0]


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes train."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def shared(shared_folder: Path) -> list[dict[str, dict[str, dict[str, Any]]]]:
    """All `RUNS` by two processes."""
    return together(2, train_all, shared_folder)


def assert_same_predictions(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Check the outcomes of two states: all that is counted is equal, what is confidence agrees to the last digits."""
    for kind in ("last", "best"):
        one, other = dict(first[kind]), dict(second[kind])
        assert one.pop("ece") == pytest.approx(other.pop("ece"), rel=1e-12)
        bins, others = one.pop("reliability"), other.pop("reliability")
        assert bins["images"] == others["images"]
        assert bins["confidence"] == pytest.approx(others["confidence"], rel=1e-12)
        assert one == other


def distance(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    """Greatest relative distance of two sets of weights."""
    assert first.keys() == second.keys()
    return max(float((first[k] - second[k]).norm() / first[k].norm().clamp_min(1e-30)) for k in first)


@pytest.mark.parametrize("run", RUNS)
def test_two_processes_are_one(run: str, alone: dict, shared: list) -> None:
    assert shared[0][run].keys() == alone[run].keys()
    for name, expected in alone[run].items():
        first, second = (states[run][name] for states in shared)
        assert first["course"] | {"seconds": 0} == expected["course"] | {"seconds": 0}, name
        assert_same_predictions(first, expected)
        assert distance(first["weights"], expected["weights"]) < 1e-15, name
        assert distance(first["best_weights"], expected["best_weights"]) < 1e-15, name
        assert same(first["weights"], second["weights"])
        assert torch.equal(first["generator"], expected["generator"])
        assert first["processes"] == 2
        assert "processes" not in expected


def killed(folder: Path, rank: int) -> None:
    """Train until the second step after the first epoch of stage one; there a process is killed."""
    made, step = [], Steps.step

    def watched(steps: Steps, parts: Any) -> torch.Tensor:
        made.append(1)
        if len(made) == STEPS + 2 and world.rank() == rank:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(steps, parts)

    Steps.step = watched
    loop.BETWEEN_CHECKPOINTS["cpu"] = 0.0
    train(folder, "gcl")


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_killed_run_goes_on_with_another_number_of_processes(
    before: int, after: int, alone: dict, tmp_path: Path
) -> None:
    ended = together(before, killed, tmp_path, before - 1)
    assert ended[-1] is None
    assert all("lost the others" in text for text in ended[:-1])
    assert not list(tmp_path.rglob(".*.tmp"))
    found = together(after, train, tmp_path, "gcl")[0]
    for name, expected in alone["gcl"].items():
        assert_same_predictions(found[name], expected)
        assert found[name]["course"]["loss"] == pytest.approx(expected["course"]["loss"], rel=1e-13)
        assert distance(found[name]["weights"], expected["weights"]) < 1e-14
    assert found["stage-one scratch"]["processes"] == 2


def test_the_page_finds_the_stages_done_and_the_record_says_how_many_trained(
    shared_folder: Path, shared: list, epochs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (making, runner):
        monkeypatch.setattr(module, "make_network", resnet8)
    monkeypatch.setattr(runs, "fingerprint", no_fingerprint)
    name, overrides = RUNS["ldam"]
    options: dict[str, Any] = {"seed": 3, "device": "cpu", "workdir": shared_folder / "ldam"}
    record = runs.fit(recipe(name, **overrides), few_digits(), **options)
    assert epochs == []
    assert record.environment.processes == 2
    assert record.environment.model_dump()["processes"] == 2
    alone = record.environment.model_copy(update={"processes": 1})
    assert "processes" not in alone.model_dump()


def test_a_first_stage_alone_asks_only_that_its_own_parts_can_be_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "size", lambda: 2)
    run = Runner.on("cpu", recipe("gcl-official", parts=2), few_digits(), 0)
    with pytest.raises(
        UserError, match=r"parts 1 of stage-two cannot .* --first-stage and the others with one"
    ):
        next(run.stages(tmp_path, True))
    monkeypatch.setattr(world, "agree", lambda *_: None)
    monkeypatch.setattr(Runner, "stage", lambda *_: {"trained": True})
    assert [planned.position for planned, _ in run.stages(tmp_path, True, first_alone=True)] == [0]


def refusals(folder: Path) -> list[str]:
    """What is said when parts cannot be shared, processes run different things, a loss is nan in one of them."""
    said = []

    def note(work: Callable[[], Any]) -> None:
        try:
            work()
        except UserError as error:
            said.append(str(error))

    def start(seed: int = 3, **overrides: Any) -> list[Any]:
        return list(Runner.on("cpu", recipe("ce", **overrides), few_digits(), seed).stages(folder, True))

    note(lambda: start(parts=3))
    note(lambda: start(parts=2, seed=world.rank()))
    step = Steps.step
    if world.rank() == 1:
        Steps.step = lambda steps, parts: step(steps, parts) * torch.nan
    note(lambda: start(parts=2))
    Steps.step = step
    # The last, for the process that cannot hold the folder ends.
    if world.rank() == 1:
        note(lambda: start(parts=2, epochs=1))
        return said
    held = stage_plan(recipe("ce", parts=2, epochs=1), few_digits(), 3)[0].hash
    with lock(folder / "stages" / held, "busy"):
        note(lambda: start(parts=2, epochs=1))
    return said


def test_what_one_process_refuses_ends_all_in_one_line(tmp_path: Path) -> None:
    first, second = together(2, refusals, tmp_path)
    for uneven, other, diverged, _ in (first, second):
        assert "parts 3 of stage-one cannot be shared by 2 processes" in uneven
        assert "overrides such as stage-one.parts=2" in uneven
        assert "data, seed, device, threads) of process 1 is not that of process 0" in other
        assert f"the loss is nan in epoch 1, batch 1 of {STEPS}" in diverged
    assert "is in use by another run" in first[-1]
    assert "process 1 lost the others" in second[-1]
    assert not list(tmp_path.rglob("*.pt"))


@pytest.mark.parametrize("name", ["hybrid-sc", "tde", "bbn"])
def test_methods_that_couple_the_images_of_a_batch_take_no_parts(name: str) -> None:
    with pytest.raises(UserError, match=r"was given parts 2, but it couples .*; expected parts 1"):
        recipe(name, parts=2)


def test_parts_are_an_override_and_say_nothing_where_there_is_one() -> None:
    plain, cut = recipe("gcl-official"), recipe("gcl-official", **{"parts": 4, "stage-two.parts": 2})
    assert [stage.parts for stage in cut.stages] == [4, 2]
    assert not any("parts" in stage for stage in plain.model_dump()["stages"])
    assert recipe("gcl-official", parts=1).stages == plain.stages
    with pytest.raises(UserError, match=r"33 parts of a batch of 32; expected at most one for each image"):
        recipe("ce", parts=33)


def test_bounds_cover_a_batch_and_no_part_is_empty() -> None:
    settings = StageSettings(name="s", method="train", epochs=1, batch_size=32, parts=8)
    for images in range(1, 33):
        bounds = settings.bounds(images)
        assert [start for start, _ in bounds] + [images] == [0] + [stop for _, stop in bounds]
        assert len(bounds) == min(images, 8)
        assert max(b - a for a, b in bounds) - min(b - a for a, b in bounds) <= 1


def stage(**settings: Any) -> Stage:
    values = {"name": "s", "method": "train", "epochs": 1, "batch_size": 32, "learning_rate": 0.05}
    return make_stage(StageSettings(**{**values, **settings}), "linear", few_digits(), 0, 0, None)


def test_mixup_stays_within_a_part_and_nothing_else_is_drawn_otherwise() -> None:
    whole, cut = (stage(mixup=1.0, parts=parts).draw(torch.Generator().manual_seed(0)) for parts in (1, 3))
    for name in ("indices", "offsets", "flips"):
        assert torch.equal(getattr(whole, name), getattr(cut, name))
    for start, stop in StageSettings(name="s", method="train", epochs=1, batch_size=32, parts=3).bounds(32):
        assert cut.partners[start:stop].sort().values.tolist() == list(range(stop - start))
    assert len(cut.weights) == len(whole.weights) == STEPS


def test_a_step_is_the_gradient_of_the_parts_losses_by_their_shares() -> None:
    whole, by_hand = stage(parts=3, weight_decay=0.0, momentum=0.0), stage(parts=3)
    trainer = Trainer(whole, few_digits(), torch.device("cpu"), "float64", 0)
    assert trainer.optimizer is not None
    trainer.optimizer.param_groups[0]["lr"].fill_(1 / 16)  # a rate that float32 holds
    draws = whole.draw(torch.Generator().manual_seed(0))
    by_hand.double().train()
    loss, statistics = torch.zeros((), dtype=torch.float64), []
    norm = by_hand.network.embedding[1]
    before = norm.running_var.clone()
    for start, stop in ((0, 10), (10, 21), (21, 32)):
        part = trainer.train_set.batch(draws, torch.arange(start, stop), torch.tensor([0]))
        norm.running_var.copy_(before)
        share = (stop - start) / 32 * by_hand.loss(part)
        share.backward()
        loss += share.detach()
        statistics.append((stop - start) / 32 * (norm.running_var - 0.9 * before) / 0.1)
    whole.train()
    trainer.steps.draws, trainer.steps.losses = draws, torch.zeros(STEPS, dtype=torch.float64)
    trainer.steps.next_step(32)
    assert trainer.steps.losses[0].item() == pytest.approx(loss.item(), rel=1e-14)
    for mine, theirs in zip(whole.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs - theirs.grad / 16, rtol=0, atol=1e-13)
    moved = whole.network.embedding[1]
    torch.testing.assert_close(moved.running_var, 0.9 * before + 0.1 * sum(statistics), rtol=1e-13, atol=0)
    assert moved.momentum == 0.1


def test_statistics_of_one_part_are_those_of_torch() -> None:
    mine, theirs = nn.BatchNorm2d(3).double(), nn.BatchNorm2d(3).double()
    moving = RunningStatistics(mine)
    for seed in range(3):
        x = 1 + 3 * torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(seed)).double()
        moving.begin()
        assert torch.equal(mine(x), theirs(x))
        moving.add(1.0)
        moving.finish()
    torch.testing.assert_close(mine.running_mean, theirs.running_mean, rtol=1e-14, atol=0)
    torch.testing.assert_close(mine.running_var, theirs.running_var, rtol=1e-14, atol=0)
