"""What the losses share: checks, precision, constants of the classes, a cross-entropy with a lean backward pass."""

import warnings
from collections.abc import Callable
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gclib.arrays import PerClass, per_class_numbers, validated_counts
from gclib.errors import UserError

__all__ = [
    "AdjustedCrossEntropy",
    "ClassLoss",
    "CosineLoss",
    "at_least_float32",
    "class_weights",
    "target_gradient",
    "validated_counts",
]


# Torch leaves an image of label -100 out of a loss without a word, and a mean over all images would still count it:
# here such a label is an error, as any other that is no class.
IGNORED = -(2**31)


def class_weights(weight: PerClass | None, num_classes: int | None = None) -> Tensor | None:
    """Return class weights as a float64 tensor (C,) of its own, or None.

    Raises
    ------
    UserError
        If a weight is negative or not finite, or there is not one for each of the `num_classes`.
    """
    if weight is None:
        return None
    values = torch.from_numpy(per_class_numbers(weight, "class weights"))
    if num_classes not in (None, len(values)) or not ((values >= 0) & values.isfinite()).all():
        expected = f"{num_classes or 'C'} numbers >= 0, one per class"
        raise UserError(f"class weights are {values.tolist()}, expected {expected}; change weight")
    return values


def at_least_float32(logits: Tensor) -> Tensor:
    """Return float16 and bfloat16 logits as float32, others as they are."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def checked(logits: Tensor, target: Tensor, constants: Tensor | None = None) -> Tensor:
    """Return logits in float32 at least, after a look at shapes and dtypes; it costs no look at a value.

    Parameters
    ----------
    logits
        Shape (B, C), float.
    target
        True classes, int64, shape (B,).
    constants
        What a loss holds for its C classes; None where it cannot know how many there are.

    Raises
    ------
    UserError
        If the shapes do not fit, the logits are no floats, or the targets are not int64.
    """
    width = "C" if constants is None else len(constants)
    if logits.ndim != 2 or target.shape != logits.shape[:1] or width not in ("C", logits.shape[1]):
        raise UserError(
            f"logits have shape {tuple(logits.shape)} and targets {tuple(target.shape)}, expected (B, {width}) and "
            "(B,); give one logit for each class that the loss was made for, and one class an image"
        )
    if not logits.is_floating_point():
        raise UserError(f"logits are {logits.dtype}, expected a float type; give logits.float()")
    if target.dtype != torch.int64:  # others mean something else as an index, or end in torch's own words
        raise UserError(f"targets are {target.dtype}, expected torch.int64; give target.long()")
    return at_least_float32(logits)


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

    Raises
    ------
    UserError
        If there is not one target for each row of logits.

    Examples
    --------
    >>> target_gradient(torch.tensor([[0.0, 0.0], [60.0, 0.0]], dtype=torch.float64), torch.tensor([0, 0]))
    tensor([5.0000e-01, 8.7565e-27], dtype=torch.float64)
    """
    return F.softmax(checked(logits, target), dim=1).scatter(1, target[:, None], 0).sum(1)


class ClassLoss(nn.Module):
    """A loss whose buffers hold a number for each class, in float64 until the module is brought to another dtype."""

    stochastic = False

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # What `to`, `half`, `cuda` and so on come down to.
        constants = set(map(id, self._buffers.values()))

        def convert(tensor: Tensor) -> Tensor:
            if id(tensor) not in constants:
                return fn(tensor)
            try:
                moved = fn(tensor)
            except TypeError:  # a device without float64, as Apple's GPUs
                moved = fn(tensor.float())
            # A margin is no activation: with three digits it would be another loss.
            return moved if moved.dtype.itemsize >= 4 else tensor.to(moved.device, torch.float32)

        return super()._apply(convert, recurse)


class CosineLoss(ClassLoss):
    """A `ClassLoss` of cosines, which warns of logits that are none, but in compiled code."""

    calls = 0

    def look(self, cosine: Tensor) -> None:
        """Warn of a cosine outside [-1, 1] by more than rounding.

        Looks at calls 1, 2, 4, 8 and so on, for on a GPU a look waits for all that is queued; never while a CUDA
        graph is recorded or in compiled code.
        """
        if torch.compiler.is_compiling() or cosine.is_meta or not cosine.numel():
            return
        if cosine.is_cuda and torch.cuda.is_current_stream_capturing():
            return
        self.calls += 1
        if self.calls & (self.calls - 1):
            return
        largest = cosine.detach().abs().max().item()
        if not largest <= 1.05:  # bfloat16 has 8 bits; a NaN is no cosine either
            warnings.warn(
                f"{type(self).__name__} got a cosine of size {largest:.3g}, expected at most 1: its scale and margins "
                "are meant for cosines; normalise features and classifier, and leave the scale to the loss",
                stacklevel=5,  # the line that calls the module: two of torch's lie between
            )


class AdjustedCrossEntropy(torch.autograd.Function):
    """Cross-entropy (B,) of ``logits = scale * cosine + adjustment``, whose gradient belongs to the cosine.

    Written out because this backward pass fills one (B, C) buffer where autograd fills three, and at 8,142
    classes that is a large part of the loss's time. Where the gradient is to be differentiated again
    (``create_graph=True``), autograd gets operations that it knows instead.
    """

    @staticmethod
    def forward(ctx: Any, cosine: Tensor, logits: Tensor, target: Tensor, scale: float) -> Tensor:
        """Return the loss of each image; the adjustment is in the logits already."""
        log_p = F.log_softmax(logits, dim=1)
        ctx.save_for_backward(cosine, log_p, target)
        ctx.scale = scale
        return F.nll_loss(log_p, target, ignore_index=IGNORED, reduction="none")

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        """Return the gradient of the cosine."""
        cosine, log_p, target = ctx.saved_tensors
        if torch.is_grad_enabled():
            # Of the same value as log_p, but a function of the cosine.
            log_p = F.log_softmax(log_p + ctx.scale * (cosine - cosine.detach()), dim=1)
            slope = log_p.exp() - F.one_hot(target, log_p.shape[1])
            return slope * (ctx.scale * grad[:, None]), None, None, None
        slope = log_p.exp()  # d loss / d logit_j = p_j - 1[j = y]
        slope.scatter_add_(1, target[:, None], slope.new_full((len(target), 1), -1))
        return slope.mul_(ctx.scale * grad[:, None]), None, None, None
