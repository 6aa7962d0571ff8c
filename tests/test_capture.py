"""The recorded step with a stand-in for CUDA's graphs: what runs when, and on which tensors. On a GPU: test_cuda.py."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from gclib.errors import UserError
from gclib.methods.stage import Batch
from gclib.train.capture import WARM_UP, CapturedStep


def batch(value: float) -> Batch:
    """A batch of two streams without mixup; its loss is 3 times the value."""
    one, two = torch.tensor([value]), torch.tensor([2 * value])
    return Batch(one, one, None, None, None, Batch(two, two, None, None, None))


def loss(seen: Batch) -> Tensor:
    assert seen.other is not None
    return (seen.images + seen.other.images).sum()


class Graph:
    """Computes what was recorded anew, from the tensors that were there then."""

    recorded: Any = None
    replays = 0

    def replay(self) -> None:
        seen, result = self.recorded
        result.copy_(loss(seen))
        self.replays += 1


@contextmanager
def recording(graph: Graph) -> Iterator[None]:
    yield


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        def wait_stream(self, other: object) -> None: ...

    for name, value in {
        "CUDAGraph": Graph,
        "graph": recording,
        "Stream": Stream,
        "current_stream": Stream,
        "stream": lambda stream: nullcontext(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)


@pytest.mark.usefixtures("stand_in")
def test_the_first_steps_run_as_written_and_the_rest_are_replayed() -> None:
    written: list[Batch] = []

    def step(seen: Batch) -> Tensor:
        written.append(seen)
        result = loss(seen)
        captured.graph.recorded = (seen, result)
        return result

    captured: Any = CapturedStep(step)
    given = [batch(float(value)) for value in range(1, 9)]
    losses = [float(captured(one)) for one in given]
    assert losses == [3.0 * value for value in range(1, 9)]
    assert written[:WARM_UP] == given[:WARM_UP]
    assert len(written) == WARM_UP + 1  # recorded once
    assert captured.graph.replays == len(given) - WARM_UP
    # The recording has tensors of its own: the batches that came are as they were.
    assert [float(one.images) for one in given] == list(range(1, 9))


@pytest.mark.usefixtures("stand_in")
def test_a_step_that_cannot_be_recorded_says_what_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def refusing(graph: Graph) -> Iterator[None]:
        yield
        raise RuntimeError("operation not permitted when stream is capturing\nmore lines")

    monkeypatch.setattr(torch.cuda, "graph", refusing)
    captured = CapturedStep(loss)
    for value in range(WARM_UP):
        captured(batch(value))
    with pytest.raises(
        UserError, match=r"cannot be recorded .*when stream is capturing\).*device cpu"
    ) as caught:
        captured(batch(1.0))
    assert "\n" not in str(caught.value)
