"""Margins and weights by class: LDAM, deferred re-weighting (DRW), the class-balanced and the focal loss."""

from functools import partial

from gclib.data import LongTailed
from gclib.methods.settings import CODE, OURS, Definition, LossSettings, StageSettings

__all__ = ["RECIPES"]


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
        "LDAM, cosine classifier.",
        "cosine",
        partial(_stages, loss=_LDAM),
        *_CAO,
        unified="ldam-unified",
        label="LDAM",
    ),
    "ldam-drw": Definition(
        "LDAM with deferred re-weighting from 80% of the epochs on.",
        "cosine",
        partial(_stages, loss=_LDAM, start=0.8),
        *_CAO,
        unified="ldam-drw-unified",
        label="LDAM-DRW",
    ),
    "ce-drw": Definition(
        "Cross-entropy with deferred re-weighting.",
        "linear",
        partial(_stages, loss=_CE, start=0.8),
        *_CAO,
        unified="ce-drw-unified",
        label="Cross-entropy-DRW",
    ),
    "class-balanced-ce": Definition(
        "Class-balanced cross-entropy (effective number, beta 0.9999).",
        "linear",
        partial(_stages, loss=_CE, start=0.0),
        *_CAO,
        unified="class-balanced-ce-unified",
        label="Class-balanced cross-entropy",
    ),
    "focal": Definition(
        "Softmax focal loss, gamma 1.",
        "linear",
        partial(_stages, loss=_FOCAL),
        *_CAO,
        unified="focal-unified",
        label="Focal loss",
    ),
    "class-balanced-focal": Definition(
        "Class-balanced focal loss, softmax form, gamma 1.",
        "linear",
        partial(_stages, loss=_FOCAL, start=0.0),
        "Cui et al., CVPR 2019",
        {"": CODE, "stage-one.loss.name": OURS},  # their code has the sigmoid form
        unified="class-balanced-focal-unified",
        label="Class-balanced focal loss",
    ),
}
