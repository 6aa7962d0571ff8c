"""Classifier re-balancing on a frozen embedding (Kang et al., ICLR 2020): cRT, LWS and tau-normalisation."""

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gclib.data import LongTailed
from gclib.methods.stage import Stage, StageSettings
from gclib.networks import ResNet

__all__ = ["LearnableWeightScaling", "RetrainClassifier", "TauNormalisation"]


class FrozenEmbedding(Stage):
    """Base of the three: the embedding and its batch-norm statistics stay as they are."""

    def train(self, mode: bool = True) -> "FrozenEmbedding":
        """Set the mode of everything but the embedding, which keeps its running statistics."""
        super().train(mode)
        self.network.embedding.eval()
        return self

    def embed(self, images: Tensor) -> Tensor:
        """Features ``(B, d)`` without gradient."""
        with torch.no_grad():
            return self.network.features(images)


class RetrainClassifier(FrozenEmbedding, name="cRT"):
    """cRT: train the classifier alone, re-initialised where ``parameters["reinitialise"]`` is true.

    Kang et al. re-initialise; the released GCL code goes on from the classifier of stage one.
    """

    def begin(self, data: LongTailed) -> None:
        """Draw a new classifier if asked to."""
        if self.settings.parameters.get("reinitialise", False):
            self.network.head.reset_parameters()

    def logits(self, images: Tensor) -> Tensor:
        """Logits or cosines of the trained classifier, ``(B, C)``."""
        return self.network.head(self.embed(images))

    def parameter_groups(self) -> Iterable[nn.Parameter]:
        """The classifier."""
        return self.network.head.parameters()


class LearnableWeightScaling(FrozenEmbedding, name="LWS"):
    """LWS: one learned factor per class, on the frozen classifier's logit (with its bias) or cosine."""

    def __init__(self, settings: StageSettings, network: ResNet, data: LongTailed) -> None:
        super().__init__(settings, network, data)
        self.scales = nn.Parameter(torch.ones(data.num_classes))

    def logits(self, images: Tensor) -> Tensor:
        """Scaled logits or cosines, ``(B, C)``."""
        with torch.no_grad():
            frozen = self.network(images)
        return self.scales * frozen

    def parameter_groups(self) -> Iterable[nn.Parameter]:
        """The C factors."""
        return [self.scales]


class TauNormalisation(FrozenEmbedding, name="tau-normalisation"):
    r"""Tau-normalisation: :math:`\tilde w_j = w_j / \lVert w_j \rVert^\tau`, bias dropped, no training.

    On a cosine classifier it takes the raw anchors and features: after normalisation there is no norm left to undo.
    """

    def logits(self, images: Tensor) -> Tensor:
        """Logits of the rescaled classifier, ``(B, C)``."""
        weight: Any = self.network.head.weight
        tau = float(self.settings.parameters["tau"])
        return F.linear(self.embed(images), weight / weight.norm(dim=1, keepdim=True) ** tau)

    def parameter_groups(self) -> Iterable[nn.Parameter]:
        """Nothing."""
        return []
