"""Classifier re-balancing on a frozen embedding (Kang et al., ICLR 2020): cRT, LWS, tau-normalisation and NCM."""

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gclib.data import LongTailed
from gclib.errors import UserError
from gclib.methods.images import Images
from gclib.methods.settings import StageSettings
from gclib.methods.stage import Stage
from gclib.networks import Network

__all__ = [
    "TAUS",
    "FrozenEmbedding",
    "LearnableWeightScaling",
    "NearestClassMean",
    "RetrainClassifier",
    "TauNormalisation",
]


TAUS = [step / 10 for step in range(21)]
"""Where tau is searched (Kang et al., appendix B)."""


class FrozenEmbedding(Stage):
    """Base of all that train no feature: the embedding and its batch-norm statistics stay as they are.

    So do the released codes of GCL, and of MisLAS on CIFAR-10; in that of Kang et al. the statistics move on.
    """

    keeps_embedding = True

    def train(self, mode: bool = True) -> "FrozenEmbedding":
        """Set the mode of everything but the embedding, which keeps its running statistics."""
        super().train(mode)
        for module in self.network.kept("head"):
            module.eval()
        return self

    def embed(self, images: Tensor) -> Tensor:
        """Features ``(B, d)`` without gradient."""
        with torch.no_grad():
            return self.network.features(images)

    def features(self, images: Images, chosen: Tensor | None = None) -> Tensor:
        """Features ``(N, d)`` of unaugmented images, of all or of those that are `chosen`."""
        return torch.cat([self.embed(part) for part in images.plain(chosen)])


def class_means(features: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Mean feature of each class, ``(C, d)``, of features ``(N, d)`` and their labels, int64 ``(N,)``, in one pass."""
    counts = torch.bincount(labels, minlength=num_classes)
    by_class = features[labels.argsort(stable=True)].split(counts.tolist())
    return torch.stack([own.mean(0) for own in by_class])


class RetrainClassifier(FrozenEmbedding, name="cRT"):
    """cRT: train the classifier alone, re-initialised where ``parameters["reinitialise"]`` is true.

    Kang et al. re-initialise; the released GCL code goes on from the classifier of stage one.
    """

    defaults: ClassVar = {"reinitialise": False}

    def begin(self) -> None:
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

    def __init__(self, settings: StageSettings, network: Network, data: LongTailed) -> None:
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

    :math:`\tau` is ``parameters["tau"]``, 1 unless given. Where images are held out it is chosen on them, as Kang
    et al. choose it on theirs: of `TAUS` the best by the mean of per-class accuracies, of equals the smallest.

    A cosine classifier is taken without its normalisation: raw features on raw anchors. At :math:`\tau=1` it predicts
    as before; at another value the lengths of the anchors count, which training never saw.
    """

    trains = False
    defaults: ClassVar = {"tau": 1.0}
    ranges: ClassVar = {"tau": (0, 100)}
    tau: Tensor
    choice: Tensor

    def __init__(self, settings: StageSettings, network: Network, data: LongTailed) -> None:
        super().__init__(settings, network, data)
        self.measures = bool(settings.held_out)
        self.register_buffer("tau", torch.tensor(float(self.setting("tau"))))
        # `TAUS`, and the accuracy (%) that each has on the held-out images; empty where none are held out.
        searched = TAUS if settings.held_out else []
        self.register_buffer("choice", torch.tensor([searched, [0.0] * len(searched)]))

    def measure(self, images: Images) -> None:
        """Choose tau on the held-out images."""
        self.eval()
        chosen = torch.from_numpy(np.setdiff1d(np.arange(len(images.labels)), self.seen.numpy()))
        if not len(chosen):
            raise UserError(
                f"no class has {math.ceil(1 / self.settings.held_out)} images, so none is held out to choose tau on; "
                "give stage-two.held_out=0 and stage-two.parameters.tau"
            )
        labels, features = images.labels[chosen.to(images.labels.device)], self.features(images, chosen)
        for place, tau in enumerate(TAUS):
            right = self.classify(features, tau).argmax(1) == labels
            by_class = [right[labels == label].double().mean() for label in labels.unique()]
            self.choice[1, place] = 100 * torch.stack(by_class).mean()
        self.tau.fill_(TAUS[int(self.choice[1].argmax())])

    def classify(self, features: Tensor, tau: Tensor | float) -> Tensor:
        """Logits of the classifier rescaled by some tau, ``(B, C)``."""
        weight: Any = self.network.head.weight
        return F.linear(features, weight / weight.norm(dim=1, keepdim=True) ** tau)

    def logits(self, images: Tensor) -> Tensor:
        """Logits of the rescaled classifier, ``(B, C)``."""
        return self.classify(self.embed(images), self.tau)


class NearestClassMean(FrozenEmbedding, name="NCM"):
    r"""Nearest class mean: minus the squared distance of :math:`\tilde f` to each class's mean of it; no training.

    :math:`\tilde f=(f-\bar f)/\lVert f-\bar f\rVert` with the mean feature of the training set (the default of the
    released code, "cl2n"). The class means are not normalised again. Images that are held out are in no mean.
    """

    trains, measures = False, True
    center: Tensor
    means: Tensor

    def __init__(self, settings: StageSettings, network: Network, data: LongTailed) -> None:
        super().__init__(settings, network, data)
        self.register_buffer("center", torch.zeros(network.num_features))
        self.register_buffer("means", torch.zeros(data.num_classes, network.num_features))

    def measure(self, images: Images) -> None:
        """Pass over the training images, unaugmented, for the means."""
        self.eval()
        features, labels = self.features(images, self.seen), images.labels[self.seen.to(images.labels.device)]
        self.center.copy_(features.mean(0))
        centered = F.normalize(features - self.center)
        self.means.copy_(class_means(centered, labels, self.num_classes))

    def logits(self, images: Tensor) -> Tensor:
        """Minus the squared distances, ``(B, C)``."""
        centered = F.normalize(self.embed(images) - self.center)
        # The square written out: a difference for each image, class and feature does not fit at many classes.
        squares = centered.square().sum(1, keepdim=True) + self.means.square().sum(1)
        return 2 * centered @ self.means.T - squares
