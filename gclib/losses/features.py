"""Noise on a feature, and the logits that follow: the story that leads to the loss (GCL, Eqs. 4 to 7).

Training never disturbs a feature: `GCLLoss` puts its noise on the cosines.
"""

import torch.nn.functional as F
from torch import Tensor

from gclib.errors import require_positive


def clouded_logits(
    features: Tensor, anchors: Tensor, noise: Tensor, amplitude: float, scale: float | None = None
) -> Tensor:
    r"""Return the logits of features that are disturbed by noise, :math:`\tilde f=f+\delta\,\epsilon`.

    Parameters
    ----------
    features
        f, shape (d,) or (N, d).
    anchors
        Rows :math:`w_j` of the classifier, shape (C, d).
    noise
        :math:`\epsilon`, shape (N, d).
    amplitude
        :math:`\delta`, any number.
    scale
        None: the linear logits :math:`w_j^\top\tilde f` (GCL, Eqs. 4 and 5). A number s > 0: the cosines of the
        disturbed features times s (Eq. 6).

    Returns
    -------
    Tensor
        Shape (N, C).

    Raises
    ------
    UserError
        If the scale is not above 0.

    Examples
    --------
    >>> import torch
    >>> clouded_logits(torch.tensor([3.0, 4.0]), torch.eye(2), torch.tensor([[1.0, 0.0]]), 0.5)
    tensor([[3.5000, 4.0000]])
    """
    disturbed = features + amplitude * noise
    if scale is None:
        return F.linear(disturbed, anchors)
    require_positive(scale=scale)
    return scale * F.linear(F.normalize(disturbed, dim=-1), F.normalize(anchors, dim=-1))


def noise_on_anchors(noise: Tensor, anchors: Tensor) -> Tensor:
    r"""Return the part of noise along each anchor, :math:`e_j^\top\epsilon` with :math:`e_j=w_j/\lVert w_j\rVert`.

    It is what is left of the noise in Eq. 7 of GCL, and the number :math:`\epsilon` of Eq. 8.

    Parameters
    ----------
    noise
        :math:`\epsilon`, shape (N, d).
    anchors
        Rows :math:`w_j` of the classifier, shape (C, d); their lengths do not matter.

    Returns
    -------
    Tensor
        Shape (N, C).

    Examples
    --------
    >>> import torch
    >>> noise_on_anchors(torch.tensor([[3.0, 4.0]]), torch.tensor([[5.0, 0.0], [0.0, 1.0]]))
    tensor([[3., 4.]])
    """
    return F.linear(noise, F.normalize(anchors, dim=-1))
