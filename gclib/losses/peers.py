"""The losses that GCL is compared with."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gclib.arrays import PerClass, validated_counts
from gclib.errors import require_positive, require_range
from gclib.losses.common import (
    IGNORED,
    AdjustedCrossEntropy,
    ClassLoss,
    CosineLoss,
    checked,
    class_weights,
)


class CrossEntropyLoss(ClassLoss):
    """Softmax cross-entropy of logits (B, C) at targets (B,).

    With class weights the mean divides by the sum of the weights in the batch, as `torch.nn.CrossEntropyLoss` does.

    Parameters
    ----------
    weight
        Class weights >= 0, shape (C,), or None.

    Raises
    ------
    UserError
        For a negative weight.

    Examples
    --------
    >>> logits, target = torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 0])
    >>> print(f"{CrossEntropyLoss(weight=[1.0, 3.0])(logits, target):.4f}")
    1.1269
    """

    weight: Tensor | None

    def __init__(self, weight: PerClass | None = None) -> None:
        super().__init__()
        self.register_buffer("weight", class_weights(weight), persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the (weighted) mean loss."""
        logits = checked(logits, target, self.weight)
        weight = None if self.weight is None else self.weight.to(logits.dtype)
        return F.cross_entropy(logits, target, weight, ignore_index=IGNORED)


class LDAMLoss(CosineLoss):
    r"""Label-distribution-aware margin loss (Cao et al., NeurIPS 2019) of cosines (B, C) at targets (B,).

    :math:`\ell_{\mathrm{CE}}(s\,(\cos\theta_j-\Delta_j\mathbb 1[j=y]), y)` with
    :math:`\Delta_j=\Delta_{\max}\,n_j^{-1/4}/\max_k n_k^{-1/4}`. With class weights the mean divides by the
    sum of the weights in the batch, as in the official code's deferred re-weighting (DRW).

    Parameters
    ----------
    class_counts
        Training images of each class; see `gclib.arrays.validated_counts`.
    max_margin
        Margin of the rarest class, >= 0; 0.5 in the paper.
    scale
        s > 0; 30 in the official code, not named in the paper.
    weight
        Class weights >= 0, shape (C,), or None. If given, the buffer may be filled anew between epochs,
        ``loss.weight.copy_(...)``; it is not in the `state_dict`, so fill it again when a training is resumed.

    Raises
    ------
    UserError
        For a count below 1, a parameter out of its range or weights of another shape.

    Examples
    --------
    >>> cosine, target = torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([0, 1])
    >>> loss = LDAMLoss([1600, 100])
    >>> loss.margins
    tensor([0.2500, 0.5000], dtype=torch.float64)
    >>> print(f"{loss(cosine, target):.4f}")
    0.0243
    """

    margins: Tensor
    weight: Tensor | None

    def __init__(
        self,
        class_counts: PerClass,
        max_margin: float = 0.5,
        scale: float = 30.0,
        weight: PerClass | None = None,
    ) -> None:
        super().__init__()
        require_positive(scale=scale)
        require_range(0, math.inf, max_margin=max_margin)
        counts = validated_counts(class_counts)
        self.scale = scale
        # n_j^(-1/4) / max_k n_k^(-1/4) = (n_min / n_j)^(1/4)
        margins = torch.from_numpy(max_margin * (counts.min() / counts) ** 0.25)
        self.register_buffer("margins", margins, persistent=False)
        self.register_buffer("weight", class_weights(weight, counts.size), persistent=False)

    def forward(self, cosine: Tensor, target: Tensor) -> Tensor:
        """Return the (weighted) mean loss."""
        self.look(cosine)
        cosine = checked(cosine, target, self.margins)
        with torch.no_grad():
            margin = self.scale * self.margins.to(cosine.dtype)[target]
            logits = (self.scale * cosine).scatter_add_(1, target[:, None], -margin[:, None])
        loss = AdjustedCrossEntropy.apply(cosine, logits, target, self.scale)
        if self.weight is None:
            return loss.mean()
        weight = self.weight.to(loss.dtype)[target]
        return (weight * loss).sum() / weight.sum()


