"""What a device does again and again in a stage: a training step with the making of its batch, and the test pass.

On a GPU each is recorded once as a CUDA graph and replayed, so that the host launches one thing and not hundreds.
"""

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gclib.methods.images import Batch, Cut, Draws, Images
from gclib.methods.stage import Stage
from gclib.train.capture import Captured
from gclib.train.fleet import arrived, pause, reached

__all__ = ["Steps"]

# Steps of one run that are put in the GPU's queue at a time, and how many such chunks at most: an epoch would fill it.
CHUNK, AHEAD = 8, 2


class Steps:
    """The steps of a stage on a device, and its test passes.

    Parameters
    ----------
    stage
        On the device.
    optimizer
        Of its parameters; None for a stage that trains nothing.
    train_set, test_set
        On the device.
    compiled
        Whether whole training batches go through `torch.compile`.
    """

    def __init__(
        self,
        stage: Stage,
        optimizer: torch.optim.Optimizer | None,
        train_set: Images,
        test_set: Images,
        compiled: bool,
    ) -> None:
        self.stage, self.optimizer = stage, optimizer
        self.train_set, self.test_set = train_set, test_set
        self.compiled = compiled
        self.loss = torch.compile(stage.loss, dynamic=False) if compiled else stage.loss
        self.device = train_set.labels.device
        self.recording = self.device.type == "cuda" and train_set.recordable and test_set.recordable
        self.recorded: dict[str | int, Captured] = {}
        # What one step differs in from the next; on a GPU the same tensors in every epoch, which a recorded step reads.
        self.draws: Draws | None = None
        self.position = torch.zeros(1, dtype=torch.int64, device=self.device)
        self.losses = self.outputs = torch.empty(0)

    def epoch(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Make all steps of an epoch; return their losses and numbers of images, float64 ``(steps,)`` on the CPU."""
        count, size = len(draws.indices), self.stage.settings.batch_size
        cuts = [Cut(k, start, min(start + size, count)) for k, start in enumerate(range(0, count, size))]
        self.draws = self.train_set.begin(draws, cuts, self.draws if self.recording else None)
        sizes = [cut.stop - cut.start for cut in cuts]
        if len(self.losses) != len(sizes):
            self.losses = torch.empty(len(sizes), device=self.device, dtype=self.train_set.dtype)
        self.position.zero_()
        ahead: deque[Any] = deque()
        for number, images in enumerate(sizes):
            self._call(images, partial(self.next_step, images))
            if self.device.type == "cpu":
                pause()
            elif number % CHUNK == 0:
                ahead.append(torch.cuda.current_stream().record_event())
                if len(ahead) > AHEAD:
                    reached(ahead.popleft())
        return arrived(self.losses).double(), torch.tensor(sizes, dtype=torch.float64)

    def next_step(self, images: int) -> None:
        """Make the step at `position` with so many images, enter its loss and move on: all of it on the device."""
        assert self.draws is not None
        rows = self.position * self.stage.settings.batch_size + torch.arange(images, device=self.device)
        batch = self.train_set.batch(self.draws, rows, self.position)
        # The last of an epoch is smaller: one more shape is not worth compiling for.
        with self._eager() if images < self.stage.settings.batch_size else nullcontext():
            loss = self.step(batch)
        self.losses.index_copy_(0, self.position, loss[None].to(self.losses.dtype))
        self.position.add_(1)

    def step(self, batch: Batch) -> Tensor:
        """Forward, backward, update: a fixed function of tensors. Returns the loss, detached."""
        assert self.optimizer is not None
        loss = self.loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def test(self) -> Tensor:
        """Test-time logits of the test split, float64 on the CPU, shape ``(N, C)``."""
        self._call("test", self._fill_outputs)
        return arrived(self.outputs).double()

    def logits(self, images: Images) -> Tensor:
        """Test-time logits of images without augmentation, float64 on the CPU, shape ``(N, C)``."""
        return arrived(self._forward(images)).double()

    def release(self) -> None:
        """Let go of what was recorded: it holds the memory of all that is computed on the way."""
        self.recorded.clear()

    def _fill_outputs(self) -> None:
        self.outputs = self._forward(self.test_set)

    @torch.no_grad()
    def _forward(self, images: Images) -> Tensor:
        with self._eager():
            return torch.cat([self.stage(part) for part in images.plain()])

    def _eager(self) -> AbstractContextManager:
        return torch.compiler.set_stance("force_eager") if self.compiled else nullcontext()

    def _call(self, key: str | int, function: Callable[[], None]) -> None:
        if not self.recording:
            function()
            return
        if key not in self.recorded:
            self.recorded[key] = Captured(function)
        self.recorded[key]()
