"""What is recorded, with a stand-in for CUDA's graphs: what runs when, and on which tensors. On a GPU: test_cuda.py."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from training import few_digits, outcome, recipe

from gclib import recipes, train
from gclib.errors import UserError
from gclib.train.capture import WARM_UP, Captured
from gclib.train.loop import Trainer
from gclib.train.steps import Steps


class Graph:
    """Calls the function anew where a graph would be replayed; what is recorded does not take place."""

    recorded: Any = None
    recordings = replays = 0

    def replay(self) -> None:
        self.replays += 1
        self.recorded()


@pytest.fixture
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def record(captured: Captured) -> None:
        captured.graph.recorded = captured.function
        captured.graph.recordings += 1

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(Captured, "_record", record)


@pytest.mark.usefixtures("_stand_in")
def test_the_first_calls_run_as_written_and_the_rest_are_replayed() -> None:
    seen: list[int] = []
    captured: Any = Captured(lambda: seen.append(len(seen)))
    for _ in range(8):
        captured()
    assert seen == list(range(8))
    assert (captured.graph.recordings, captured.graph.replays) == (1, 8 - WARM_UP)


def test_what_cannot_be_recorded_says_what_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(Graph):
        def capture_begin(self, capture_error_mode: str) -> None:
            assert capture_error_mode == "thread_local"  # other threads go on

        def capture_end(self) -> None:
            raise RuntimeError("operation not permitted when stream is capturing\nmore lines")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Refusing)
    captured = Captured(lambda: None)
    for _ in range(WARM_UP):
        captured()
    with pytest.raises(
        UserError, match=r"cannot be recorded .*when stream is capturing\).*device cpu"
    ) as caught:
        captured()
    assert "\n" not in str(caught.value)


def first_stages() -> list[str]:
    """A recipe for each kind of first stage: it is the code that matters here, not the numbers."""
    kinds = {}
    for name in recipes.names():
        stage = recipe(name).stages[0]
        kinds[stage.method, stage.loss.name, bool(stage.mixup), json.dumps(stage.parameters)] = name
    return list(kinds.values())


def addresses(steps: Steps) -> tuple[int, ...]:
    """Where everything lies that a recorded step reads and changes."""
    kept = [steps.losses, steps.position, *steps.stage.parameters(), *steps.stage.buffers()]
    draws = steps.draws
    while draws:
        kept += [value for value in vars(draws).values() if isinstance(value, torch.Tensor)]
        draws = draws.other
    assert steps.optimizer is not None
    for group in steps.optimizer.param_groups:
        kept += [group["lr"], *(steps.optimizer.state[p]["momentum_buffer"] for p in group["params"])]
    return tuple(value.data_ptr() for value in kept)


@pytest.mark.usefixtures("_stand_in", "without_fingerprint", "small_networks")
@pytest.mark.parametrize("name", first_stages())
def test_what_a_step_reads_stays_where_it_is(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All epochs of a stage read and change the same tensors, so a recording sees all that changes."""
    settings = recipe(name, batch_size=64)
    seen: dict[int, set[tuple[int, ...]]] = {}
    next_step = Steps.next_step

    def watched(steps: Steps, images: int) -> None:
        next_step(steps, images)
        if steps.recorded[images].calls > 1:
            seen.setdefault(id(steps), set()).add(addresses(steps))

    class Recording(Trainer):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.steps.recording = True

    class Event:
        def query(self) -> bool:
            return True

        def synchronize(self) -> None: ...

    class Stream:
        def record_event(self) -> Event:
            return Event()

    options: dict[str, Any] = {"seed": 0, "device": "cpu"}
    plain = train.fit_first_stage(settings, few_digits(), **options, workdir=tmp_path / "plain")
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(Steps, "next_step", watched)
    recorded = train.fit_first_stage(
        settings, few_digits(), **options, workdir=tmp_path / "recorded", trainer=Recording
    )
    assert outcome(recorded) == outcome(plain)
    assert seen
    assert all(len(places) == 1 for places in seen.values())
