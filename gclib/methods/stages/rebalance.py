"""Classifier re-balancing on a frozen embedding (Kang et al., ICLR 2020): cRT, LWS, tau-normalisation and NCM."""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gclib.data import LongTailed
from gclib.data.augment import normalise
from gclib.methods.settings import StageSettings
from gclib.methods.stage import Stage
from gclib.networks import ResNet

__all__ = [
    "FrozenEmbedding",
    "LearnableWeightScaling",
    "NearestClassMean",
    "RetrainClassifier",
    "TauNormalisation",
]


class FrozenEmbedding(Stage):
    """Base of all that train no feature: the embedding and its batch-norm statistics stay as they are.

    So do the released codes of GCL, and of MisLAS on CIFAR-10; in that of Kang et al. the statistics move on.
    """

    work = 1 / 3

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

    defaults: ClassVar = {"reinitialise": False}

    def begin(self, data: LongTailed) -> None:
        """Draw a new classifier if asked to."""
        if self.setting("reinitialise"):
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

    :math:`\tau` is ``parameters["tau"]``, 1 unless given.

    On a cosine classifier it takes the raw anchors and features: after normalisation there is no norm left to undo.
    """

    trains = False
    defaults: ClassVar = {"tau": 1.0}
    ranges: ClassVar = {"tau": (0, 100)}

    def logits(self, images: Tensor) -> Tensor:
        """Logits of the rescaled classifier, ``(B, C)``."""
        weight: Any = self.network.head.weight
        lengths = weight.norm(dim=1, keepdim=True)
        return F.linear(self.embed(images), weight / lengths ** self.setting("tau"))


class NearestClassMean(FrozenEmbedding, name="NCM"):
    r"""Nearest class mean: minus the squared distance of :math:`\tilde f` to each class's mean of it; no training.

    :math:`\tilde f=(f-\bar f)/\lVert f-\bar f\rVert` with the mean feature of the training set (the default of the
    released code, "cl2n"). The class means are not normalised again.
    """

    trains = False
    center: Tensor
    means: Tensor

    def __init__(self, settings: StageSettings, network: ResNet, data: LongTailed) -> None:
        super().__init__(settings, network, data)
        self.register_buffer("center", torch.zeros(network.num_features))
        self.register_buffer("means", torch.zeros(data.num_classes, network.num_features))

    def begin(self, data: LongTailed) -> None:
        """Pass over the training images, unaugmented, for the means."""
        self.eval()
        images = torch.from_numpy(data.train.images)
        features = torch.cat(
            [self.embed(normalise(part, self.augmentation, self.center.dtype)) for part in images.split(500)]
        )
        self.center.copy_(features.mean(0))
        centered, labels = F.normalize(features - self.center), torch.from_numpy(data.train.labels)
        for label in range(data.num_classes):
            self.means[label] = centered[labels == label].mean(0)

    def logits(self, images: Tensor) -> Tensor:
        """Minus the squared distances, ``(B, C)``."""
        centered = F.normalize(self.embed(images) - self.center)
        return -(centered[:, None] - self.means).square().sum(2)
