"""De-confound-TDE (Tang et al., NeurIPS 2020): normalised training, then minus the mean feature's effect."""

from typing import ClassVar

import torch
from torch import Tensor

from gclib.data import LongTailed
from gclib.methods.settings import CODE, Definition, Schedule, StageSettings
from gclib.methods.stage import Stage
from gclib.networks import ResNet

__all__ = ["RECIPES", "Deconfound"]


class Deconfound(Stage, name="de-confound"):
    r"""Train with `gclib.networks.MultiHeadClassifier`; in tests subtract :math:`\alpha` times the mean's effect.

    The mean feature is :math:`\bar x\leftarrow\mu\bar x+\bar x_{\text{batch}}` over the training steps, and its
    direction alone counts; ``parameters["mu"]`` is 0.9. ``parameters["alpha"]`` is 1 for 10 classes and 1.5 for 100;
    with 0 the training is de-confounded and nothing is subtracted. Whole batches only, as the released code has it.
    """

    whole_batches = True
    defaults: ClassVar = {"alpha": 1.0, "mu": 0.9}
    mean: Tensor

    def __init__(self, settings: StageSettings, network: ResNet, data: LongTailed) -> None:
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


def _tde(data: LongTailed) -> tuple[StageSettings, ...]:
    # The released code takes network and schedule from BBN, not Nesterov's momentum.
    return (
        StageSettings(
            name="stage-one",
            method="de-confound",
            epochs=200,
            batch_size=256,
            learning_rate=0.2,
            weight_decay=5e-4,
            schedule=Schedule(kind="steps-from-third", milestones=(0.6, 0.8), factors=(0.01, 0.0001)),
            parameters={"alpha": 1.0 if data.num_classes < 50 else 1.5, "mu": 0.9},
        ),
    )


RECIPES = {
    "tde": Definition(
        "De-confound-TDE, as its released code runs it.",
        "two-tail-multi-head",
        _tde,
        "Tang et al., NeurIPS 2020",
        {"": CODE},
        unified="tde-unified",
    ),
}
