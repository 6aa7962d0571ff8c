"""MisLAS (Zhong et al., CVPR 2021): mixup, then label-aware smoothing on a learned scaling of the classifier."""

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gclib import losses
from gclib.data import LongTailed
from gclib.methods import softmax
from gclib.methods.rebalance import FrozenEmbedding
from gclib.methods.settings import CODE, Definition, LossSettings, SamplerSettings, Schedule, StageSettings
from gclib.methods.stage import LOSSES
from gclib.networks import ResNet

__all__ = ["RECIPES", "SmoothedClassifier"]

LOSSES["label-aware-smoothing"] = lambda class_counts, head=0.3, tail=0.0: losses.LabelAwareSmoothingLoss(
    class_counts, head, tail
)


class SmoothedClassifier(FrozenEmbedding, name="MisLAS"):
    r"""Stage two: :math:`z_j=s_j(w_j^\top f+b_j)`, classifier and scales trained; weights of the embedding frozen.

    ``parameters["factor"]`` scales the classifier's learning rate, the scales' is 1. With ``parameters["shift"]`` the
    running statistics of batch norm follow the re-balanced batches ("shift learning").
    """

    defaults: ClassVar = {"factor": 1.0, "shift": False}

    def __init__(self, settings: StageSettings, network: ResNet, data: LongTailed) -> None:
        super().__init__(settings, network, data)
        self.scales = nn.Parameter(torch.ones(data.num_classes))

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


# Released configurations: ratio -> smoothing of the head, of the tail, shift learning, factor of the classifier.
TEN_CLASSES = {100: (0.3, 0.0, False, 0.5), 50: (0.2, 0.0, False, 0.2), 10: (0.1, 0.0, False, 0.2)}
HUNDRED_CLASSES = {100: (0.4, 0.1, True, 0.2), 50: (0.3, 0.0, True, 0.1), 10: (0.2, 0.0, True, 0.1)}


def _mislas(data: LongTailed) -> tuple[StageSettings, ...]:
    """Released settings for CIFAR-LT; at another ratio, and on other data, those of the nearest one."""
    released = TEN_CLASSES if data.num_classes < 50 else HUNDRED_CLASSES
    ratio = data.class_counts.max() / data.class_counts.min()
    head, tail, shift, factor = released[min(released, key=lambda known: abs(math.log(known / ratio)))]
    stage_two = StageSettings(
        name="stage-two",
        method="MisLAS",
        epochs=10,
        schedule=Schedule(kind="cosine"),
        loss=LossSettings(name="label-aware-smoothing", parameters={"head": head, "tail": tail}),
        sampler=SamplerSettings(strategy="class"),
        parameters={"shift": shift, "factor": factor},
    )
    return (*softmax.RECIPES["ce-mixup"].stages(data), stage_two)


RECIPES = {
    "mislas": Definition(
        "MisLAS, with the settings of its released code.",
        "linear",
        _mislas,
        "Zhong et al., CVPR 2021",
        {
            "": CODE,
            "stage-two.loss.parameters": "official code, at the nearest ratio",
            "stage-two.parameters": "official code, at the nearest ratio",
        },
        unified="mislas-unified",
    ),
}
