"""Classifiers of a feature, by name."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["CLASSIFIERS", "CosineClassifier", "MultiHeadClassifier"]


def _unit(vectors: Tensor) -> Tensor:
    """Vectors along the last dimension at length 1; zeros stay zeros, also in float16, which has no 1e-12 itself."""
    if vectors.dtype == torch.float16:
        return F.normalize(vectors.float(), dim=-1).half()
    return F.normalize(vectors, dim=-1)


class CosineClassifier(nn.Module):
    """Classifier whose output is ``cos(theta_j)``, the cosine between the feature and the anchor of class j (Eq. 8).

    Parameters
    ----------
    num_features
        Dimension d of the feature.
    num_classes
        Number of classes C.

    Notes
    -----
    Anchors start uniform in (-1, 1) with unit norm. Weight decay acts on their norm, although the output ignores it,
    as in the LDAM and GCL codes.

    Examples
    --------
    Behind a network of your own whose features have length 512, for 100 classes:

    >>> head = CosineClassifier(512, 100)
    >>> cosines = head(torch.randn(8, 512))
    >>> cosines.shape, bool(cosines.abs().max() <= 1)
    (torch.Size([8, 100]), True)
    """

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_classes, num_features))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new anchors."""
        with torch.no_grad():
            self.weight.copy_(F.normalize(self.weight.uniform_(-1, 1)))

    def forward(self, features: Tensor) -> Tensor:
        """Cosines in -1..1, shape ``(..., C)``, of features ``(..., d)``."""
        return F.linear(_unit(features), _unit(self.weight))


class MultiHeadClassifier(nn.Module):
    r"""Normalised classifier of K heads, each on its own part of the feature (Tang et al., NeurIPS 2020).

    :math:`z_j=\frac\tau K\sum_k\frac{(w_j^k)^\top x^k}{(\lVert w_j^k\rVert+\gamma)\lVert x^k\rVert}` with K = 2,
    :math:`\tau` = 16 and :math:`\gamma` = 1/32, no bias.

    Parameters
    ----------
    num_features
        Dimension d of the feature, even.
    num_classes
        Number of classes C.
    """

    heads, scale, gamma = 2, 16.0, 1 / 32

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_classes, num_features))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew, uniformly within one over the root of d."""
        bound = self.weight.shape[1] ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)

    def directions(self) -> Tensor:
        """Weights over their norm plus gamma, ``(C, K, d / K)``."""
        weight = self.weight.unflatten(1, (self.heads, -1))
        return weight / (weight.norm(dim=2, keepdim=True) + self.gamma)

    def forward(self, features: Tensor) -> Tensor:
        """Logits ``(B, C)`` of features ``(B, d)``."""
        unit = _unit(features.unflatten(1, (self.heads, -1)))
        return self.scale / self.heads * torch.einsum("bkd,ckd->bc", unit, self.directions())

    def effect(self, features: Tensor, mean: Tensor) -> Tensor:
        """Logits ``(B, C)`` of that part of each feature which points along the mean feature ``(d,)``."""
        unit = _unit(features.unflatten(1, (self.heads, -1)))
        along = _unit(mean.view(self.heads, -1))
        share = torch.einsum("bkd,kd->bk", unit, along)
        return self.scale / self.heads * share @ torch.einsum("ckd,kd->kc", self.directions(), along)


# Name of a head -> its constructor from the number of features and of classes.
CLASSIFIERS: dict[str, Callable[[int, int], nn.Module]] = {
    "linear": nn.Linear,
    "cosine": CosineClassifier,
    "multi-head": MultiHeadClassifier,
}
