"""Convolutions of 3x3 pixels between as many channels as before, 16, 32 or 64, as Triton kernels.

Libraries compute so few channels in tiles made for many. Here a program sees a tile of pixels with all channels, and
reads the nine pixels around each from the cache. A tensor is ``(pixels, C)`` and a weight ``(C_out, 9, C_in)``, for
both are channels-last. Sums are float32, added up in one order, without atomics.

With TRITON_INTERPRET=1 in the environment before Triton is imported the same code runs on the CPU.
"""

from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["convolve"]

INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)  # as integers it multiplies the bits of bfloat16
TILES, AT_ONCE = 4, 128  # of a piece, of partial sums: pieces enough for all of a GPU, and soon added up
SIZES = ["pixels", "height", "width", "tiles", "pieces", "size"]  # not worth a kernel of its own each


@triton.jit
def _around(
    x, pixel, channel, pixels, height, width, DOWN: tl.constexpr, RIGHT: tl.constexpr, C: tl.constexpr
):
    """The pixels that lie so far below and to the right of some; zero outside of the image."""
    row, column = (pixel // width) % height + DOWN, pixel % width + RIGHT
    inside = (pixel < pixels) & (row >= 0) & (row < height) & (column >= 0) & (column < width)
    at = (pixel + DOWN * width + RIGHT)[:, None] * C + channel[None, :]
    return tl.load(x + at, mask=inside[:, None], other=0.0)


@triton.jit
def _dot(a, b, total):
    if INTERPRETED:  # the products stay the same, for those of two bfloat16 are exact in float32
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, total, input_precision="ieee")


@triton.jit(do_not_specialize=SIZES)
def forward(
    x, weight, out, pixels, height, width, TRANSPOSED: tl.constexpr, C: tl.constexpr, TILE: tl.constexpr
):
    """A tile of the convolution; `TRANSPOSED`: of the gradient of its input, `x` is then that of its output."""
    pixel, k, n = tl.program_id(0) * TILE + tl.arange(0, TILE), tl.arange(0, C), tl.arange(0, C)
    total = tl.zeros((TILE, C), tl.float32)
    for tap in tl.static_range(9):
        value = _around(x, pixel, k, pixels, height, width, tap // 3 - 1, tap % 3 - 1, C)
        if TRANSPOSED:  # the taps turned round, the channels exchanged
            at = (k[:, None] * 9 + 8 - tap) * C + n[None, :]
        else:
            at = (n[None, :] * 9 + tap) * C + k[:, None]
        total = _dot(value, tl.load(weight + at), total)
    at = pixel[:, None] * C + n[None, :]
    tl.store(out + at, total.to(out.dtype.element_ty), mask=(pixel < pixels)[:, None])


@triton.jit(do_not_specialize=SIZES)
def weight_gradient(
    x, dy, part, pixels, height, width, tiles, C: tl.constexpr, OUT: tl.constexpr, TILE: tl.constexpr
):
    """Sum over some tiles of the gradient of a row of three taps, for `OUT` channels of the output."""
    piece, down = tl.program_id(0), tl.program_id(1)
    channel, out = tl.arange(0, C), tl.program_id(2) * OUT + tl.arange(0, OUT)
    left, middle = tl.zeros((OUT, C), tl.float32), tl.zeros((OUT, C), tl.float32)
    right = tl.zeros((OUT, C), tl.float32)
    for k in range(tiles):
        pixel = (piece * tiles + k) * TILE + tl.arange(0, TILE)
        at = pixel[:, None] * C + out[None, :]
        g = tl.trans(tl.load(dy + at, mask=(pixel < pixels)[:, None], other=0.0))
        left = _dot(g, _around(x, pixel, channel, pixels, height, width, down - 1, -1, C), left)
        middle = _dot(g, _around(x, pixel, channel, pixels, height, width, down - 1, 0, C), middle)
        right = _dot(g, _around(x, pixel, channel, pixels, height, width, down - 1, 1, C), right)
    at = part + ((piece * C + out[:, None]) * 9 + down * 3) * C + channel[None, :]
    tl.store(at, left)
    tl.store(at + C, middle)
    tl.store(at + 2 * C, right)


@triton.jit(do_not_specialize=SIZES)
def fold(part, out, pieces, size, AT_ONCE: tl.constexpr, WIDTH: tl.constexpr):
    """Add up the partial sums."""
    element = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    total = tl.zeros((AT_ONCE, WIDTH), tl.float32)
    for first in range(0, pieces, AT_ONCE):
        piece = first + tl.arange(0, AT_ONCE)[:, None]
        total += tl.load(part + piece * size + element[None, :], mask=piece < pieces, other=0.0)
    tl.store(out + element, tl.sum(total, 0).to(out.dtype.element_ty))


def _sizes(x: Tensor) -> tuple[int, int, int]:
    return x.numel() // x.shape[1], x.shape[2], x.shape[3]


def _convolved(x: Tensor, weight: Tensor, transposed: bool) -> Tensor:
    out, channels, sizes = torch.empty_like(x), x.shape[1], _sizes(x)
    tile = 64 if channels == 64 else 128
    forward[triton.cdiv(sizes[0], tile),](
        x, weight, out, *sizes, TRANSPOSED=transposed, C=channels, TILE=tile, num_warps=4
    )
    return out


def _weight_gradient(x: Tensor, dy: Tensor, weight: Tensor) -> Tensor:
    channels, sizes = x.shape[1], _sizes(x)
    tile, out = 64 if channels == 64 else 128, min(channels, 32)
    found = triton.cdiv(sizes[0], tile)
    tiles = min(TILES, found)
    pieces = triton.cdiv(found, tiles)
    part = torch.empty(pieces, weight.numel(), device=x.device)
    weight_gradient[pieces, 3, channels // out](
        x, dy, part, *sizes, tiles, C=channels, OUT=out, TILE=tile, num_warps=4
    )
    dweight, at_once = torch.empty_like(weight), min(AT_ONCE, triton.next_power_of_2(pieces))
    together = min(4096 // at_once, channels**2)  # elements of a weight, which has nine times as many as that
    fold[weight.numel() // together,](
        part, dweight, pieces, weight.numel(), AT_ONCE=at_once, WIDTH=together, num_warps=4
    )
    return dweight


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, everything: bool) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.everything = everything
        return _convolved(x, weight, False) if everything else F.conv2d(x, weight, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        dy, dx = dy.contiguous(memory_format=torch.channels_last), None
        if ctx.needs_input_grad[0] and ctx.everything:
            dx = _convolved(dy, weight, True)
        elif ctx.needs_input_grad[0]:
            dx = torch.ops.aten.convolution_backward(
                dy, x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True, False, False]
            )[0]
        return dx, _weight_gradient(x, dy, weight) if ctx.needs_input_grad[1] else None, None


def convolve(x: Tensor, weight: Tensor, everything: bool) -> Tensor:
    """Convolve as ``conv2d(x, weight, padding=1)`` does, the gradient of the weight by the kernels.

    Parameters
    ----------
    x, weight
        ``(B, C, H, W)`` and ``(C, C, 3, 3)`` with C 16, 32 or 64, both float32 or both bfloat16.
    everything
        Whether the output and the gradient of `x` come from the kernels, too.
    """
    layout = torch.channels_last
    return _Convolution.apply(
        x.contiguous(memory_format=layout), weight.contiguous(memory_format=layout), everything
    )
