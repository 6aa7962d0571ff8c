"""Runs side by side in one process end as each does alone; what stops one stops no other."""

import itertools
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from training import assert_same, few_digits, outcome, recipe

from gclib import train
from gclib.errors import UserError
from gclib.train import checkpoints
from gclib.train.fleet import Job, Stopped, aside, pause, promised, together
from gclib.train.plan import stage_plan
from gclib.train.steps import Steps

pytestmark = pytest.mark.usefixtures("without_fingerprint", "small_networks")

RUNS = [
    ("ce", 0),
    ("ce", 1),
    ("gcl-official", 0),
    ("ldam-drw", 0),
    ("bbn", 0),
    ("hybrid-sc", 0),
    ("tde", 0),
    ("mislas", 0),
]


def job(name: str, seed: int, workdir: Path, **overrides: Any) -> Job:
    def work() -> Any:
        settings = recipe(name, **overrides)
        return train.fit(settings, few_digits(), seed=seed, device="cpu", workdir=workdir)

    return Job(f"{name} {seed}", work)


def states(workdir: Path) -> dict[str, Any]:
    found = {folder.name: checkpoints.load(folder) for folder in (workdir / "stages").iterdir()}
    for state in found.values():
        assert state is not None
        del state["course"]["seconds"]
        del state["side_by_side"]
    return found


def test_runs_side_by_side_are_the_runs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[int] = []
    step = Steps.step

    def watched(steps: Steps, batch: Any) -> torch.Tensor:
        turns.append(id(steps))
        return step(steps, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Steps, "step", watched)
        jobs = [job(name, seed, tmp_path / "together") for name, seed in RUNS]
        ended = {one.name: result for one, result in together(jobs, lambda: 4)}
    switches = sum(a != b for a, b in itertools.pairwise(turns))
    assert switches > len(turns) / 2  # they take turns
    for place, (name, seed) in enumerate(RUNS):
        alone = job(name, seed, tmp_path / "alone").work()
        mine = ended[f"{name} {seed}"]
        assert [s.last for s in mine.stages] == [s.last for s in alone.stages], name
        assert [s.best for s in mine.stages] == [s.best for s in alone.stages], name
        assert alone.environment.side_by_side == 1
        # Before a later one trains its first epoch, some of those that it came to may have ended.
        beside = {4} if place < 4 else {1, 2, 3, 4}
        assert mine.environment.side_by_side in beside, name
    assert_same(states(tmp_path / "together"), states(tmp_path / "alone"), "stages")


def test_a_run_that_fails_stops_no_other(tmp_path: Path) -> None:
    never = Job("later", lambda: pytest.fail("begun"), frozenset({"ce 0"}))
    jobs = [job("ce", 0, tmp_path, learning_rate=1e6, epochs=10), job("ce", 1, tmp_path), never]
    ended = {one.name: result for one, result in together(jobs, lambda: 2)}
    assert isinstance(ended["ce 0"], UserError)
    assert "lower the learning rate" in str(ended["ce 0"])
    assert ended["ce 1"].stages[0].last.top1 > 10
    assert str(ended["later"]) == "not begun, for ce 0 did not end well"


def test_jobs_wait_for_what_they_need_and_places_are_kept() -> None:
    running, most, order = set[str](), 0, list[str]()

    def work(name: str, turns: int) -> Callable[[], str]:
        def call() -> str:
            nonlocal most
            running.add(name)
            order.append(name)
            most = max(most, len(running))
            for _ in range(turns):
                pause()
            running.remove(name)
            return name

        return call

    jobs = [
        Job("b", work("b", 3), frozenset({"a"})),
        Job("a", work("a", 5)),
        Job("c", work("c", 50)),
        Job("d", work("d", 1)),
    ]
    asked = {"places": 0, "stop": 0}

    def places() -> int:
        asked["places"] += 1
        return 2

    def stop() -> bool:
        asked["stop"] += 1
        return False

    ended = [(one.name, result) for one, result in together(jobs, places, stop)]
    assert order == ["a", "c", "b", "d"]
    assert most == 2
    assert asked["places"] == asked["stop"], "each once a round"
    assert ended == [(name, name) for name in ("a", "b", "d", "c")]


def test_what_waits_for_a_job_that_found_no_time_has_not_failed() -> None:
    jobs = [Job("first", int), Job("second", int, frozenset({"first"}))]
    outcomes = [outcome for _, outcome in together(jobs, lambda: 1, admit=lambda job: False)]
    assert [str(outcome) for outcome in outcomes] == ["not begun, for want of time"] * 2


def test_asked_to_stop_they_stop_after_the_epoch_and_go_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    step = Steps.step
    names = ("ce", "gcl-official", "ldam-drw")
    jobs = [job(name, 0, tmp_path / "broken", epochs=6) for name in names]
    with monkeypatch.context() as patch:
        patch.setattr(Steps, "step", lambda steps, batch: (made.append(1), step(steps, batch))[1])
        ended = [result for _, result in together(jobs, lambda: 2, stop=lambda: len(made) > 18)]
    assert [type(one) for one in ended] == [Stopped] * 3
    folder = tmp_path / "broken" / "stages"
    for name in names[:2]:
        state = checkpoints.load(folder / stage_plan(recipe(name, epochs=6), few_digits(), 0)[0].hash)
        assert state is not None
        assert 0 < state["epoch"] < 6
    dict(together(jobs[:2], lambda: 2))
    for name in names[:2]:
        job(name, 0, tmp_path / "whole", epochs=6).work()
    assert_same(states(tmp_path / "broken"), states(tmp_path / "whole"), "stages")


def test_what_a_thread_raises_is_raised_in_the_run() -> None:
    def fails(value: int) -> int:
        raise UserError(f"no {value}")

    def work() -> str:
        try:
            return str(aside(fails, 3))
        except UserError as error:
            return str(error)

    assert work() == "no 3"
    assert [result for _, result in together([Job("one", work)], lambda: 1)] == ["no 3"]


def test_gradients_stay_off_for_the_one_that_turned_them_off() -> None:
    def without() -> bool:
        with torch.no_grad():
            pause()
            return torch.is_grad_enabled()

    def plain() -> bool:
        pause()
        return torch.is_grad_enabled()

    jobs = [Job("without", without), Job("plain", plain), Job("late", plain)]
    assert {one.name: result for one, result in together(jobs, lambda: 2)} == {
        "without": False,
        "plain": True,
        "late": True,
    }


def test_a_promise_is_made_once_for_all_that_ask() -> None:
    def work() -> uuid.UUID:
        return promised("name", uuid.uuid4)()  # another one each time it is called

    assert len({result for _, result in together([Job("one", work), Job("two", work)], lambda: 2)}) == 1
    assert promised("alone", lambda: 3)() == 3


def test_an_interrupt_ends_all_of_them(tmp_path: Path) -> None:
    closed: list[str] = []

    def endless() -> None:
        try:
            while True:
                pause()
        finally:
            closed.append("endless")

    def interrupted() -> None:
        pause()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(together([Job("endless", endless), Job("interrupted", interrupted)], lambda: 2))
    assert closed == ["endless"]
    assert not pause()  # no fleet is left
    assert outcome(train.fit_first_stage(recipe("ce"), few_digits(), seed=0, device="cpu", workdir=tmp_path))
