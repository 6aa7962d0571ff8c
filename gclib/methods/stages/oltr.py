"""OLTR (Liu et al., CVPR 2019): attention over the feature map, a memory of class centroids, a cosine classifier."""

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gclib.data import LongTailed
from gclib.methods.images import Batch, Images
from gclib.methods.settings import StageSettings
from gclib.methods.stage import Stage
from gclib.methods.stages.rebalance import class_means
from gclib.networks import Network

__all__ = ["MetaEmbedding", "ModulatedAttention"]

SCALE, SPREAD, MARGIN = 16.0, 10.0, 10.0
CENTROID_WEIGHT, REPEL_WEIGHT = 0.01, 0.01


class ModulatedAttention(nn.Module):
    """Non-local block times a softmax map over the positions, added to the feature map; it starts as the identity.

    Its layers start as torch's do; in the released code query, key and value by Kaiming's rule with biases of zero.

    Parameters
    ----------
    channels
        Channels of the feature map.
    positions
        Its height times its width.
    """

    def __init__(self, channels: int, positions: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Conv2d(channels, channels // 2, 1) for _ in range(3))
        self.out = nn.Conv2d(channels // 2, channels, 1, bias=False)
        nn.init.zeros_(self.out.weight)
        self.where = nn.Linear(channels * positions, positions)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, H, W)`` to the same shape."""
        query, key, value = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        weights = (query.transpose(1, 2) @ key).softmax(2)
        attended = self.out((value @ weights.transpose(1, 2)).unflatten(2, x.shape[2:]))
        where = self.where(x.flatten(1)).softmax(1).view(-1, 1, *x.shape[2:])
        return x + attended * where


class MetaEmbedding(Stage, name="OLTR"):
    r"""Stage two: :math:`v=\frac{10}\gamma(f+e\odot\sum_jo_jc_j)`, squashed, at a cosine classifier of scale 16.

    :math:`o=\operatorname{softmax}(T_of)`, :math:`e=\tanh(T_ef)`, :math:`\gamma=\min_j\lVert f-c_j\rVert`;
    :math:`T_o` goes on from the classifier of stage one. The centroids :math:`c_j` start as the class means and are
    pulled to their images and pushed from the others; cross-entropy does not move them. Here the pull is the loss's
    gradient; the released code averages it over the class's images and leaves its weight out.
    """

    takes_mixup, takes_features, measures, heads = False, False, True, ("linear", "cosine")

    def __init__(self, settings: StageSettings, network: Network, data: LongTailed) -> None:
        super().__init__(settings, network, data)
        width = network.num_features
        height, length = network.map_size(*data.train.images.shape[1:3])
        self.attention = ModulatedAttention(width, height * length)
        self.centroids = nn.Parameter(torch.zeros(data.num_classes, width))
        self.select = nn.Linear(width, width)
        self.anchors = nn.Parameter(torch.empty(data.num_classes, width))
        nn.init.uniform_(self.anchors, -(width**-0.5), width**-0.5)

    def measure(self, images: Images) -> None:
        """Take the class means of the unaugmented images that it trains on as centroids."""
        self.eval()
        with torch.no_grad():
            features = torch.cat([self.embed(part) for part in images.plain(self.seen)])
            labels = images.labels[self.seen.to(images.labels.device)]
            self.centroids.copy_(class_means(features, labels, self.num_classes))

    def embed(self, images: Tensor) -> Tensor:
        """Attended features, ``(B, d)``."""
        *layers, pool = self.network.row()
        with self.network.autocast(images):
            x = images
            for layer in layers:
                x = layer(x)
            return pool(self.attention(x)).flatten(1).to(images.dtype)

    def classify(self, features: Tensor) -> Tensor:
        """Logits ``(B, C)`` of attended features, through memory and cosine classifier."""
        centroids = self.centroids.detach()
        memory = self.network.head(features).softmax(1) @ centroids
        # A difference for each image, class and feature does not fit at many classes; that to the nearest does.
        nearest = (2 * features.detach() @ centroids.T - centroids.square().sum(1)).argmax(1)
        reach = SPREAD / (features - centroids[nearest]).norm(dim=1, keepdim=True).clamp_min(1e-6)
        v = reach * (features + self.select(features).tanh() * memory)
        norm = v.norm(dim=1, keepdim=True)
        squashed = norm / (1 + norm) * F.normalize(v)
        return SCALE * F.linear(squashed, F.normalize(self.anchors))

    def logits(self, images: Tensor) -> Tensor:
        """Logits of the meta-embedding, ``(B, C)``."""
        return self.classify(self.embed(images))

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy and the pull and push of the centroids."""
        features = self.embed(batch.images)
        loss, hits = self._loss_and_hits(self.classify(features), batch.targets, None, 0)
        self.correct += hits
        own = (features - self.centroids[batch.targets]).square().sum()
        attract = own / (2 * len(features))
        # Squared distances of all pairs, added up: written out, for the same reason.
        every = self.num_classes * features.square().sum() + len(features) * self.centroids.square().sum()
        every = every - 2 * features.sum(0) @ self.centroids.sum(0)
        others = (every - own) / (len(features) * self.num_classes)
        repel = (MARGIN - others).clamp_min(0)
        return loss + CENTROID_WEIGHT * (attract + REPEL_WEIGHT * repel)

    def parameter_groups(self) -> Iterable[dict[str, Any]]:
        """Everything; what makes the feature, embedding and attention, at a hundredth of the rate."""
        classifier = [*self.network.head.parameters(), *self.select.parameters(), self.anchors]
        feature = [*self.network.embedding.parameters(), *self.attention.parameters()]
        return [{"params": [*classifier, self.centroids]}, {"params": feature, "factor": 0.01}]
