"""The losses that GCL is compared with."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn

from gclib.losses.common import (
    AdjustedCrossEntropy,
    at_least_float32,
    class_weights,
    require_positive,
    require_range,
    validated_counts,
)


class CrossEntropyLoss(nn.Module):
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
    """

    stochastic = False
    weight: Tensor | None

    def __init__(self, weight: ArrayLike | None = None) -> None:
        super().__init__()
        self.register_buffer("weight", class_weights(weight), persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the (weighted) mean loss."""
        logits = at_least_float32(logits)
        return F.cross_entropy(logits, target, None if self.weight is None else self.weight.to(logits.dtype))


class LDAMLoss(nn.Module):
    r"""Label-distribution-aware margin loss (Cao et al., NeurIPS 2019) of cosines (B, C) at targets (B,).

    :math:`\ell_{\mathrm{CE}}(s\,(\cos\theta_j-\Delta_j\mathbb 1[j=y]), y)` with
    :math:`\Delta_j=\Delta_{\max}\,n_j^{-1/4}/\max_k n_k^{-1/4}`. With class weights the mean divides by the
    sum of the weights in the batch, as in the official code's deferred re-weighting (DRW).

    Parameters
    ----------
    class_counts
        Training images of each class, shape (C,).
    max_margin
        Margin of the rarest class, >= 0; 0.5 in the paper.
    scale
        s > 0; 30 in the official code, not named in the paper.
    weight
        Class weights >= 0, shape (C,), or None. The buffer ``weight`` may be filled anew between epochs.

    Raises
    ------
    UserError
        For a count below 1, a parameter out of its range or weights of another shape.
    """

    stochastic = False
    margins: Tensor
    weight: Tensor | None

    def __init__(
        self,
        class_counts: ArrayLike,
        max_margin: float = 0.5,
        scale: float = 30.0,
        weight: ArrayLike | None = None,
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
        cosine = at_least_float32(cosine)
        with torch.no_grad():
            margin = self.scale * self.margins.to(cosine.dtype)[target]
            logits = (self.scale * cosine).scatter_add_(1, target[:, None], -margin[:, None])
        loss = AdjustedCrossEntropy.apply(cosine, logits, target, self.scale)
        if self.weight is None:
            return loss.mean()
        weight = self.weight.to(loss.dtype)[target]
        return (weight * loss).sum() / weight.sum()


class LogitAdjustedLoss(nn.Module):
    r"""Logit-adjusted cross-entropy (Menon et al., ICLR 2021) of logits (B, C) at targets (B,).

    :math:`\ell_{\mathrm{CE}}(z+\tau\log\pi, y)` with :math:`\pi_j=n_j/N`, in training only: at test time the
    logits z are used as they are.

    Parameters
    ----------
    class_counts
        Training images of each class, shape (C,).
    tau
        Strength, >= 0; 1 in the paper, where the loss is consistent for the balanced error.

    Raises
    ------
    UserError
        For a count below 1 or a negative tau.
    """

    stochastic = False
    adjustment: Tensor

    def __init__(self, class_counts: ArrayLike, tau: float = 1.0) -> None:
        super().__init__()
        require_range(0, math.inf, tau=tau)
        counts = validated_counts(class_counts)
        adjustment = torch.from_numpy(tau * np.log(counts / counts.sum()))
        self.register_buffer("adjustment", adjustment, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss."""
        logits = at_least_float32(logits)
        return F.cross_entropy(logits + self.adjustment.to(logits.dtype), target)


class FocalLoss(nn.Module):
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
    """

    stochastic = False
    weight: Tensor | None

    def __init__(self, gamma: float = 1.0, weight: ArrayLike | None = None) -> None:
        super().__init__()
        require_range(0, math.inf, gamma=gamma)
        self.gamma = gamma
        self.register_buffer("weight", class_weights(weight), persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss."""
        loss = F.cross_entropy(at_least_float32(logits), target, reduction="none")
        # Kept above 0: for gamma < 1 the power's slope at 0 is infinite, and infinite times 0 is no number.
        loss = (-torch.expm1(-loss)).clamp_min(torch.finfo(loss.dtype).tiny) ** self.gamma * loss
        return (loss if self.weight is None else self.weight.to(loss.dtype)[target] * loss).mean()


class LabelAwareSmoothingLoss(nn.Module):
    r"""Label-aware smoothing (MisLAS, Zhong et al., CVPR 2021), as its code has it, of logits (B, C).

    :math:`(1-\epsilon_y)\,\ell_{\mathrm{CE}}(z,y)+\frac{\epsilon_y}{C}\sum_k(-\log p_k)`: the target's mass
    is :math:`1-\epsilon_y+\epsilon_y/C`. In the paper's text it is :math:`1-\epsilon_y`, and each other class
    has :math:`\epsilon_y/(C-1)`. With the largest and the smallest count :math:`n_1, n_K`,
    :math:`\epsilon_y=\epsilon_K+(\epsilon_1-\epsilon_K)\sin\frac{\pi(n_y-n_K)}{2(n_1-n_K)}`, and
    :math:`\epsilon_K` for equal counts.

    Parameters
    ----------
    class_counts
        Training images of each class, shape (C,).
    head
        Smoothing of the most frequent class, epsilon_1, in [tail, 1); 0.1 to 0.4 in the official configs.
    tail
        Smoothing of the rarest class, epsilon_K, in [0, 1); 0 or 0.1 there.

    Raises
    ------
    UserError
        For a count below 1 or a smoothing out of its range.
    """

    stochastic = False
    smoothing: Tensor

    def __init__(self, class_counts: ArrayLike, head: float, tail: float) -> None:
        super().__init__()
        require_range(0, 1, tail=tail)
        require_range(tail, 1, head=head)
        counts = validated_counts(class_counts)
        rank = (counts - counts.min()) / (np.ptp(counts) or 1)
        smoothing = torch.from_numpy(tail + (head - tail) * np.sin(np.pi / 2 * rank))
        self.register_buffer("smoothing", smoothing, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss."""
        log_p = F.log_softmax(at_least_float32(logits), dim=1)
        at_target = log_p.gather(1, target[:, None])[:, 0]
        return -torch.lerp(at_target, log_p.mean(1), self.smoothing.to(log_p.dtype)[target]).mean()
