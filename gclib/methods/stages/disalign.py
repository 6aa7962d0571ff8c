"""DisAlign (Zhang et al., CVPR 2021): a learned calibration of a frozen classifier's logits."""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor, nn

from gclib.data import LongTailed
from gclib.methods.settings import StageSettings
from gclib.methods.stages.rebalance import FrozenEmbedding
from gclib.networks import Network

__all__ = ["DisAlign"]


class DisAlign(FrozenEmbedding, name="DisAlign"):
    r"""Learn :math:`\hat z_j=(1+\sigma\alpha_j)z_j+\sigma\beta_j`, :math:`\sigma=\operatorname{sigmoid}(v^\top f+c)`.

    Weighted cross-entropy on instance-balanced batches, with the generalised re-weighting
    :math:`w_j\propto(n_j/N)^{-\rho}`, summing to C; ``parameters["rho"]`` is 1.2 for a linear classifier. As published
    every entry of v starts at 0.1; that c starts at zero is chosen here.
    """

    defaults: ClassVar = {"rho": 1.2}
    ranges: ClassVar = {"rho": (0, 100)}
    weighs: ClassVar = True

    def __init__(self, settings: StageSettings, network: Network, data: LongTailed) -> None:
        super().__init__(settings, network, data)
        self.alpha = nn.Parameter(torch.ones(data.num_classes))
        self.beta = nn.Parameter(torch.zeros(data.num_classes))
        self.confidence = nn.Linear(network.num_features, 1)
        nn.init.constant_(self.confidence.weight, 0.1)
        nn.init.zeros_(self.confidence.bias)
        relative = torch.from_numpy(data.class_counts / data.class_counts.sum()) ** -self.setting("rho")
        self.criterion.weight = nn.Buffer(relative * (data.num_classes / relative.sum()), persistent=False)

    def logits(self, images: Tensor) -> Tensor:
        """Calibrated logits, ``(B, C)``."""
        features = self.embed(images)
        with torch.no_grad():
            logits = self.network.head(features)
        confidence = self.confidence(features).sigmoid()
        return (1 + confidence * self.alpha) * logits + confidence * self.beta

    def parameter_groups(self) -> Iterable[nn.Parameter]:
        """Factors, shifts and the confidence layer."""
        return [self.alpha, self.beta, *self.confidence.parameters()]
