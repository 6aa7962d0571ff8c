"""Logit adjustment (Menon et al., ICLR 2021): as a loss, and post hoc on a trained classifier."""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from gclib import losses
from gclib.data import LongTailed
from gclib.methods.settings import StageSettings
from gclib.methods.stage import LOSSES, Stage
from gclib.networks import Network

__all__ = ["PostHocLogitAdjustment"]

LOSSES["logit-adjusted"] = losses.LogitAdjustedLoss


class PostHocLogitAdjustment(Stage, name="post-hoc-logit-adjustment"):
    r"""Post-hoc logit adjustment: test-time logits :math:`z_j-\tau\log\pi_j`, :math:`\pi_j=n_j/N`; no training."""

    trains, keeps_embedding = False, True
    defaults: ClassVar = {"tau": 1.0}
    ranges: ClassVar = {"tau": (0, 1000)}
    adjustment: Tensor

    def __init__(self, settings: StageSettings, network: Network, data: LongTailed) -> None:
        super().__init__(settings, network, data)
        prior = data.class_counts / data.class_counts.sum()
        adjustment = torch.from_numpy(self.setting("tau") * np.log(prior))
        self.register_buffer("adjustment", adjustment, persistent=False)

    def logits(self, images: Tensor) -> Tensor:
        """Adjusted logits, ``(B, C)``."""
        logits = self.network(images)
        return logits - self.adjustment.to(logits.dtype)
