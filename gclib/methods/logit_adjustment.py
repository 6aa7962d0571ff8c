"""Logit adjustment (Menon et al., ICLR 2021): as a loss, and post hoc on a trained classifier."""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from gclib import losses
from gclib.data import LongTailed
from gclib.methods.settings import PAPER, Definition, LossSettings, Schedule, StageSettings
from gclib.methods.stage import LOSSES, Stage
from gclib.networks import ResNet

__all__ = ["RECIPES", "PostHocLogitAdjustment"]

LOSSES["logit-adjusted"] = losses.LogitAdjustedLoss


class PostHocLogitAdjustment(Stage, name="post-hoc-logit-adjustment"):
    r"""Post-hoc logit adjustment: test-time logits :math:`z_j-\tau\log\pi_j`, :math:`\pi_j=n_j/N`; no training."""

    trains = False
    defaults: ClassVar = {"tau": 1.0}
    adjustment: Tensor

    def __init__(self, settings: StageSettings, network: ResNet, data: LongTailed) -> None:
        super().__init__(settings, network, data)
        prior = data.class_counts / data.class_counts.sum()
        adjustment = torch.from_numpy(self.setting("tau") * np.log(prior))
        self.register_buffer("adjustment", adjustment, persistent=False)

    def logits(self, images: Tensor) -> Tensor:
        """Adjusted logits, ``(B, C)``."""
        logits = self.network(images)
        return logits - self.adjustment.to(logits.dtype)


def _stage_one(loss: LossSettings) -> StageSettings:
    # Appendix D of the paper; its released code runs 1,241 epochs instead.
    return StageSettings(
        name="stage-one",
        method="train",
        epochs=200,
        weight_decay=1e-4,
        schedule=Schedule(factors=(0.1, 0.01)),
        loss=loss,
    )


def _loss(data: LongTailed) -> tuple[StageSettings, ...]:
    return (_stage_one(LossSettings(name="logit-adjusted", parameters={"tau": 1.0})),)


def _post_hoc(data: LongTailed) -> tuple[StageSettings, ...]:
    return (
        _stage_one(LossSettings(name="cross-entropy")),
        StageSettings(
            name="stage-two", method="post-hoc-logit-adjustment", epochs=0, parameters={"tau": 1.0}
        ),
    )


_MENON = ("Menon et al., ICLR 2021", {"": PAPER})

RECIPES = {
    "logit-adjustment": Definition(
        "Logit-adjusted cross-entropy, tau 1.", "linear", _loss, *_MENON, unified="logit-adjustment-unified"
    ),
    "logit-adjustment-post-hoc": Definition(
        "Cross-entropy, its logits adjusted after training, tau 1.",
        "linear",
        _post_hoc,
        *_MENON,
        unified="logit-adjustment-post-hoc-unified",
    ),
}
