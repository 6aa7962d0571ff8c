"""Hybrid contrastive learning (Wang et al., CVPR 2021): an embedding learned by contrast, a classifier beside it."""

from dataclasses import replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gclib import sampling
from gclib.data import LongTailed
from gclib.errors import require_one_of
from gclib.methods.settings import StageSettings
from gclib.methods.stage import Batch, Draws, Stage
from gclib.networks import ResNet

__all__ = ["HybridContrast", "prototypical_contrast", "supervised_contrast"]

OUTPUTS = 128
GREY = 0.2


def supervised_contrast(z: Tensor, target: Tensor, temperature: float) -> Tensor:
    r"""Return the mean of the supervised contrastive loss.

    :math:`-\frac1{|P_i|}\sum_{p\in P_i}\log\frac{e^{z_i\cdot z_p/\tau}}{\sum_{k\ne i}e^{z_i\cdot z_k/\tau}}`

    Parameters
    ----------
    z
        Unit vectors, ``(B, d)``, each class at least twice.
    target
        Classes, int64 ``(B,)``; :math:`P_i` are the others of i's class.
    temperature
        tau > 0.
    """
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    log_p = F.log_softmax((z @ z.T / temperature).masked_fill(itself, -torch.inf), dim=1)
    positive = (target[:, None] == target) & ~itself
    return -(log_p.masked_fill(~positive, 0).sum(1) / positive.sum(1)).mean()


def prototypical_contrast(z: Tensor, prototypes: Tensor, target: Tensor, temperature: float) -> Tensor:
    r"""Return the mean of :math:`-\log\frac{e^{z_i\cdot p_y/\tau}}{\sum_{j\ne y}e^{z_i\cdot p_j/\tau}}`, :math:`y=y_i`.

    Parameters
    ----------
    z, prototypes
        Unit vectors, ``(B, d)`` and ``(C, d)``.
    target
        Classes, int64 ``(B,)``.
    temperature
        tau > 0.
    """
    similarity = z @ prototypes.T / temperature
    others = similarity.scatter(1, target[:, None], -torch.inf).logsumexp(1)
    return (others - similarity.gather(1, target[:, None])[:, 0]).mean()


class HybridContrast(Stage, name="hybrid"):
    r"""Minimise :math:`\alpha L_{\text{con}}+(1-\alpha)L_{\text{CE}}`, :math:`\alpha=1-(t/T)^2` at epoch t of T.

    ``parameters["contrast"]`` is ``"supervised"`` (two views of each image) or ``"prototypical"``;
    ``parameters["temperature"]`` belongs to it. Projection and prototypes are trained with the network.
    """

    takes_mixup = False
    work = 3.0  # of the supervised contrast, which has two views; the prototypical one has one
    defaults: ClassVar = {"contrast": "supervised", "temperature": 0.1}
    alpha: Tensor

    def __init__(self, settings: StageSettings, network: ResNet, data: LongTailed) -> None:
        super().__init__(settings, network, data)
        require_one_of("contrast", self.setting("contrast"), ("supervised", "prototypical"))
        self.supervised = self.setting("contrast") == "supervised"
        width = network.num_features
        self.projection = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, OUTPUTS))
        self.prototypes = None if self.supervised else nn.Parameter(torch.randn(data.num_classes, OUTPUTS))
        self.register_buffer("alpha", torch.ones(()), persistent=False)

    def begin_epoch(self, epoch: int) -> None:
        """Set the weight of the contrast."""
        self.alpha.fill_(1 - (epoch / self.settings.epochs) ** 2)

    def draw(self, epoch: int, generator: torch.Generator) -> Draws:
        """Draw the classifier's stream, and one or two views of the other."""
        draws = super().draw(epoch, generator)
        count = len(draws.indices)
        indices = sampling.epoch_indices(self.index, None, count, generator)
        views: Draws | None = None
        for _ in range(2 if self.supervised else 1):
            views = Draws(
                indices,
                *self.draw_views(count, generator),
                None,
                None,
                None,
                views,
                torch.rand(count, generator=generator) < GREY,
            )
        return replace(draws, other=views, greys=torch.rand(count, generator=generator) < GREY)

    def loss(self, batch: Batch) -> Tensor:
        """Mean loss of one step of both streams."""
        assert batch.other is not None
        views, targets = [batch.other.images], [batch.other.targets]
        if batch.other.other is not None:
            views.append(batch.other.other.images)
            targets.append(batch.other.other.targets)
        target, temperature = torch.cat(targets), self.setting("temperature")
        z = F.normalize(self.projection(self.network.features(torch.cat(views))))
        if self.prototypes is None:
            contrast = supervised_contrast(z, target, temperature)
        else:
            contrast = prototypical_contrast(z, F.normalize(self.prototypes), target, temperature)
        loss, hits = self._loss_and_hits(self.logits(batch.images), batch.targets, None, 0)
        self.correct += hits
        return torch.lerp(loss, contrast.to(loss.dtype), self.alpha.to(loss.dtype))
