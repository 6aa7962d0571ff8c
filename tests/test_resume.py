"""A run that is killed with SIGKILL, again and again, ends with the bits of one that was not."""

import os
import random
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import PROCESSES
from training import assert_same, few_digits, no_fingerprint, recipe

from gclib import records, train
from gclib.train import checkpoints, loop, runs
from gclib.train.device import can_compile
from gclib.train.loop import Trainer
from gclib.train.making import make_stage
from gclib.train.plan import stage_plan
from gclib.train.steps import Steps


def run(workdir: Path, overrides: dict[str, Any], events: Connection) -> None:
    """Train, and tell the parent of each step, of each save and of each write; `log` gets each epoch begun."""
    runs.fingerprint = no_fingerprint
    loop.BETWEEN_CHECKPOINTS["cpu"] = 0.0

    def telling(event: str, original: Any) -> Any:
        def wrapper(*arguments: Any) -> Any:
            events.send(event)
            return original(*arguments)

        return wrapper

    train_epoch = Trainer.train_epoch

    def logged(trainer: Trainer, epoch: int) -> float:
        with (workdir / "log").open("a") as log:
            log.write(f"{trainer.settings.name} {epoch}\n")
        return train_epoch(trainer, epoch)

    Trainer.train_epoch = logged
    Steps.step = telling("step", Steps.step)
    checkpoints.save = telling("save", checkpoints.save)
    os.fsync = telling("write", os.fsync)
    train.fit(
        recipe("gcl-official", **overrides), few_digits(), seed=0, device="cpu", workdir=workdir, resume=True
    )


def attempt(
    workdir: Path, overrides: dict[str, Any], after: float = float("inf"), at: str = "", delay: float = 0.0
) -> int:
    """Run in a process of its own and return the number of its events.

    With `after`, it is killed `delay` seconds after the first event `at` that follows so many others.
    """
    workdir.mkdir(exist_ok=True)
    here, there = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=run, args=(workdir, overrides, there))
    process.start()
    there.close()
    count = 0
    try:
        while True:
            event = here.recv()
            count += 1
            if count > after and event == at:
                time.sleep(delay)
                process.kill()
                after = float("inf")
    except (EOFError, ConnectionResetError):
        process.join()
    return count if process.exitcode == 0 else -count


def state_of(workdir: Path, overrides: dict[str, Any]) -> list[dict[str, Any]]:
    """All that the checkpoints of the three stages hold, without the seconds that it took."""
    states = []
    for planned in stage_plan(recipe("gcl-official", **overrides), few_digits(), 0):
        state = checkpoints.load(workdir / "stages" / planned.hash)
        assert state is not None
        del state["course"]["seconds"]
        states.append(state)
    return states


def kill_and_compare(folder: Path, kills: int, overrides: dict[str, Any], seed: int = 0) -> None:
    events = attempt(folder / "unbroken", overrides)
    assert events > 0
    rng, broken, begun = random.Random(seed), folder / "broken", []
    for kill in range(kills):
        # Every other kill lands in a checkpoint: in its making, or in its way to the disk.
        at = ("step", "save", "step", "write")[kill % 4]
        delay = rng.uniform(0, {"step": 0.05, "save": 0.04, "write": 0.004}[at])
        share = rng.uniform(0.3, 1.0) * events / (kills + 1)
        assert attempt(broken, overrides, share, at, delay) < 0, "it ended before it was killed"
        begun.append(len((broken / "log").read_text().splitlines()))
    assert attempt(broken, overrides) > 0

    # Started again, it goes on with the epoch that was broken off, or the next: never further back.
    epochs = (broken / "log").read_text().splitlines()
    for line in reversed(begun):
        if line < len(epochs) and epochs[line] == epochs[line - 1]:
            del epochs[line]
    assert epochs == (folder / "unbroken" / "log").read_text().splitlines()

    assert_same(state_of(broken, overrides), state_of(folder / "unbroken", overrides), "stages")
    identity = records.run_identity(
        recipe("gcl-official", **overrides).model_dump(mode="json"), records.DataSummary.of(few_digits()), 0
    )
    first, second = (
        records.load(folder / name / identity / "record.json") for name in ("broken", "unbroken")
    )
    changing = {"course": {"seconds"}}
    assert [s.model_dump(exclude=changing) for s in first.stages] == [
        s.model_dump(exclude=changing) for s in second.stages
    ]
    kept = [
        (folder / name / identity / "stage-one.safetensors").read_bytes() for name in ("broken", "unbroken")
    ]
    assert kept[0] == kept[1]
    assert not list(broken.rglob("*.tmp")), "what a killed process left is cleared"


def test_three_kills(tmp_path: Path) -> None:
    kill_and_compare(tmp_path, 3, {"epochs": 5, "stage-two.epochs": 3})


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2))
def test_thirty_kills(tmp_path: Path, seed: int) -> None:
    kill_and_compare(tmp_path, 30, {"epochs": 40, "stage-two.epochs": 20}, seed)


@pytest.mark.soak
@pytest.mark.skipif(not can_compile(), reason="torch.compile needs a C++ compiler and Python's headers")
def test_a_compiled_run_goes_on_as_it_was_begun(tmp_path: Path) -> None:
    settings = recipe(epochs=2).stages[0]

    def trainer() -> Trainer:
        torch.compiler.reset()  # as a new process would: nothing compiled is left
        stage = make_stage(settings, "cosine", few_digits(), 0, 0, None)
        return Trainer(stage, few_digits(), torch.device("cpu"), "float32", 0, compiled=True)

    unbroken = trainer().run(None, tmp_path / "unbroken")

    class KilledError(Exception):
        pass

    broken = trainer()
    train_epoch = broken.train_epoch

    def killed(epoch: int) -> float:
        if epoch == 1:
            raise KilledError
        return train_epoch(epoch)

    broken.train_epoch = killed
    with pytest.raises(KilledError):
        broken.run(None, tmp_path / "broken")
    state = checkpoints.load(tmp_path / "broken")
    assert state is not None
    assert (state["epoch"], state["compiled"]) == (1, True)
    again = trainer().run(state, tmp_path / "broken")
    for ended in (unbroken, again):
        del ended["course"]["seconds"]
    assert_same(again, unbroken, "state")
