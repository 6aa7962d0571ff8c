"""Margins and weights by class: LDAM, deferred re-weighting (DRW), the class-balanced and the focal loss."""

from typing import ClassVar

import torch
from torch import nn

from gclib import losses
from gclib.data import LongTailed
from gclib.methods.settings import StageSettings
from gclib.methods.stage import LOSSES, Stage
from gclib.networks import Network
from gclib.sampling import effective_number_weights

__all__ = ["Reweighted"]

LOSSES["ldam"] = lambda class_counts, max_margin=0.5, scale=30.0: losses.LDAMLoss(
    class_counts, max_margin, scale
)
LOSSES["focal"] = lambda class_counts, gamma=1.0: losses.FocalLoss(gamma)


class Reweighted(Stage, name="reweight"):
    r"""Train with class weights :math:`w_j\propto\frac{1-\beta}{1-\beta^{n_j}}`, summing to C, from an epoch on.

    ``parameters["start"]`` is that epoch, as a fraction of all: 0 is the class-balanced loss (Cui et al., CVPR 2019),
    0.8 deferred re-weighting (Cao et al., NeurIPS 2019; their Algorithm 1 has :math:`1/n_j`, their code this).
    ``parameters["beta"]`` is 0.9999 unless given. The loss must take weights.
    """

    defaults: ClassVar = {"start": 0.0, "beta": 0.9999}
    ranges: ClassVar = {"start": (0, 1), "beta": (0, 1 - 1e-9)}
    weighs: ClassVar = True

    class_weights: torch.Tensor

    def __init__(self, settings: StageSettings, network: Network, data: LongTailed) -> None:
        super().__init__(settings, network, data)
        relative = effective_number_weights(data.class_counts, self.setting("beta"))
        weights = torch.from_numpy(relative * (data.num_classes / relative.sum()))
        self.register_buffer("class_weights", weights, persistent=False)
        # A tensor from the start, filled in place: a step stays a fixed function of tensors.
        self.criterion.weight = nn.Buffer(torch.ones_like(weights), persistent=False)

    def begin_epoch(self, epoch: int) -> None:
        """Fill the loss's weights: ones before the start, then the class weights."""
        deferred = epoch < round(self.setting("start") * self.settings.epochs)
        self.criterion.weight.copy_(torch.ones_like(self.class_weights) if deferred else self.class_weights)
