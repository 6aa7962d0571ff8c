"""The Gaussian clouded logit loss and the sizes of its clouds."""

import math

import torch
from torch import Tensor

from gclib.arrays import PerClass
from gclib.errors import UserError, require_one_of, require_positive, require_range
from gclib.losses.common import (
    AdjustedCrossEntropy,
    CosineLoss,
    checked,
)
from gclib.sampling.clouds import relative_sizes


def cloud_sizes(class_counts: PerClass, strategy: str = "log") -> Tensor:
    r"""Return the relative size of each class's Gaussian cloud, :math:`\delta_j/\delta_{\max}`.

    Parameters
    ----------
    class_counts
        Training images of each class, each at least 1; see `gclib.arrays.validated_counts`.
    strategy
        ``"log"``: :math:`\log n_{\max}-\log n_j` (GCL, Eq. 9); ``"power-1/3"``, ``"power-1/4"``:
        :math:`n_{\max}^e-n_j^e`; ``"cosine"``: :math:`\cos(\frac\pi2 n_j/n_{\max})` (GCL, Table 3).

    Returns
    -------
    Tensor
        Float64, shape (C,): 0 for the most frequent class, 1 for the rarest. All 0 for equal counts.

    Raises
    ------
    UserError
        For an unknown strategy or a count below 1.

    Examples
    --------
    >>> cloud_sizes([1000, 100, 10])
    tensor([0.0000, 0.5000, 1.0000], dtype=torch.float64)
    """
    return torch.from_numpy(relative_sizes(class_counts, strategy))


class GCLLoss(CosineLoss):
    r"""Gaussian clouded logit loss (GCL, CVPR 2022, Eqs. 11 and 12) of cosines (B, C) at targets (B,).

    .. math::
        u_j = \cos\theta_j - \kappa\,|\epsilon_{ij}|\,\frac{\delta_j}{\delta_{\max}} - m\,\mathbb 1[j=y],
        \qquad L = (1-p_y)^\gamma\,\ell_{\mathrm{CE}}(s\,u, y)

    :math:`\epsilon_{ij}\sim\mathcal N(0,\sigma^2)` clamped to [-1, 1], drawn for every image and every class.
    :math:`(1-p_y)^\gamma`, :math:`p_y=e^{-\ell_{\mathrm{CE}}}`, is a constant in every derivative. At test time
    the logits are the plain cosines. In evaluation mode (``eval()``) the loss draws nothing: as dropout does, it
    takes the expectation of the noise.

    Parameters
    ----------
    class_counts
        Training images of each class; see `gclib.arrays.validated_counts`.
    scale
        s > 0. Official code: 30 in stage one, 20 in stage two. As all of these it is fixed: for another value make
        another loss.
    margin
        m >= 0. Official code: 0 in stage one, 0.1 in stage two; not in the paper's text.
    noise_scale
        kappa >= 0. Official code: 0.5 on CIFAR, 1 on Places-LT; the paper's text has no such factor (1).
    noise_std
        sigma > 0; 1/3 in the paper.
    strategy
        Cloud size, see `cloud_sizes`.
    focal_gamma
        gamma >= 0; 0 leaves the factor out. Official code: 0 in stage one, 1 in stage two.
    noise
        ``"half-normal"`` draws; ``"mean"`` takes the expectation of the clamped :math:`|\epsilon|` instead.

    Raises
    ------
    UserError
        For a count below 1, a parameter out of its range, or an unknown strategy or noise.

    Examples
    --------
    In a training loop of your own, with cosines of features and classifier, in [-1, 1]:

    >>> loss = GCLLoss({0: 5000, 1: 500, 2: 50}, noise_scale=0.5)
    >>> features, classifier = torch.tensor([[3.0, 4.0], [0.0, 2.0]]), torch.eye(3, 2, requires_grad=True)
    >>> unit = torch.nn.functional.normalize
    >>> cosine, target = unit(features) @ unit(classifier).T, torch.tensor([1, 0])
    >>> loss(cosine, target).backward()  # with noise of its own
    >>> noise = loss.draw((2, 3), torch.Generator().manual_seed(0))
    >>> print(f"{loss(cosine, target, noise):.4f}")
    13.6469
    """

    reach: Tensor

    def __init__(
        self,
        class_counts: PerClass,
        scale: float = 30.0,
        margin: float = 0.0,
        noise_scale: float = 0.5,
        noise_std: float = 1 / 3,
        strategy: str = "log",
        focal_gamma: float = 0.0,
        noise: str = "half-normal",
    ) -> None:
        super().__init__()
        require_positive(scale=scale, noise_std=noise_std)
        require_range(0, math.inf, margin=margin, noise_scale=noise_scale, focal_gamma=focal_gamma)
        require_one_of("noise", noise, ("half-normal", "mean"))
        self.scale, self.margin, self.noise_std, self.focal_gamma = scale, margin, noise_std, focal_gamma
        self.stochastic = noise == "half-normal" and noise_scale > 0
        # E|clamp(eps, -1, 1)|: the half normal's mean up to 1, and whatever lies beyond counts as 1.
        inside = noise_std * math.sqrt(2 / math.pi) * -math.expm1(-0.5 / noise_std**2)
        self.mean_noise = inside + math.erfc(1 / (noise_std * math.sqrt(2)))
        # s * kappa * delta_j / delta_max: what |eps| = 1 takes off the scaled logit of class j.
        reach = scale * noise_scale * cloud_sizes(class_counts, strategy)
        self.register_buffer("reach", reach, persistent=False)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Return noise for `forward`, N(0, noise_std^2), not yet clamped: float32, where the generator is; else CPU."""
        device = generator.device if generator else "cpu"
        return torch.normal(
            0.0, self.noise_std, shape, generator=generator, device=device, dtype=torch.float32
        )

    def forward(self, cosine: Tensor, target: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the mean loss; a raw draw `noise` (B, C) takes the place of a draw of its own.

        Raises
        ------
        UserError
            If cosines, targets, noise and class counts are not of shapes that go together.
        """
        self.look(cosine)
        cosine = checked(cosine, target, self.reach)
        reach = self.reach.to(cosine.dtype)
        if noise is not None and noise.shape != cosine.shape:
            raise UserError(
                f"noise has shape {tuple(noise.shape)}, expected that of the cosines, {tuple(cosine.shape)}; "
                "draw(cosine.shape) gives such"
            )
        if noise is None and self.stochastic and self.training:
            noise = torch.normal(0.0, self.noise_std, cosine.shape, device=cosine.device, dtype=cosine.dtype)
        with torch.no_grad():
            if noise is None:
                logits = torch.add(-self.mean_noise * reach, cosine, alpha=self.scale)
            else:  # |clamp(eps, -1, 1)| = min(|eps|, 1); in place, for at many classes memory is the cost
                cloud = noise.to(cosine.dtype).abs().clamp_(max=1).mul_(-reach)
                logits = cloud.add_(cosine, alpha=self.scale)
            if self.margin:
                logits.scatter_add_(
                    1, target[:, None], logits.new_full((len(target), 1), -self.scale * self.margin)
                )
        loss = AdjustedCrossEntropy.apply(cosine, logits, target, self.scale)
        if self.focal_gamma:
            loss = (-torch.expm1(-loss.detach())) ** self.focal_gamma * loss
        return loss.mean()
