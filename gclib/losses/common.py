"""What the losses share: checks of parameters, precision, a cross-entropy with a lean backward pass."""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor
from torch.autograd.function import once_differentiable

from gclib.errors import UserError


def validated_counts(class_counts: ArrayLike) -> np.ndarray:
    """Return the class counts as float64, shape (C,).

    Raises
    ------
    UserError
        If there is no class, or a count is below 1 or not finite.
    """
    counts = np.asarray(class_counts, dtype=np.float64)
    if counts.ndim != 1 or counts.size == 0:
        raise UserError(f"class counts have shape {counts.shape}, expected (C,); give one number per class")
    wrong = np.flatnonzero(~(np.isfinite(counts) & (counts >= 1)))
    if wrong.size:
        raise UserError(
            f"class {wrong[0]} has {counts[wrong[0]]:g} training images, expected at least 1; "
            "lower the imbalance ratio or leave the class out"
        )
    return counts


def class_weights(weight: ArrayLike | None, num_classes: int | None = None) -> Tensor | None:
    """Return class weights as a float64 tensor (C,) of its own, or None.

    Raises
    ------
    UserError
        If a weight is negative, or there is not one for each of the `num_classes`.
    """
    if weight is None:
        return None
    values = torch.as_tensor(weight, dtype=torch.float64).clone()
    if values.ndim != 1 or num_classes not in (None, len(values)) or not (values >= 0).all():
        expected = f"{num_classes or 'C'} numbers >= 0, one per class"
        raise UserError(f"class weights are {values.tolist()}, expected {expected}; change weight")
    return values


def at_least_float32(logits: Tensor) -> Tensor:
    """Return float16 and bfloat16 logits as float32, others as they are."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def require_range(low: float, high: float, **values: float) -> None:
    """Raise a UserError for a value outside [low, high)."""
    for name, value in values.items():
        if not low <= value < high:
            raise UserError(f"{name} is {value!r}, expected a number in [{low:g}, {high:g}); change {name}")


def require_positive(**values: float) -> None:
    """Raise a UserError for a value that is not above 0 and finite."""
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise UserError(f"{name} is {value!r}, expected a number above 0; change {name}")


def target_gradient(logits: Tensor, target: Tensor) -> Tensor:
    r"""Return how hard the loss pulls at each image's target logit: :math:`-\partial L/\partial z_y = 1-p_y`.

    Eqs. 2 and 3 of GCL (CVPR 2022). Summed over the other classes instead of subtracted from 1, it keeps its
    digits where :math:`p_y` rounds to 1.

    Parameters
    ----------
    logits
        As the softmax takes them, shape (B, C): cosines times their scale.
    target
        True classes, int64, shape (B,).

    Returns
    -------
    Tensor
        Shape (B,), in 0..1: near 1 for an image that is misclassified, near 0 for a saturated one.

    Examples
    --------
    >>> target_gradient(torch.tensor([[0.0, 0.0], [60.0, 0.0]], dtype=torch.float64), torch.tensor([0, 0]))
    tensor([5.0000e-01, 8.7565e-27], dtype=torch.float64)
    """
    return F.softmax(at_least_float32(logits), dim=1).scatter(1, target[:, None], 0).sum(1)


class AdjustedCrossEntropy(torch.autograd.Function):
    """Cross-entropy (B,) of ``logits = scale * cosine + adjustment``, whose gradient belongs to the cosine.

    Written out because this backward pass fills one (B, C) buffer where autograd fills three, and at 8,142
    classes that is a large part of the loss's time. Not differentiable twice.
    """

    @staticmethod
    def forward(ctx: Any, cosine: Tensor, logits: Tensor, target: Tensor, scale: float) -> Tensor:
        """Return the loss of each image; the adjustment is in the logits already."""
        log_p = F.log_softmax(logits, dim=1)
        ctx.save_for_backward(log_p, target)
        ctx.scale = scale
        return F.nll_loss(log_p, target, reduction="none")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        """Return the gradient of the cosine."""
        log_p, target = ctx.saved_tensors
        slope = log_p.exp()  # d loss / d logit_j = p_j - 1[j = y]
        slope.scatter_add_(1, target[:, None], slope.new_full((len(target), 1), -1))
        return slope.mul_(ctx.scale * grad[:, None]), None, None, None
