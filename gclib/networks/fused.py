"""Batch norm, shortcut and ReLU on a GPU: two launches forward and two backward, where torch takes nine and seven."""

from typing import Any

import torch
import triton
from torch import Tensor
from torch.autograd.function import once_differentiable

from gclib.networks import kernels
from gclib.networks.norms import BatchNorm, stride_and_padding

__all__ = ["fused_norm_relu"]

PIECES = 128  # partial sums of a channel at most, for each program of the second launch adds up all of them


class _Cut:
    """How a tensor is cut into tiles and pieces."""

    def __init__(self, x: Tensor) -> None:
        channels = x.shape[1]
        self.pixels = x.numel() // channels
        tile = max(64, triton.next_power_of_2(8192 // channels))
        tiles = triton.cdiv(self.pixels, tile)
        self.tiles = triton.cdiv(tiles, PIECES)  # of a piece
        self.pieces = triton.cdiv(tiles, self.tiles)
        groups = channels // kernels.WIDTH
        self.by_tile, self.by_piece = (tiles, groups), (self.pieces, groups)
        self.constants = {"C": channels, "TILE": tile, "WIDTH": kernels.WIDTH, "num_warps": tile // 64}


def _apply_norm(x: Tensor, norm: BatchNorm, shortcut: Tensor | None, part: Tensor, saved: Tensor) -> Tensor:
    cut, out = _Cut(x), torch.empty_like(x)
    source = x if shortcut is None else shortcut
    stride, padding = stride_and_padding(source, x)
    kernels.apply[cut.by_tile](
        x,
        part,
        norm.weight,
        norm.bias,
        norm.running_mean,
        norm.running_var,
        source,
        out,
        saved,
        cut.pixels,
        cut.pieces,
        norm.momentum,
        norm.eps,
        *x.shape[2:],
        *source.shape[2:],
        TRAINING=norm.training,
        SHORTCUT=shortcut is not None,
        STRIDE=stride,
        PADDING=padding,
        PIECES=PIECES,
        **cut.constants,
    )
    return out


class _NormReLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, shortcut: Tensor | None, norm: BatchNorm
    ) -> tuple[Tensor, Tensor]:
        cut = _Cut(x)
        part = torch.empty(cut.pieces, 2, x.shape[1], device=x.device)
        saved = torch.empty(2, x.shape[1], device=x.device)
        kernels.sums[cut.by_piece](x, part, cut.pixels, cut.tiles, **cut.constants)
        out = _apply_norm(x, norm, shortcut, part, saved)
        ctx.save_for_backward(x, weight, bias, saved, out)
        ctx.shortcut = None if shortcut is None else (shortcut.shape, shortcut.dtype)
        ctx.set_materialize_grads(False)
        return out, out.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *given: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, bias, saved, out = ctx.saved_tensors
        dy, *other = [g.contiguous(memory_format=torch.channels_last) for g in given if g is not None]
        cut, added = _Cut(x), ctx.shortcut is not None
        kept = added or bool(other)
        part = torch.empty(cut.pieces, 2, x.shape[1], device=x.device)
        dx, dweight, dbias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)
        gradient = torch.empty_like(x) if kept else dy
        kernels.backward_sums[cut.by_piece](
            dy,
            other[0] if other else dy,
            x,
            out,
            saved,
            weight,
            bias,
            gradient,
            part,
            cut.pixels,
            cut.tiles,
            OTHER=bool(other),
            SHORTCUT=added,
            **cut.constants,
        )
        kernels.backward_apply[cut.by_tile](
            gradient,
            x,
            saved,
            weight,
            bias,
            part,
            dx,
            dweight,
            dbias,
            cut.pixels,
            cut.pieces,
            KEPT=kept,
            PIECES=PIECES,
            **cut.constants,
        )
        return dx, dweight, dbias, _shortcut_gradient(gradient, *ctx.shortcut) if added else None, None


def _shortcut_gradient(gradient: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    if shape == gradient.shape:
        return gradient.to(dtype)
    layout = torch.channels_last
    dshortcut = torch.empty(shape, dtype=dtype, device=gradient.device, memory_format=layout)
    stride, padding = stride_and_padding(dshortcut, gradient)
    cut = _Cut(dshortcut)
    kernels.spread[cut.by_tile](
        gradient,
        dshortcut,
        cut.pixels,
        *gradient.shape[2:],
        *shape[2:],
        STRIDE=stride,
        PADDING=padding,
        **cut.constants,
    )
    return dshortcut


def fused_norm_relu(x: Tensor, norm: BatchNorm, shortcut: Tensor | None = None) -> Tensor:
    """Do what `gclib.networks.norms.norm_relu` does, in float32 or bfloat16, channels-last; `x` is kept.

    The output has a twin, which a shortcut takes in its place: the kernels then get the gradients of the convolution
    and of the shortcut one by one, and add them up themselves.
    """
    x = x.contiguous(memory_format=torch.channels_last)
    if shortcut is not None:
        shortcut = getattr(shortcut, "twin", shortcut).contiguous(memory_format=torch.channels_last)
    if norm.training:
        out, out.twin = _NormReLU.apply(x, norm.weight, norm.bias, shortcut, norm)
        return out
    return _apply_norm(x, norm, shortcut, x, x)  # the statistics are there already