class LogitAdjustedLoss(ClassLoss):
    r"""Logit-adjusted cross-entropy (Menon et al., ICLR 2021) of logits (B, C) at targets (B,).

    :math:`\ell_{\mathrm{CE}}(z+\tau\log\pi, y)` with :math:`\pi_j=n_j/N`, in training only: at test time the
    logits z are used as they are. With :math:`\tau=1` it is Balanced Softmax (Ren et al., NeurIPS 2020).

    Parameters
    ----------
    class_counts
        Training images of each class; see `gclib.arrays.validated_counts`.
    tau
        Strength, >= 0; 1 in the paper, where the loss is consistent for the balanced error.

    Raises
    ------
    UserError
        For a count below 1 or a negative tau.

    Examples
    --------
    >>> logits, target = torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 1])
    >>> print(f"{LogitAdjustedLoss([90, 10])(logits, target):.4f}")
    0.4058
    """

    adjustment: Tensor

    def __init__(self, class_counts: PerClass, tau: float = 1.0) -> None:
        super().__init__()
        require_range(0, math.inf, tau=tau)
        counts = validated_counts(class_counts)
        adjustment = torch.from_numpy(tau * np.log(counts / counts.sum()))
        self.register_buffer("adjustment", adjustment, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss."""
        logits = checked(logits, target, self.adjustment)
        return F.cross_entropy(logits + self.adjustment.to(logits.dtype), target, ignore_index=IGNORED)


class FocalLoss(ClassLoss):
    r"""Softmax focal loss :math:`w_y\,(1-p_y)^\gamma\,\ell_{\mathrm{CE}}(z,y)` of logits (B, C).

    After Lin et al. (ICCV 2017), in the softmax form of long-tailed work. The gradient flows through
    :math:`(1-p_y)^\gamma`, and :math:`p_y` is the softmax probability also where there are class weights
    (LDAM's code takes :math:`e^{-w_y\ell_{\mathrm{CE}}}` there). The mean divides by the batch size.

    Parameters
    ----------
    gamma
        Focusing, >= 0: 1 in the code of LDAM, up to 2 elsewhere; 0 is cross-entropy.
    weight
        Class weights >= 0, shape (C,), or None.

    Raises
    ------
    UserError
        For a negative gamma or a negative weight.

    Examples
    --------
    >>> logits, target = torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 0])
    >>> print(f"{FocalLoss(gamma=2.0)(logits, target):.4f}")
    0.8259
    """

    weight: Tensor | None

    def __init__(self, gamma: float = 1.0, weight: PerClass | None = None) -> None:
        super().__init__()
        require_range(0, math.inf, gamma=gamma)
        self.gamma = gamma
        self.register_buffer("weight", class_weights(weight), persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss."""
        logits = checked(logits, target, self.weight)
        loss = F.cross_entropy(logits, target, ignore_index=IGNORED, reduction="none")
        # Kept above 0: for gamma < 1 the power's slope at 0 is infinite, and infinite times 0 is no number.
        loss = (-torch.expm1(-loss)).clamp_min(torch.finfo(loss.dtype).tiny) ** self.gamma * loss
        return (loss if self.weight is None else self.weight.to(loss.dtype)[target] * loss).mean()


class LabelAwareSmoothingLoss(ClassLoss):
    r"""Label-aware smoothing (MisLAS, Zhong et al., CVPR 2021), as its code has it, of logits (B, C).

    :math:`(1-\epsilon_y)\,\ell_{\mathrm{CE}}(z,y)+\frac{\epsilon_y}{C}\sum_k(-\log p_k)`: the target's mass
    is :math:`1-\epsilon_y+\epsilon_y/C`. In the paper's text it is :math:`1-\epsilon_y`, and each other class
    has :math:`\epsilon_y/(C-1)`. With the largest and the smallest count :math:`n_1, n_K`,
    :math:`\epsilon_y=\epsilon_K+(\epsilon_1-\epsilon_K)\sin\frac{\pi(n_y-n_K)}{2(n_1-n_K)}`, and
    :math:`\epsilon_K` for equal counts.

    Parameters
    ----------
    class_counts
        Training images of each class; see `gclib.arrays.validated_counts`.
    head
        Smoothing of the most frequent class, epsilon_1, in [tail, 1); 0.1 to 0.4 in the official configs.
    tail
        Smoothing of the rarest class, epsilon_K, in [0, 1); 0 or 0.1 there.

    Raises
    ------
    UserError
        For a count below 1 or a smoothing out of its range.

    Examples
    --------
    >>> logits, target = torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 1])
    >>> loss = LabelAwareSmoothingLoss([90, 10], head=0.4, tail=0.1)
    >>> loss.smoothing
    tensor([0.4000, 0.1000], dtype=torch.float64)
    >>> print(f"{loss(logits, target):.4f}")
    0.3769
    """

    smoothing: Tensor

    def __init__(self, class_counts: PerClass, head: float, tail: float) -> None:
        super().__init__()
        require_range(0, 1, tail=tail)
        require_range(tail, 1, head=head)
        counts = validated_counts(class_counts)
        rank = (counts - counts.min()) / (np.ptp(counts) or 1)
        smoothing = torch.from_numpy(tail + (head - tail) * np.sin(np.pi / 2 * rank))
        self.register_buffer("smoothing", smoothing, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss."""
        log_p = F.log_softmax(checked(logits, target, self.smoothing), dim=1)
        at_target = log_p.gather(1, target[:, None])[:, 0]
        return -torch.lerp(at_target, log_p.mean(1), self.smoothing.to(log_p.dtype)[target]).mean()
