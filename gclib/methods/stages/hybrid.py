"""Hybrid contrastive learning (Wang et al., CVPR 2021): an embedding learned by contrast, a classifier beside it."""

from dataclasses import replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gclib.data import LongTailed
from gclib.methods.images import Batch, Draws
from gclib.methods.settings import StageSettings
from gclib.methods.stage import Stage
from gclib.networks import Network

__all__ = ["HybridContrast", "prototypical_contrast", "supervised_contrast"]

OUTPUTS = 128
GREY = 0.2
# Random resized crops (Szegedy et al., CVPR 2015, as in torchvision): share of the area, aspect ratio, tries.
AREA, ASPECT, TRIES = (0.2, 1.0), (3 / 4, 4 / 3), 10
# Colour jitter (Khosla et al., NeurIPS 2020): its share of images; how far brightness, contrast, saturation and hue go.
JITTERED, COLOURS = 0.8, (0.4, 0.4, 0.4, 0.1)


def draw_boxes(count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Draw the boxes of random resized crops, as torchvision's RandomResizedCrop does: int64 ``(count, 4)``.

    Of `TRIES` boxes for each image the first that fits into it is taken, else the whole image.
    """
    area, aspect, top, left = torch.rand(4, count, TRIES, generator=generator, dtype=torch.float64)
    area = height * width * (AREA[0] + area * (AREA[1] - AREA[0]))
    aspect = ASPECT[0] * (ASPECT[1] / ASPECT[0]) ** aspect  # uniform in the logarithm
    sizes = torch.stack([(area / aspect).sqrt(), (area * aspect).sqrt()]).round().clamp(min=1)
    room = torch.tensor([height, width])[:, None, None] - sizes
    corners = (torch.stack([top, left]) * (room + 1)).floor()
    fits = (room >= 0).all(0)
    first = fits.int().argmax(1)
    boxes = torch.cat([corners, sizes])[:, torch.arange(count), first].T.long()
    return torch.where(fits.any(1)[:, None], boxes, torch.tensor([0, 0, height, width]))


def draw_colours(count: int, generator: torch.Generator) -> Tensor:
    """Draw the factors of colour jitter, float32 ``(count, 4)``; see `gclib.data.augment.jitter`."""
    unchanged = torch.tensor([1.0, 1.0, 1.0, 0.0])
    reach = torch.tensor(COLOURS) * (2 * torch.rand(count, 4, generator=generator) - 1)
    return torch.where(torch.rand(count, 1, generator=generator) < JITTERED, unchanged + reach, unchanged)


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

    What Wang et al. leave open, of the views of both streams and the step: ``parameters["resized_crop"]``, random
    resized crops in place of the padded ones; ``parameters["jitter"]``, colour jitter; ``parameters["joint"]``, one
    forward pass of both streams, so that batch norm sees them together, and whole batches only.
    """

    takes_mixup, takes_features, takes_parts, views = False, False, False, True
    defaults: ClassVar = {
        "contrast": "supervised",
        "temperature": 0.1,
        "resized_crop": False,
        "jitter": False,
        "joint": False,
    }
    ranges: ClassVar = {"contrast": ("supervised", "prototypical"), "temperature": (1e-3, 1000)}
    alpha: Tensor

    def __init__(self, settings: StageSettings, network: Network, data: LongTailed) -> None:
        super().__init__(settings, network, data)
        self.supervised = self.setting("contrast") == "supervised"
        self.whole_batches = bool(self.setting("joint"))
        self.height, self.width = data.train.images.shape[1:3]
        width = network.num_features
        self.projection = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, OUTPUTS))
        self.prototypes = None if self.supervised else nn.Parameter(torch.randn(data.num_classes, OUTPUTS))
        self.register_buffer("alpha", torch.ones(()), persistent=False)

    @classmethod
    def passes(cls, settings: StageSettings) -> int:
        """An image of the classifier's stream, and each view of the other's: 3, or 2 with prototypes."""
        return 3 if settings.parameters.get("contrast", cls.defaults["contrast"]) == "supervised" else 2

    def begin_epoch(self, epoch: int) -> None:
        """Set the weight of the contrast."""
        self.alpha.fill_(1 - (epoch / self.settings.epochs) ** 2)

    def draw(self, generator: torch.Generator) -> Draws:
        """Draw the classifier's stream, and one or two views of the other."""
        draws = super().draw(generator)
        count = len(draws.indices)
        indices = self.draw_indices(None, count, generator)
        views: Draws | None = None
        for _ in range(2 if self.supervised else 1):
            view = replace(self.draw_views(indices, generator), other=views)
            views = self.draw_looks(view, generator)
        return self.draw_looks(replace(draws, other=views), generator)

    def draw_looks(self, draws: Draws, generator: torch.Generator) -> Draws:
        """Draw what a view has beside crop and mirror."""
        count = len(draws.indices)
        greys = torch.rand(count, generator=generator) < GREY
        boxes = None
        if self.setting("resized_crop") and not self.augmentation.resized:  # crops of photos are such boxes
            boxes = draw_boxes(count, self.height, self.width, generator)
        colours = draw_colours(count, generator) if self.setting("jitter") else draws.colours
        return replace(draws, greys=greys, boxes=boxes, colours=colours)

    def loss(self, batch: Batch) -> Tensor:
        """Mean loss of one step of both streams."""
        assert batch.other is not None
        views, targets = [batch.other.images], [batch.other.targets]
        if batch.other.other is not None:
            views.append(batch.other.other.images)
            targets.append(batch.other.other.targets)
        target, temperature = torch.cat(targets), self.setting("temperature")
        if self.setting("joint"):
            features = self.network.features(torch.cat([batch.images, *views]))
            logits, contrasted = (
                self.network.head(features[: len(batch.images)]),
                features[len(batch.images) :],
            )
        else:
            contrasted = self.network.features(torch.cat(views))
            logits = self.logits(batch.images)
        z = F.normalize(self.projection(contrasted))
        if self.prototypes is None:
            contrast = supervised_contrast(z, target, temperature)
        else:
            contrast = prototypical_contrast(z, F.normalize(self.prototypes), target, temperature)
        loss, hits = self._loss_and_hits(logits, batch.targets, None, 0)
        self.correct += hits
        return torch.lerp(loss, contrast.to(loss.dtype), self.alpha.to(loss.dtype))
