"""A training step as one CUDA graph: recorded once, then replayed, so that the host no longer launches each kernel."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from gclib.methods.stage import Batch

__all__ = ["CapturedStep"]

# Before the recording, for autograd, optimiser and libraries to have made what they keep. They are steps like others.
WARM_UP = 3


class CapturedStep:
    """Runs the first `WARM_UP` batches as they are written, records the step then, and replays it for all others.

    Parameters
    ----------
    step
        Takes a batch on a CUDA device and returns the loss, a scalar: a fixed function of tensors, which reads and
        changes the same tensors each time. See `gclib.loop.Trainer.step`.

    Notes
    -----
    All batches must be of one shape. A tensor that the step reads besides its batch may be changed in place between
    calls; one that is put in its place is not seen.
    """

    def __init__(self, step: Callable[[Batch], Tensor]) -> None:
        self.step, self.seen = step, 0
        self.graph = torch.cuda.CUDAGraph()
        self.batch: Batch | None = None
        self.loss: Tensor | None = None

    def __call__(self, batch: Batch) -> Tensor:
        """Make one step; the loss is overwritten by the next call."""
        self.seen += 1
        if self.seen <= WARM_UP:
            return self._aside(batch)
        if self.batch is None:
            self.batch = _copied(batch)  # the recording reads from these tensors
            with torch.cuda.graph(self.graph):
                self.loss = self.step(self.batch)
        for kept, new in zip(_tensors(self.batch), _tensors(batch), strict=True):
            kept.copy_(new)
        self.graph.replay()
        assert self.loss is not None
        return self.loss

    def _aside(self, batch: Batch) -> Tensor:
        # On a stream of its own, as torch asks for before a recording.
        here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            loss = self.step(batch)
        here.wait_stream(aside)
        return loss


def _tensors(batch: Batch) -> list[Tensor]:
    """The tensors of a batch, those of further streams after its own."""
    own = [value for value in vars(batch).values() if isinstance(value, Tensor)]
    return own + _tensors(batch.other) if batch.other else own


def _copied(batch: Batch) -> Batch:
    own = {name: value.clone() for name, value in vars(batch).items() if isinstance(value, Tensor)}
    return replace(batch, **own, other=_copied(batch.other) if batch.other else None)
