"""How the embedding of a network is computed on a GPU: as torch does it, or by kernels of our own."""

import os
import warnings
from copy import deepcopy
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from gclib.errors import require_one_of
from gclib.networks.base import Network
from gclib.networks.casts import Convolution
from gclib.networks.norms import BatchNorm, norm_relu

__all__ = ["VARIANTS", "choose_variant", "usable", "use"]

BY_KERNELS = {"norms": "", "weight-gradients": "weight gradient", "convolutions": "everything"}
VARIANTS = ("plain", *BY_KERNELS)
"""torch's own operations; `gclib.networks.fused` for batch norm, shortcut and ReLU; beside it
`gclib.networks.convolutions` for the gradients of weights, or for all of the convolutions. Inductor is none of them: it
leaves convolutions, more than half of a step, to the same kernels, and compiles longer than a card is measured."""

SWITCH = "GCLIB_VARIANT"  # the variable of the environment that names the variant, whatever was measured


def choose_variant(device: torch.device) -> str:
    """Return which of `VARIANTS` to use on a device: ``"plain"`` on a CPU and where the kernels fail.

    Parameters
    ----------
    device
        Where the network is computed.

    Raises
    ------
    UserError
        If GCLIB_VARIANT is none of `VARIANTS`.
    """
    variant = os.environ.get(SWITCH) or "norms"
    require_one_of(SWITCH, variant, VARIANTS)
    return variant if usable(device, variant) else "plain"


def usable(device: torch.device, variant: str) -> bool:
    """Whether a device can compute a network by a variant: a CPU by ``"plain"`` alone, a GPU by kernels that agree."""
    if variant == "plain":
        return True
    if device.type != "cuda" or variant not in VARIANTS:
        return False
    return kernels_agree(device, BY_KERNELS[variant])


def use(network: Network, variant: str) -> None:
    """Compute the embedding of a network on a GPU by one of `VARIANTS` from now on.

    Parameters
    ----------
    network
        It stays the same to the outside, its weights and their names too.
    variant
        See `VARIANTS`. In float64 kernels change nothing.
    """
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.fused = variant in BY_KERNELS
        elif isinstance(module, Convolution):
            module.compute(BY_KERNELS.get(variant, ""))
    network.casts_together = variant in BY_KERNELS


@cache
def kernels_agree(device: torch.device, own: str = "") -> bool:
    """Whether the kernels compile on a device, and compute there what torch does in float64.

    Parameters
    ----------
    device
        A GPU.
    own
        What of the convolutions they compute beside the norms; see `gclib.networks.casts.Convolution.compute`.
    """
    try:
        cases = [
            (16, 16, 32),
            (16, 32, 16),
            (32, 64, 8),
        ]  # channels of the shortcut, channels and pixels of x
        distances = [disagreement(device, torch.bfloat16, 32, *case) for case in cases]
        if own:
            distances += [
                convolution_disagreement(device, torch.bfloat16, 32, channels, size, own)
                for _, channels, size in cases
            ]
        return max(distances) < TOLERANCE
    except Exception as error:  # whatever it is, torch's own operations are there
        warnings.warn(f"the GPU kernels of gclib are not used, torch's are ({error!r})", stacklevel=2)
        return False


TOLERANCE = 0.01  # of bfloat16, which rounds to 1 in 256


def disagreement(
    device: torch.device, dtype: torch.dtype, images: int, channels_in: int, channels: int, size: int
) -> float:
    """Greatest relative distance of the kernels' output, gradients and statistics from torch's in float64.

    Parameters
    ----------
    device, dtype
        Of the kernels' tensors.
    images, channels, size
        The shape ``(B, C, H, H)`` of what is normalised.
    channels_in
        Of the shortcut: as many, then it has the same shape, or half of them and twice the height; 0 for none.
    """
    generator = torch.Generator().manual_seed(channels)
    draw = partial(torch.randn, generator=generator)
    side = size if channels_in == channels else 2 * size
    shapes = [(images, channels, size, size), (images, channels_in, side, side)]
    tensors = [draw(shape).to(device, dtype) for shape in shapes if shape[1]]
    dy = draw(shapes[0]).to(device, dtype)
    norm = BatchNorm(channels)
    with torch.no_grad():
        norm.weight.copy_(1 + draw(channels) / 3)
        norm.bias.copy_(draw(channels))
    norm.fused = True
    norms = [norm.to(device), deepcopy(norm).to(device, torch.float64)]
    results: list[list[Any]] = []  # the running statistics are there
    for module, precision in zip(norms, (dtype, torch.float64), strict=True):
        leaves = [(3 + t).to(precision, memory_format=torch.channels_last) for t in tensors]
        inputs = [*(leaf.detach().requires_grad_() for leaf in leaves), module.weight, module.bias]
        out = norm_relu(inputs[0], module, *inputs[1 : len(leaves)])
        gradients = torch.autograd.grad(out, inputs, dy.to(precision))
        with torch.no_grad():
            tested = norm_relu(inputs[0], module.eval(), *inputs[1 : len(leaves)])
        results.append([out.detach(), *gradients, module.running_mean, module.running_var, tested])
    return _greatest_distance(*results)


def convolution_disagreement(
    device: torch.device, dtype: torch.dtype, images: int, channels: int, size: int, own: str
) -> float:
    """Greatest relative distance of a convolution's output and gradients by the kernels from torch's in float64.

    Parameters
    ----------
    device, dtype
        Of the kernels' tensors.
    images, channels, size
        The shape ``(B, C, H, H)`` of the input and the output.
    own
        What they compute; see `gclib.networks.casts.Convolution.compute`.
    """
    generator = torch.Generator().manual_seed(channels)
    shape = (images, channels, size, size)
    x, dy = (torch.randn(shape, generator=generator).to(device, dtype) for _ in range(2))
    weight = torch.randn(channels, channels, 3, 3, generator=generator).to(device, dtype)
    results = []
    for by, precision in ((own, dtype), ("", torch.float64)):
        module = Convolution(channels, channels).to(device, precision)
        module.compute(by)
        given = [
            t.to(precision, memory_format=torch.channels_last).detach().requires_grad_() for t in (x, weight)
        ]
        module.cast_weight = given[1]
        out = module(given[0])
        results.append([out.detach(), *torch.autograd.grad(out, given, dy.to(precision))])
    return _greatest_distance(*results)


def _greatest_distance(found: list[Tensor], exact: list[Tensor]) -> float:
    distances = [(a.double() - b).norm() / b.norm() for a, b in zip(found, exact, strict=True)]
    return float(torch.stack(distances).nan_to_num(torch.inf).max())
