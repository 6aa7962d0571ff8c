"""Gaussian clouded logit adjustment: its two recipes, the variants of Tables 3, 4 and 5, and controls.

``gcl-official`` is what the released code does, ``gcl-paper`` what the text says. Where the text is silent the choice
is ours: weight decay is Cao et al.'s, and stage two has Eq. 12 as its loss, at stage one's scale, 30 epochs at 0.1 with
a cosine, and no mixup. The scale of the cosines in stage one, and a = 0.9999 and b = 1e-5 of CBEN, are the code's.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from gclib.data import LongTailed
from gclib.methods.rebalance import HELD_OUT, tau_normalised
from gclib.methods.settings import (
    CODE,
    OURS,
    PAPER,
    Definition,
    LossSettings,
    SamplerSettings,
    Schedule,
    StageSettings,
)

__all__ = ["RECIPES"]


# The released code's loss in stage two.
_SECOND_LOSS = {"scale": 20.0, "noise_scale": 0.5, "margin": 0.1, "focal_gamma": 1.0}


def _mixup(data: LongTailed) -> float:
    return 1.0 if data.augmentation.mixup else 0.0


def _official(
    data: LongTailed,
    sampler: str | None = "class",
    method: str = "cRT",
    loss: dict[str, Any] | None = None,
    second_loss: dict[str, Any] | None = None,
) -> tuple[StageSettings, ...]:
    """Released code: batch 64, decay by 0.1, noise scale 0.5; stage two goes on from stage one's classifier.

    `loss` changes the loss of both stages, `second_loss` that of stage two alone.
    """
    stage_one = StageSettings(
        name="stage-one",
        method="train",
        epochs=200,
        batch_size=64,
        schedule=Schedule(factors=(0.1, 0.01)),
        loss=LossSettings(name="gcl", parameters={"scale": 30.0, "noise_scale": 0.5, **(loss or {})}),
        mixup=_mixup(data),
    )
    if sampler is None:
        return (stage_one,)
    stage_two = StageSettings(
        name="stage-two",
        method=method,
        epochs=30,
        batch_size=64,
        # The code multiplies 0.1 by 0.1 and by 0.1 * (1 + cos): the peak is 0.002.
        learning_rate=0.002,
        schedule=Schedule(kind="cosine"),
        loss=LossSettings(name="gcl", parameters={**_SECOND_LOSS, **(loss or {}), **(second_loss or {})}),
        sampler=SamplerSettings(strategy=sampler),
        mixup=_mixup(data),
        parameters={"reinitialise": False} if method == "cRT" else {},
    )
    return stage_one, stage_two


def _official_tau(data: LongTailed, **settings: Any) -> tuple[StageSettings, ...]:
    return tau_normalised(_official(data, sampler=None), **settings)


def _paper(
    data: LongTailed, second: dict[str, Any] | None = None, second_mixup: bool = False
) -> tuple[StageSettings, ...]:
    """The text: Cao et al.'s schedule and batch size, Eq. 12 without a factor on the noise, then cRT with CBEN.

    In stage two the loss is Eq. 12 again: the text warns of balanced sampling "for GCL", and derives CBEN from the
    sizes of the clouds. `second` changes settings of stage two.
    """
    stage_one = StageSettings(
        name="stage-one",
        method="train",
        epochs=200,
        loss=LossSettings(name="gcl", parameters={"scale": 30.0, "noise_scale": 1.0}),
        mixup=_mixup(data),
    )
    stage_two = StageSettings(
        name="stage-two",
        method="cRT",
        epochs=30,
        schedule=Schedule(kind="cosine"),
        loss=stage_one.loss,
        sampler=SamplerSettings(strategy="cben"),
        mixup=_mixup(data) if second_mixup else 0.0,
        parameters={"reinitialise": True},
    )
    return stage_one, stage_two.model_copy(update=second)


def _recipe(
    summary: str,
    differs: dict[str, str] | None = None,
    unified: str = "",
    label: str = "",
    stages: Callable[[LongTailed], tuple[StageSettings, ...]] | None = None,
    **changes: Any,
) -> Definition:
    """Make a recipe of the released code; `differs` says which settings come from elsewhere."""
    # The paper's choice, or a row of its Table 4; the released scripts draw the classes alike.
    sampler = {"stage-two.sampler.strategy": PAPER} if changes.get("sampler") else {}
    return Definition(
        summary,
        "cosine",
        stages or partial(_official, **changes),
        "Li et al., CVPR 2022",
        {"": CODE, **sampler, **(differs or {})},
        unified,
        label,
    )


def _control(summary: str, second: dict[str, Any], second_mixup: bool = False, label: str = "") -> Definition:
    """Make a recipe of the text with settings of the released code in stage two."""
    taken = {name for name, value in second.items() if value != _CROSS_ENTROPY.get(name)}
    sources = {f"stage-two.{setting}": CODE for setting in (*taken, *(["mixup"] if second_mixup else []))}
    stages = partial(_paper, second=second, second_mixup=second_mixup)
    return Definition(summary, "cosine", stages, "Li et al., CVPR 2022", _TEXT | sources, label=label)


_STRATEGY = {f"{stage}.loss.parameters.strategy": PAPER for stage in ("stage-one", "stage-two")}
_TEXT = {
    "": PAPER,
    "stage-one.weight_decay": OURS,
    "stage-one.nesterov": OURS,
    "stage-one.loss.parameters.scale": CODE,
    "stage-two": OURS,
    "stage-two.method": PAPER,
    "stage-two.sampler.strategy": PAPER,
    "stage-two.parameters": PAPER,
}
_NOISE = {f"{stage}.loss.parameters.noise": OURS for stage in ("stage-one", "stage-two")}
# What the controls of the text's stage two take from the released code, one setting after the other.
# They begin at cross-entropy on scaled cosines, which the loss is without noise and margin: stage two of Kang et al.
_CROSS_ENTROPY: dict[str, Any] = {
    "loss": LossSettings(name="gcl", parameters={"scale": 30.0, "noise_scale": 0.0})
}
_KEPT = _CROSS_ENTROPY | {"parameters": {"reinitialise": False}}
_SLOW = _KEPT | {"learning_rate": 0.002}
_LOSS = _SLOW | {"loss": LossSettings(name="gcl", parameters=_SECOND_LOSS)}

RECIPES = {
    "gcl-official": _recipe(
        "GCL as the released code runs it: stage two by class-balanced sampling.",
        label="GCL, released code, class-balanced",
    ),
    "gcl-official-cben": _recipe(
        "gcl-official with CBEN sampling in stage two (the paper's choice).",
        unified="gcl-unified",
        sampler="cben",
        label="GCL, released code, CBEN",
    ),
    "gcl-official-instance": _recipe(
        "gcl-official with instance-balanced sampling in stage two (Table 4, IB).",
        sampler="instance",
        label="GCL, released code, instance-balanced",
    ),
    "gcl-official-effective": _recipe(
        "gcl-official with effective-number sampling in stage two (Table 4, EN).",
        sampler="effective",
        label="GCL, released code, EN",
    ),
    "gcl-official-lws": _recipe(
        "gcl-official with LWS and CBEN in stage two (Table 5).",
        {"stage-two.method": PAPER},
        sampler="cben",
        method="LWS",
        label="GCL, released code, LWS",
    ),
    "gcl-official-tau": _recipe(
        "gcl-official with tau-normalisation, tau 1: it predicts as stage one does.",
        {"stage-two.method": PAPER, "stage-two.parameters.tau": OURS},
        stages=partial(_official_tau, tau=1.0),
        label="GCL, released code, τ = 1",
    ),
    "gcl-official-tau-chosen": _recipe(
        "gcl-official without a fifth of each class, and tau chosen on that fifth (Table 5).",
        {"stage-two.method": PAPER, **HELD_OUT},
        stages=_official_tau,
        label="GCL, released code, τ chosen",
    ),
    "gcl-official-mean": _recipe(
        "gcl-official-cben with the noise's mean in place of each draw: the margin without the cloud.",
        _NOISE,
        sampler="cben",
        loss={"noise": "mean"},
        label="GCL, mean in place of the cloud",
    ),
    "gcl-official-full-noise": _recipe(
        "gcl-official-cben with noise scale 1, as the paper's text has it.",
        {f"{stage}.loss.parameters.noise_scale": PAPER for stage in ("stage-one", "stage-two")},
        sampler="cben",
        loss={"noise_scale": 1.0},
        label="GCL, released code, whole noise",
    ),
    "gcl-official-no-focal": _recipe(
        "gcl-official-cben without the focal factor in stage two.",
        {"stage-two.loss.parameters.focal_gamma": PAPER},
        sampler="cben",
        second_loss={"focal_gamma": 0.0},
        label="GCL, released code, no focal factor",
    ),
    "gcl-official-no-margin": _recipe(
        "gcl-official-cben without the margin in stage two.",
        {"stage-two.loss.parameters.margin": PAPER},
        sampler="cben",
        second_loss={"margin": 0.0},
        label="GCL, released code, no margin",
    ),
    "gcl-official-cosine": _recipe(
        "gcl-official-cben with cloud sizes by cosine (Table 3).",
        _STRATEGY,
        sampler="cben",
        loss={"strategy": "cosine"},
        label="GCL, sizes by cosine",
    ),
    "gcl-official-power-third": _recipe(
        "gcl-official-cben with cloud sizes by power-1/3 (Table 3).",
        _STRATEGY,
        sampler="cben",
        loss={"strategy": "power-1/3"},
        label="GCL, sizes by power 1/3",
    ),
    "gcl-official-power-quarter": _recipe(
        "gcl-official-cben with cloud sizes by power-1/4 (Table 3).",
        _STRATEGY,
        sampler="cben",
        loss={"strategy": "power-1/4"},
        label="GCL, sizes by power 1/4",
    ),
    "gcl-paper": Definition(
        "GCL as the paper's text describes it.",
        "cosine",
        _paper,
        "Li et al., CVPR 2022",
        _TEXT,
        label="GCL, paper's text",
    ),
    "gcl-paper-cross-entropy": Definition(
        "gcl-paper with cross-entropy in stage two, as Kang et al. re-train a classifier.",
        "cosine",
        partial(_paper, second=_CROSS_ENTROPY),
        "Li et al., CVPR 2022",
        _TEXT | {"stage-two.loss": OURS},
        label="GCL, text, cross-entropy in stage two",
    ),
    "gcl-paper-kept": _control(
        "gcl-paper-cross-entropy with a stage two that goes on from stage one's classifier.",
        _KEPT,
        label="GCL, text, classifier kept",
    ),
    "gcl-paper-slow": _control(
        "gcl-paper-kept at the released code's learning rate of stage two.",
        _SLOW,
        label="GCL, text, the code's rate",
    ),
    "gcl-paper-loss": _control(
        "gcl-paper-slow with the released code's loss in stage two.",
        _LOSS,
        label="GCL, text, the code's loss",
    ),
    "gcl-paper-mixup": _control(
        "gcl-paper-loss with mixup in stage two.",
        _LOSS,
        second_mixup=True,
        label="GCL, text, the code's mixup",
    ),
    "gcl-paper-batch": _control(
        "gcl-paper's stage one, then the whole stage two of gcl-official-cben.",
        _LOSS | {"batch_size": 64},
        second_mixup=True,
        label="GCL, text, the code's stage two",
    ),
}
