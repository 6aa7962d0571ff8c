"""MisLAS (Zhong et al., CVPR 2021): mixup, then label-aware smoothing on a learned scaling of the classifier."""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gclib import losses
from gclib.data import LongTailed
from gclib.methods.settings import StageSettings
from gclib.methods.stage import LOSSES
from gclib.methods.stages.rebalance import FrozenEmbedding
from gclib.networks import Network

__all__ = ["SmoothedClassifier"]

LOSSES["label-aware-smoothing"] = lambda class_counts, head=0.3, tail=0.0: losses.LabelAwareSmoothingLoss(
    class_counts, head, tail
)


class SmoothedClassifier(FrozenEmbedding, name="MisLAS"):
    r"""Stage two: :math:`z_j=s_j(w_j^\top f+b_j)`, classifier and scales trained; weights of the embedding frozen.

    ``parameters["factor"]`` scales the classifier's learning rate, the scales' is 1. With ``parameters["shift"]`` the
    running statistics of batch norm follow the re-balanced batches ("shift learning").
    """

    defaults: ClassVar = {"factor": 1.0, "shift": False}
    ranges: ClassVar = {"factor": (0, 1000)}

    def __init__(self, settings: StageSettings, network: Network, data: LongTailed) -> None:
        super().__init__(settings, network, data)
        self.scales = nn.Parameter(torch.ones(data.num_classes))

    @classmethod
    def keeps_features(cls, settings: StageSettings) -> bool:
        """Not where the statistics shift: they change the features."""
        return super().keeps_features(settings) and not settings.parameters.get(
            "shift", cls.defaults["shift"]
        )

    def train(self, mode: bool = True) -> "SmoothedClassifier":
        """Set the mode; the embedding follows only where its statistics shall shift."""
        super().train(mode)
        self.network.embedding.train(mode and self.setting("shift"))
        return self

    def logits(self, images: Tensor) -> Tensor:
        """Scaled logits, ``(B, C)``."""
        return self.scales * self.network.head(self.embed(images))

    def parameter_groups(self) -> Iterable[dict[str, Any]]:
        """The scales, and the classifier at a fraction of their learning rate."""
        return [
            {"params": [self.scales]},
            {"params": list(self.network.head.parameters()), "factor": self.setting("factor")},
        ]
