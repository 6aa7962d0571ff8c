"""What a device does again and again in a stage: a training step with the making of its batch, and the test pass.

On a GPU each is recorded once as a CUDA graph and replayed, so that the host launches one thing and not hundreds.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor

from gclib.data import Split
from gclib.methods.images import Batch, Cut, Draws, Images
from gclib.methods.stage import Stage
from gclib.train import world
from gclib.train.capture import Captured
from gclib.train.features import Features, embedded
from gclib.train.fleet import arrived, pause, reached
from gclib.train.parts import RunningStatistics
from gclib.train.resident import Resident
from gclib.train.resident import parts as pieces

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
        if (
            compiled
        ):  # else torch says where CUDA lies and no GPU is seen, which is no news to who trains on a CPU
            logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        self.loss = torch.compile(stage.loss, dynamic=False) if compiled else stage.loss
        self.device = train_set.labels.device
        alone = world.size() == 1
        self.recording = self.device.type == "cuda" and train_set.recordable and test_set.recordable and alone
        # A GPU takes no time for them; of photos they would fill the memory; several processes share the images.
        here = self.device.type == "cpu" and isinstance(test_set, Resident) and alone
        self.keeps_features = here and stage.keeps_features(stage.settings)
        self.statistics = RunningStatistics(stage) if stage.settings.parts > 1 else None
        self.learning: list[torch.nn.Parameter] | None = None
        self.recorded: dict[str | int, Captured] = {}
        # What one step differs in from the next; on a GPU the same tensors in every epoch, which a recorded step reads.
        self.draws: Draws | None = None
        self.position = torch.zeros(1, dtype=torch.int64, device=self.device)
        # Of each step's noise, and which step that is, for the host: see `Draws`.
        self.seeds: Tensor | None = None
        self.number = 0
        self.losses = self.outputs = torch.empty(0)
        self.report: Callable[[int, int], None] | None = (
            None  # takes steps that are done, and those of the epoch
        )

    def epoch(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Make all steps of an epoch; return their losses and numbers of images, float64 ``(steps,)`` on the CPU."""
        count, size = len(draws.indices), self.stage.settings.batch_size
        starts = range(0, count, size)
        sizes = [min(size, count - start) for start in starts]
        cuts = [
            Cut(step, first + start, first + stop)
            for step, (first, images) in enumerate(zip(starts, sizes, strict=True))
            for start, stop in self._own(images)
        ]
        self.seeds = draws.seeds
        self.recording &= self.seeds is None  # a recorded step would draw the same again
        self.draws = self.train_set.begin(draws, cuts, self.draws if self.recording else None)
        if len(self.losses) != len(sizes):
            self.losses = torch.empty(len(sizes), device=self.device, dtype=self.train_set.dtype)
        self.position.zero_()
        ahead: deque[Any] = deque()
        for number, images in enumerate(sizes):
            self.number = number
            self._call(images, partial(self.next_step, images))
            if self.device.type == "cpu":
                pause()
            elif number % CHUNK == 0:
                ahead.append(torch.cuda.current_stream().record_event())
                if len(ahead) > AHEAD:
                    reached(ahead.popleft())
            if self.report:
                self.report(number + 1, len(sizes))
        world.add([self.losses, self.stage.correct])
        if self.statistics:
            self.statistics.average()
        return arrived(self.losses).double(), torch.tensor(sizes, dtype=torch.float64)

    def next_step(self, images: int) -> None:
        """Make the step at `position` with so many images, enter its loss and move on: all of it on the device."""
        assert self.draws is not None
        draws, size = self.draws, self.stage.settings.batch_size
        noise = None if self.seeds is None else self.stage.noise(int(self.seeds[self.number]), images)

        def made(start: int, stop: int) -> tuple[Batch, float]:
            rows = self.position * size + torch.arange(start, stop, device=self.device)
            batch = self.train_set.batch(draws, rows, self.position)
            if noise is not None:  # of the whole batch, so that it is the same however it is cut and shared
                batch = replace(batch, noise=noise[start:stop])
            return batch, (stop - start) / images

        # The last of an epoch is smaller: one more shape is not worth compiling for.
        with self._eager() if images < size else nullcontext():
            loss = self.step(made(*bounds) for bounds in self._own(images))
        self.losses.index_copy_(0, self.position, loss[None].to(self.losses.dtype))
        self.position.add_(1)

    def _own(self, images: int) -> list[tuple[int, int]]:
        """Bounds of those parts of a batch of so many images that this process takes."""
        return self.stage.settings.bounds(images)[world.rank() :: world.size()]

    def step(self, parts: Iterable[tuple[Batch, float]]) -> Tensor:
        """Forward and backward of each part of a batch, update: a fixed function of tensors.

        Parameters
        ----------
        parts
            Those that this process takes, each with its share of the batch's images.

        Returns
        -------
        Tensor
            What they add to the loss, a scalar, detached.
        """
        assert self.optimizer is not None
        self.optimizer.zero_grad(set_to_none=True)
        losses = []
        if self.statistics:
            self.statistics.begin()
        for batch, share in parts:
            loss = self.loss(batch)
            loss = loss if share == 1 else share * loss
            loss.backward()
            losses.append(loss.detach())
            if self.statistics:
                self.statistics.add(share)
        if self.statistics:
            self.statistics.finish()
        self._add_gradients()
        self.optimizer.step()
        return reduce(torch.add, losses or [self.losses.new_zeros(())])

    def _add_gradients(self) -> None:
        """Replace the gradients by their sums over the processes, in one message."""
        if world.size() == 1:
            return
        assert self.optimizer is not None
        if self.learning is None:  # a process without a part, of a small last batch, has no gradients at all
            every = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
            found = torch.tensor([float(parameter.grad is not None) for parameter in every])
            world.add([found])
            self.learning = [parameter for parameter, n in zip(every, found.tolist(), strict=True) if n]
        for parameter in self.learning:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        world.add([parameter.grad for parameter in self.learning if parameter.grad is not None])

    def test(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield test-time logits of the test split, part after part; see `logits`."""
        if self.keeps_features:  # computed at the first test
            self.keeps_features = False
            split = Split(embedded(self.stage.network, self.test_set).numpy(), self.test_set.labels.numpy())
            self.test_set = Features(split, self.device, self.train_set.dtype)
        if self.recording:
            self._call("test", self._fill_outputs)
            yield slice(0, None), arrived(self.outputs).double()
        else:
            yield from self.logits(self.test_set)

    def logits(self, images: Images) -> Iterator[tuple[slice, Tensor]]:
        """Yield places of images, and their test-time logits without augmentation, float64 on the CPU ``(B, C)``.

        Of the images that this process takes, which are all where it is alone.
        """
        count = len(images.labels)
        # Cut as for one process, for other numbers of images give other last bits.
        cuts = list(pieces(count, self.device, images.pixels))[world.rank() :: world.size()]
        chosen = None
        if world.size() > 1:
            every = torch.arange(count)
            chosen = torch.cat([every[:0], *(every[cut] for cut in cuts)])
        for cut, part in zip(cuts, images.plain(chosen), strict=True):
            with torch.no_grad(), self._eager():
                logits = self.stage(part)
            yield cut, arrived(logits).double()

    def release(self) -> None:
        """Let go of what was recorded: it holds the memory of all that is computed on the way."""
        self.recorded.clear()

    @torch.no_grad()
    def _fill_outputs(self) -> None:
        with self._eager():
            self.outputs = torch.cat([self.stage(part) for part in self.test_set.plain()])

    def _eager(self) -> AbstractContextManager:
        return torch.compiler.set_stance("force_eager") if self.compiled else nullcontext()

    def _call(self, key: str | int, function: Callable[[], None]) -> None:
        if not self.recording:
            function()
            return
        if key not in self.recorded:
            self.recorded[key] = Captured(function)
        self.recorded[key]()
