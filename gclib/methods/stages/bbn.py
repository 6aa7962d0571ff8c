"""BBN (Zhou et al., CVPR 2020): two branches, one for each end of the distribution, mixed by the epoch."""

from dataclasses import replace

import torch
from torch import Tensor

from gclib import sampling
from gclib.data import LongTailed
from gclib.methods.images import Batch, Draws
from gclib.methods.settings import StageSettings
from gclib.methods.stage import Stage
from gclib.networks import Network, TwoTails

__all__ = ["BilateralBranch"]


class BilateralBranch(Stage, name="BBN"):
    r"""Train :math:`z=2W^\top[\alpha f_c;(1-\alpha)f_r]+b` on pairs, :math:`\alpha=1-(t/T)^2` at the epoch t of T.

    The first tail sees instance-balanced images, the second reversed sampling; the loss is
    :math:`\alpha\,\ell(z,y_c)+(1-\alpha)\,\ell(z,y_r)`. At test time both tails see the image and weigh alike, which is
    :math:`\alpha=1/2`. As the released code has it: one bias, a factor 2, whole batches only.
    """

    whole_batches, takes_mixup, takes_features, takes_parts = True, False, False, False
    heads = ("two-tail-linear", "two-tail-multi-head")
    network: TwoTails
    alpha: Tensor

    def __init__(self, settings: StageSettings, network: Network, data: LongTailed) -> None:
        super().__init__(settings, network, data)
        self.reversed = sampling.class_probabilities(data.class_counts, "reversed")
        self.register_buffer("alpha", torch.ones(()), persistent=False)

    @classmethod
    def passes(cls, settings: StageSettings) -> int:
        """Two: an image of either stream."""
        return 2

    def begin_epoch(self, epoch: int) -> None:
        """Set the weight of the first branch."""
        self.alpha.fill_(1 - (epoch / self.settings.epochs) ** 2)

    def draw(self, generator: torch.Generator) -> Draws:
        """Draw both streams."""
        draws = super().draw(generator)
        indices = self.draw_indices(self.reversed, len(draws.indices), generator)
        return replace(draws, other=self.draw_views(indices, generator))

    def loss(self, batch: Batch) -> Tensor:
        """Mean loss of one step of pairs."""
        assert batch.other is not None
        alpha = self.alpha.to(batch.images.dtype)
        tails = (self.network.tail(batch.images, False), self.network.tail(batch.other.images, True))
        logits = self.network.head(2 * torch.cat([alpha * tails[0], (1 - alpha) * tails[1]], dim=1))
        loss, hits = self._loss_and_hits(logits, batch.targets, None, 0)
        other, other_hits = self._loss_and_hits(logits, batch.other.targets, None, 0)
        self.correct += torch.lerp(other_hits, hits, self.alpha.to(hits.dtype))
        return torch.lerp(other, loss, alpha.to(loss.dtype))
