"""Batch norm where a batch is cut into parts: each is normalised by itself, and the running statistics move once."""

from typing import Any

import torch
from torch import Tensor, nn

from gclib.train import world

__all__ = ["RunningStatistics"]


class RunningStatistics:
    """The running statistics of a module: a step moves them once, by the mean over all parts of the batch.

    Each process moves its own by the parts that it takes. Because a moving average is linear, the mean over the
    processes is then what one process that takes all parts would have; `average` makes it so.

    Parameters
    ----------
    module
        Its batch norms.
    """

    def __init__(self, module: nn.Module) -> None:
        self.norms: list[Any] = [one for one in module.modules() if isinstance(one, nn.BatchNorm2d)]

    def begin(self) -> None:
        """Begin a step: in it a part leaves its own statistics, and nothing of those before."""
        self.moving = [norm for norm in self.norms if norm.training]
        self.momenta = [norm.momentum for norm in self.moving]
        for norm in self.moving:
            norm.momentum = 1.0
        self.before = [value.clone() for value in self._values()]
        self.sums = [torch.zeros_like(value) for value in self.before]

    def add(self, share: float) -> None:
        """Add up what a part has left; `share` is its share of the batch's images."""
        if self.sums:
            torch._foreach_add_(self.sums, self._values(), alpha=share)

    def finish(self) -> None:
        """End a step: move the statistics by the parts of this process."""
        momenta = [momentum for momentum in self.momenta for _ in range(2)]
        for value, before, total, momentum in zip(
            self._values(), self.before, self.sums, momenta, strict=True
        ):
            value.copy_(torch.lerp(before, total * world.size(), momentum))
        for norm, momentum in zip(self.moving, self.momenta, strict=True):
            norm.momentum = momentum

    def average(self) -> None:
        """Give all processes the mean of their statistics."""
        if world.size() > 1 and (values := self._values()):
            world.add(values)
            torch._foreach_div_(values, world.size())

    def _values(self) -> list[Tensor]:
        return [value for norm in self.moving for value in (norm.running_mean, norm.running_var)]
