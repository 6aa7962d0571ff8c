"""The Triton kernels of `gclib.networks.fused`.

A step of ResNet-32 is bound by the number of its launches and by memory, and in bfloat16 torch takes no cuDNN batch
norm. A program sees `WIDTH` channels of a tile of pixels; a tensor is ``(pixels, C)``, for it is channels-last. Sums
are added up in one order, without atomics: the numbers do not depend on what runs beside.

With TRITON_INTERPRET=1 in the environment before Triton is imported the same code runs on the CPU.
"""

import triton
import triton.language as tl

__all__ = ["WIDTH", "apply", "backward_apply", "backward_sums", "spread", "sums"]

WIDTH = 16  # channels: 32 bytes of bfloat16, the least that a GPU's memory hands out at once

SIZES = [
    "pixels",
    "tiles",
    "pieces",
    "height",
    "width",
    "height_in",
    "width_in",
]  # not worth a kernel of its own each


@triton.jit
def _load(x, at, inside):
    return tl.load(x + at, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _total(part, row, pieces, channel, C: tl.constexpr, PIECES: tl.constexpr):
    """Add up one of the two rows of partial sums, ``(WIDTH,)``."""
    piece = tl.arange(0, PIECES)[:, None]
    return tl.sum(_load(part, (piece * 2 + row) * C + channel[None, :], piece < pieces), 0)


@triton.jit
def _option_a(pixel, height, width, height_in, width_in, STRIDE: tl.constexpr):
    """Pixel of the shortcut that belongs to a pixel of the output."""
    column, row, image = pixel % width, (pixel // width) % height, pixel // (width * height)
    return (image * height_in + row * STRIDE) * width_in + column * STRIDE


@triton.jit(do_not_specialize=SIZES)
def sums(x, part, pixels, tiles, C: tl.constexpr, TILE: tl.constexpr, WIDTH: tl.constexpr):
    """Sums of ``x - pivot`` and of its squares over some tiles."""
    piece, channel = tl.program_id(0), tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    pivot = tl.load(x + channel).to(tl.float32)  # the first pixel: near the mean, so that nothing cancels
    first, second = tl.zeros((TILE, WIDTH), tl.float32), tl.zeros((TILE, WIDTH), tl.float32)
    for k in range(tiles):
        pixel = (piece * tiles + k) * TILE + tl.arange(0, TILE)[:, None]
        inside = pixel < pixels
        value = tl.where(inside, _load(x, pixel * C + channel[None, :], inside) - pivot[None, :], 0.0)
        first += value
        second += value * value
    tl.store(part + piece * 2 * C + channel, tl.sum(first, 0))
    tl.store(part + (piece * 2 + 1) * C + channel, tl.sum(second, 0))


@triton.jit(do_not_specialize=SIZES)
def apply(
    x,
    part,
    weight,
    bias,
    running_mean,
    running_var,
    shortcut,
    out,
    saved,
    pixels,
    pieces,
    momentum,
    eps,
    height,
    width,
    height_in,
    width_in,
    TRAINING: tl.constexpr,
    SHORTCUT: tl.constexpr,
    STRIDE: tl.constexpr,
    PADDING: tl.constexpr,
    PIECES: tl.constexpr,
    C: tl.constexpr,
    TILE: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Normalise a tile, add the shortcut, rectify; the first program keeps the statistics."""
    tile, channel = tl.program_id(0), tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    if TRAINING:
        shift = _total(part, 0, pieces, channel, C, PIECES) / pixels
        var = tl.maximum(_total(part, 1, pieces, channel, C, PIECES) / pixels - shift * shift, 0.0)
        mean = tl.load(x + channel).to(tl.float32) + shift
    else:
        mean, var = tl.load(running_mean + channel), tl.load(running_var + channel)
    scale = 1.0 / tl.sqrt(var + eps)
    pixel = tile * TILE + tl.arange(0, TILE)[:, None]
    at, inside = pixel * C + channel[None, :], pixel < pixels
    value = (_load(x, at, inside) - mean[None, :]) * scale[None, :]
    value = value * tl.load(weight + channel)[None, :] + tl.load(bias + channel)[None, :]
    if SHORTCUT:
        if STRIDE == 1 and PADDING == 0:
            value += _load(shortcut, at, inside)
        else:
            source, C_IN = channel[None, :] - PADDING, C - 2 * PADDING
            there = _option_a(pixel, height, width, height_in, width_in, STRIDE) * C_IN + source
            value += _load(shortcut, there, inside & (source >= 0) & (source < C_IN))
    tl.store(out + at, tl.maximum(value, 0.0).to(out.dtype.element_ty), mask=inside)
    if TRAINING:  # noqa: SIM102 - decided as it is compiled
        if tile == 0:
            tl.store(saved + channel, mean)
            tl.store(saved + C + channel, scale)
            unbiased = var * (pixels / (pixels - 1.0))
            old_mean, old_var = tl.load(running_mean + channel), tl.load(running_var + channel)
            tl.store(running_mean + channel, old_mean + momentum * (mean - old_mean))
            tl.store(running_var + channel, old_var + momentum * (unbiased - old_var))


@triton.jit
def _normalised(x, saved, at, inside, channel, C: tl.constexpr):
    value = _load(x, at, inside) - tl.load(saved + channel)[None, :]
    return tl.where(inside, value * tl.load(saved + C + channel)[None, :], 0.0)


@triton.jit
def _rectified(g, value, weight, bias, channel):
    """Gradient before a ReLU without shortcut: what it let through is worked out again, a tensor less to read."""
    return tl.where(value * tl.load(weight + channel)[None, :] + tl.load(bias + channel)[None, :] > 0, g, 0.0)


@triton.jit(do_not_specialize=SIZES)
def backward_sums(
    dy,
    other,
    x,
    out,
    saved,
    weight,
    bias,
    gradient,
    part,
    pixels,
    tiles,
    OTHER: tl.constexpr,
    SHORTCUT: tl.constexpr,
    C: tl.constexpr,
    TILE: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Sums for the gradients of bias and weight over some tiles; keeps the gradient before the ReLU.

    It is kept where a shortcut needs it, or where it is the sum of two.
    """
    piece, channel = tl.program_id(0), tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    first, second = tl.zeros((TILE, WIDTH), tl.float32), tl.zeros((TILE, WIDTH), tl.float32)
    for k in range(tiles):
        pixel = (piece * tiles + k) * TILE + tl.arange(0, TILE)[:, None]
        at, inside = pixel * C + channel[None, :], pixel < pixels
        g, value = _load(dy, at, inside), _normalised(x, saved, at, inside, channel, C)
        if OTHER:
            g += _load(other, at, inside)
        if SHORTCUT:
            g = tl.where(_load(out, at, inside) > 0, g, 0.0)
        else:
            g = _rectified(g, value, weight, bias, channel)
        if OTHER or SHORTCUT:
            tl.store(gradient + at, g.to(gradient.dtype.element_ty), mask=inside)
        first += g
        second += g * value
    tl.store(part + piece * 2 * C + channel, tl.sum(first, 0))
    tl.store(part + (piece * 2 + 1) * C + channel, tl.sum(second, 0))


@triton.jit(do_not_specialize=SIZES)
def backward_apply(
    dy,
    x,
    saved,
    weight,
    bias,
    part,
    dx,
    dweight,
    dbias,
    pixels,
    pieces,
    KEPT: tl.constexpr,
    PIECES: tl.constexpr,
    C: tl.constexpr,
    TILE: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Gradient of x, and those of weight and bias. `KEPT`: `dy` is the gradient before the ReLU already."""
    tile, channel = tl.program_id(0), tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    db, dw = _total(part, 0, pieces, channel, C, PIECES), _total(part, 1, pieces, channel, C, PIECES)
    pixel = tile * TILE + tl.arange(0, TILE)[:, None]
    at, inside = pixel * C + channel[None, :], pixel < pixels
    g, value = _load(dy, at, inside), _normalised(x, saved, at, inside, channel, C)
    if not KEPT:
        g = _rectified(g, value, weight, bias, channel)
    g = g - (db / pixels)[None, :] - value * (dw / pixels)[None, :]
    g = g * (tl.load(weight + channel) * tl.load(saved + C + channel))[None, :]
    tl.store(dx + at, g.to(dx.dtype.element_ty), mask=inside)
    if tile == 0:
        tl.store(dweight + channel, dw)
        tl.store(dbias + channel, db)


@triton.jit(do_not_specialize=SIZES)
def spread(
    gradient,
    dshortcut,
    pixels,
    height,
    width,
    height_in,
    width_in,
    STRIDE: tl.constexpr,
    PADDING: tl.constexpr,
    C: tl.constexpr,
    TILE: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Gradient of an option-A shortcut: zero where no pixel was taken. `pixels` and `C` are the shortcut's."""
    pixel = tl.program_id(0) * TILE + tl.arange(0, TILE)[:, None]
    channel = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)[None, :]
    column, row, image = pixel % width_in, (pixel // width_in) % height_in, pixel // (width_in * height_in)
    taken = (pixel < pixels) & (column % STRIDE == 0) & (row % STRIDE == 0)
    there = (image * height + row // STRIDE) * width + column // STRIDE
    value = _load(gradient, there * (C + 2 * PADDING) + channel + PADDING, taken)
    tl.store(dshortcut + pixel * C + channel, value.to(dshortcut.dtype.element_ty), mask=pixel < pixels)
