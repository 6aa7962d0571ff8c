"""Margins and weights by class: LDAM, deferred re-weighting (DRW), the class-balanced and the focal loss."""

from functools import partial
from typing import ClassVar

import torch
from torch import nn

from gclib import losses
from gclib.data import LongTailed
from gclib.methods.settings import CODE, OURS, Definition, LossSettings, StageSettings
from gclib.methods.stage import LOSSES, Stage
from gclib.networks import ResNet
from gclib.sampling import effective_number_weights

__all__ = ["RECIPES", "Reweighted"]

LOSSES["ldam"] = lambda class_counts, max_margin=0.5, scale=30.0: losses.LDAMLoss(
    class_counts, max_margin, scale
)
LOSSES["focal"] = lambda class_counts, gamma=1.0: losses.FocalLoss(gamma)


class Reweighted(Stage, name="reweight"):
    r"""Train with class weights :math:`w_j\propto\frac{1-\beta}{1-\beta^{n_j}}`, summing to C, from an epoch on.

    ``parameters["start"]`` is that epoch, as a fraction of all: 0 is the class-balanced loss (Cui et al., CVPR 2019),
    0.8 deferred re-weighting (Cao et al., NeurIPS 2019; their Algorithm 1 has :math:`1/n_j`, their code this).
    ``parameters["beta"]`` is 0.9999 unless given. The loss must take weights.
    """

    defaults: ClassVar = {"start": 0.0, "beta": 0.9999}

    class_weights: torch.Tensor

    def __init__(self, settings: StageSettings, network: ResNet, data: LongTailed) -> None:
        super().__init__(settings, network, data)
        relative = effective_number_weights(data.class_counts, self.setting("beta"))
        weights = torch.from_numpy(relative * (data.num_classes / relative.sum()))
        self.register_buffer("class_weights", weights, persistent=False)
        # A tensor from the start, filled in place: a step stays a fixed function of tensors.
        self.criterion.weight = nn.Buffer(torch.ones_like(weights), persistent=False)

    def begin_epoch(self, epoch: int) -> None:
        """Fill the loss's weights: ones before the start, then the class weights."""
        deferred = epoch < round(self.setting("start") * self.settings.epochs)
        self.criterion.weight.copy_(torch.ones_like(self.class_weights) if deferred else self.class_weights)


def _stages(data: LongTailed, loss: LossSettings, start: float | None = None) -> tuple[StageSettings, ...]:
    """Schedule and batch size of the LDAM code, as for ``ce``."""
    parameters: dict[str, float | str | bool] = {} if start is None else {"start": start, "beta": 0.9999}
    method = "train" if start is None else "reweight"
    return (StageSettings(name="stage-one", method=method, epochs=200, loss=loss, parameters=parameters),)


_LDAM = LossSettings(name="ldam", parameters={"max_margin": 0.5, "scale": 30.0})
_FOCAL = LossSettings(name="focal", parameters={"gamma": 1.0})
_CE = LossSettings(name="cross-entropy")

_CAO = ("Cao et al., NeurIPS 2019", {"": CODE})

RECIPES = {
    "ldam": Definition(
        "LDAM, cosine classifier.", "cosine", partial(_stages, loss=_LDAM), *_CAO, unified="ldam-unified"
    ),
    "ldam-drw": Definition(
        "LDAM with deferred re-weighting from 80% of the epochs on.",
        "cosine",
        partial(_stages, loss=_LDAM, start=0.8),
        *_CAO,
        unified="ldam-drw-unified",
    ),
    "ce-drw": Definition(
        "Cross-entropy with deferred re-weighting.",
        "linear",
        partial(_stages, loss=_CE, start=0.8),
        *_CAO,
        unified="ce-drw-unified",
    ),
    "class-balanced-ce": Definition(
        "Class-balanced cross-entropy (effective number, beta 0.9999).",
        "linear",
        partial(_stages, loss=_CE, start=0.0),
        *_CAO,
        unified="class-balanced-ce-unified",
    ),
    "focal": Definition(
        "Softmax focal loss, gamma 1.",
        "linear",
        partial(_stages, loss=_FOCAL),
        *_CAO,
        unified="focal-unified",
    ),
    "class-balanced-focal": Definition(
        "Class-balanced focal loss, softmax form, gamma 1.",
        "linear",
        partial(_stages, loss=_FOCAL, start=0.0),
        "Cui et al., CVPR 2019",
        {"": CODE, "stage-one.loss.name": OURS},  # their code has the sigmoid form
        unified="class-balanced-focal-unified",
    ),
}
