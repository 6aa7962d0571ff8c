"""De-confound-TDE (Tang et al., NeurIPS 2020): normalised training, then minus the mean feature's effect."""

from typing import ClassVar

import torch
from torch import Tensor

from gclib.data import LongTailed
from gclib.methods.settings import StageSettings
from gclib.methods.stage import Stage
from gclib.networks import Network

__all__ = ["Deconfound"]


class Deconfound(Stage, name="de-confound"):
    r"""Train with `gclib.networks.MultiHeadClassifier`; in tests subtract :math:`\alpha` times the mean's effect.

    The mean feature is :math:`\bar x\leftarrow\mu\bar x+\bar x_{\text{batch}}` over the training steps, and its
    direction alone counts; ``parameters["mu"]`` is 0.9. ``parameters["alpha"]`` is 1 for 10 classes, 1.5 for 100 and 3
    for more; with 0 the training is de-confounded and nothing is subtracted. Whole batches only, as in the released
    code.
    """

    whole_batches, takes_parts, heads = True, False, ("two-tail-multi-head",)
    defaults: ClassVar = {"alpha": 1.0, "mu": 0.9}
    ranges: ClassVar = {"alpha": (0, 1000), "mu": (0, 1 - 1e-9)}
    mean: Tensor

    def __init__(self, settings: StageSettings, network: Network, data: LongTailed) -> None:
        super().__init__(settings, network, data)
        self.register_buffer("mean", torch.zeros(network.num_features))

    def logits(self, images: Tensor) -> Tensor:
        """Logits in training, ``(B, C)``; the mean feature moves on."""
        features = self.network.features(images)
        self.mean.mul_(self.setting("mu")).add_(features.detach().mean(0))
        return self.network.head(features)

    def forward(self, images: Tensor) -> Tensor:
        """Total direct effect, ``(B, C)``."""
        features = self.network.features(images)
        effect = self.network.head.effect(features, self.mean.to(features.dtype))
        return self.network.head(features) - self.setting("alpha") * effect
