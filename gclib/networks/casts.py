"""The weights of all convolutions in bfloat16 at once, where autocast launches a kernel for each, and one back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Convolution", "cast_together"]


class Convolution(nn.Conv2d):
    """Convolution without bias; within `cast_together` it takes its weight in bfloat16 from there.

    Parameters
    ----------
    channels_in, channels, stride
        Of a kernel of 3x3 pixels with padding 1.
    """

    cast_weight: Tensor | None = None
    own = ""  # what the kernels of `gclib.networks.convolutions` compute of it: see `compute`

    def __init__(self, channels_in: int, channels: int, stride: int = 1) -> None:
        super().__init__(channels_in, channels, 3, stride, 1, bias=False)

    def compute(self, own: str) -> None:
        """Leave it to torch, or let kernels compute the ``"weight gradient"`` or ``"everything"``, if they can."""
        fits = self.in_channels == self.out_channels in (16, 32, 64) and self.stride == (1, 1)
        self.own = own if fits else ""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        on_four = x.dtype == torch.float64 and x.device.type == "cpu" and x.shape[2:] == (2, 2)
        if on_four and self.stride == (1, 1):
            return _of_four_pixels(x, self.weight)
        if self.cast_weight is None and not (self.own and x.dtype == torch.float32 == self.weight.dtype):
            return super().forward(x)
        weight = self.weight if self.cast_weight is None else self.cast_weight
        x = x.to(weight.dtype)
        if self.own:
            from gclib.networks.convolutions import convolve  # needs Triton, which not every machine has

            return convolve(x, weight, self.own == "everything")
        return F.conv2d(x, weight, None, self.stride, self.padding)


def _of_four_pixels(x: Tensor, weight: Tensor) -> Tensor:
    """A convolution on maps of 2 x 2 pixels as a product of matrices; torch takes 3.7 times as long.

    Each pixel sees all. Without it these are a third of a smoke run on the digits.
    """
    taps = [
        (1 + source // 2 - pixel // 2) * 3 + 1 + source % 2 - pixel % 2
        for source in range(4)
        for pixel in range(4)
    ]
    channels, channels_in = weight.shape[:2]
    every = weight.flatten(2).permute(2, 1, 0).index_select(0, torch.tensor(taps))
    matrix = every.view(4, 4, channels_in, channels).transpose(1, 2).reshape(4 * channels_in, 4 * channels)
    out = x.permute(0, 2, 3, 1).reshape(-1, 4 * channels_in) @ matrix
    return out.view(-1, 2, 2, channels).permute(0, 3, 1, 2)


class _ToBfloat16(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *weights: Tensor) -> tuple[Tensor, ...]:
        return _copies(weights, torch.bfloat16)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return _copies(gradients, torch.float32)


def _copies(tensors: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
    copies = [torch.empty_like(tensor, dtype=dtype) for tensor in tensors]
    torch._foreach_copy_(copies, list(tensors))
    return tuple(copies)


@contextmanager
def cast_together(*modules: nn.Module) -> Iterator[None]:
    """Let the convolutions of some modules compute in bfloat16 in this context, their weights cast in one launch."""
    convolutions = [one for module in modules for one in module.modules() if isinstance(one, Convolution)]
    weights = _ToBfloat16.apply(*(one.weight for one in convolutions))
    for one, weight in zip(convolutions, weights, strict=True):
        one.cast_weight = weight
    try:
        yield
    finally:
        for one in convolutions:
            one.cast_weight = None
