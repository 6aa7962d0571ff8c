"""A training step as one CUDA graph: recorded once, then replayed, so that the host no longer launches each kernel."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from gclib.errors import UserError
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
        changes the same tensors each time. See `gclib.train.loop.Trainer.step`.

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
        """Make one step; the loss is overwritten by the next call.

        Raises
        ------
        UserError
            If the step does something that cannot be recorded.
        """
        self.seen += 1
        if self.seen <= WARM_UP:
            return self._aside(batch)
        if self.batch is None:
            self.batch = _copied(batch)  # the recording reads from these tensors
            self.loss = self._recorded(self.batch)
        for kept, new in zip(_tensors(self.batch), _tensors(batch), strict=True):
            kept.copy_(new)
        self.graph.replay()
        assert self.loss is not None
        return self.loss

    def _recorded(self, batch: Batch) -> Tensor:
        try:
            with torch.cuda.graph(self.graph):
                return self.step(batch)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"a training step of this method cannot be recorded for the GPU ({reason}); expected one that brings "
                "no value to the CPU, as item(), if and an index by a mask do; change it, or use device cpu"
            ) from error

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
