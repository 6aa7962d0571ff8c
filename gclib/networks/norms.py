"""Batch norm, shortcut and ReLU: what stands behind each convolution."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["BatchNorm", "NormReLU", "norm_relu"]


class BatchNorm(nn.BatchNorm2d):
    """Batch norm without the counter of batches: a captured training step holds nothing that counts up.

    Attributes
    ----------
    fused
        Whether `norm_relu` computes it, shortcut and ReLU by the kernels of `gclib.networks.fused`.
    """

    fused = False

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.num_batches_tracked = None

    def _load_from_state_dict(self, state_dict: dict, prefix: str, local_metadata: dict, *rest: Any) -> None:
        # Without a version torch takes the weights for old ones and asks for the counter.
        super()._load_from_state_dict(state_dict, prefix, {**local_metadata, "version": 2}, *rest)


class NormReLU(BatchNorm):
    """Batch norm and ReLU behind it."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        return norm_relu(x, self)


def norm_relu(x: Tensor, norm: BatchNorm, shortcut: Tensor | None = None) -> Tensor:
    """Return the ReLU of the normalised `x` and, added to it before, the shortcut without parameters.

    Parameters
    ----------
    x
        Output of a convolution, ``(B, C, H, W)``; overwritten where nothing reads its old values again.
    norm
        Its batch norm. In training the running statistics move on, as in `torch.nn.BatchNorm2d`.
    shortcut
        ``(B, C, H, W)``, or ``(B, C', s H, s W)`` with fewer channels: then every s-th pixel is taken and zero channels
        are put on both sides (option A of He et al., CVPR 2016).
    """
    # A frozen embedding that needs a gradient is left to torch.
    if norm.fused and x.dtype != torch.float64 and (norm.training or not torch.is_grad_enabled()):
        from gclib.networks.fused import fused_norm_relu  # needs Triton, which not every machine has

        return fused_norm_relu(x, norm, shortcut)
    # In place where nothing reads the old values again: a step is bound by memory, and the bits stay the same.
    out = BatchNorm.forward(norm, x)
    if shortcut is not None:
        out = out.add_(_option_a(shortcut, out))
    return F.relu(out, inplace=True)


def stride_and_padding(shortcut: Tensor, out: Tensor) -> tuple[int, int]:
    """Which pixels option A takes, and how many zero channels it puts on each side."""
    return -(-shortcut.shape[3] // out.shape[3]), (out.shape[1] - shortcut.shape[1]) // 2


def _option_a(shortcut: Tensor, out: Tensor) -> Tensor:
    if shortcut.shape == out.shape:
        return shortcut
    stride, padding = stride_and_padding(shortcut, out)
    return F.pad(shortcut[:, :, ::stride, ::stride], (0, 0, 0, 0, padding, padding))
