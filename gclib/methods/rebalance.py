"""Classifier re-balancing on a frozen embedding (Kang et al., ICLR 2020): cRT, LWS, tau-normalisation and NCM.

Kang et al. have no CIFAR-LT setting. The recipes go on from ``ce-mixup``, as the rows of Zhong et al. (CVPR 2021) do;
``ce-lws`` goes on from ``ce``, as Kang et al. on the sets of Table 2.
"""

from functools import partial
from typing import Any

from gclib.data import LongTailed
from gclib.methods import softmax
from gclib.methods.settings import CODE, OURS, Definition, SamplerSettings, Schedule, StageSettings

__all__ = ["HELD_OUT", "RECIPES", "tau_normalised"]


def _after_mixup(data: LongTailed, **stage_two: Any) -> tuple[StageSettings, ...]:
    """Stage one of ``ce-mixup``; stage two as in the MisLAS code: 10 epochs, half a cosine, no mixup."""
    trained: dict[str, Any] = {
        "epochs": 10,
        "schedule": Schedule(kind="cosine"),
        "sampler": SamplerSettings(strategy="class"),
    }
    fixed = {} if stage_two.get("epochs") == 0 else trained
    return (*softmax.RECIPES["ce-mixup"].stages(data), StageSettings(name="stage-two", **fixed, **stage_two))


HELD_OUT = dict.fromkeys(("stage-one.held_out", "stage-two.held_out"), OURS)


def tau_normalised(stages: tuple[StageSettings, ...], tau: float | None = None) -> tuple[StageSettings, ...]:
    """Put tau-normalisation behind a first stage; without a tau it is chosen on a fifth that stage one does not see.

    A network knows the images that it was trained on: on them every tau looks alike. And a tau belongs to its network:
    to another, trained on all images, it does not carry over.
    """
    second = StageSettings(name="stage-two", method="tau-normalisation", epochs=0)
    if tau is not None:
        return (*stages, second.model_copy(update={"parameters": {"tau": tau}}))
    return tuple(stage.model_copy(update={"held_out": 0.2}) for stage in (*stages, second))


def _mixup_tau(data: LongTailed, **settings: Any) -> tuple[StageSettings, ...]:
    return tau_normalised(softmax.RECIPES["ce-mixup"].stages(data), **settings)


_ZHONG = ("Kang et al., ICLR 2020; settings by Zhong et al., CVPR 2021", {"": CODE})


def _ce_lws(data: LongTailed) -> tuple[StageSettings, ...]:
    _, second = _after_mixup(data, method="LWS")
    return (*softmax.RECIPES["ce"].stages(data), second)


RECIPES = {
    "ce-lws": Definition(
        "ce, then one learned factor per class by class-balanced sampling (Table 2, Decoupling).",
        "linear",
        _ce_lws,
        "Kang et al., ICLR 2020; on small images stage one by Cao et al., NeurIPS 2019, stage two by Zhong et al., "
        "CVPR 2021",
        {"": CODE},
        label="LWS",
    ),
    "ce-mixup-crt": Definition(
        "ce-mixup, then a new classifier by class-balanced sampling.",
        "linear",
        partial(_after_mixup, method="cRT", parameters={"reinitialise": True}),
        *_ZHONG,
        unified="crt-unified",
        label="cRT, after mixup",
    ),
    "ce-mixup-lws": Definition(
        "ce-mixup, then one learned factor per class by class-balanced sampling.",
        "linear",
        partial(_after_mixup, method="LWS"),
        *_ZHONG,
        unified="lws-unified",
        label="LWS, after mixup",
    ),
    "ce-mixup-tau": Definition(
        "ce-mixup, its classifier tau-normalised, tau 1.",
        "linear",
        partial(_mixup_tau, tau=1.0),
        _ZHONG[0],
        {"": CODE, "stage-two.parameters.tau": OURS},
        unified="tau-unified",
        label="τ-normalisation, τ = 1, after mixup",
    ),
    "ce-mixup-tau-chosen": Definition(
        "ce-mixup without a fifth of each class, and tau chosen on that fifth.",
        "linear",
        _mixup_tau,
        _ZHONG[0],
        {"": CODE, **HELD_OUT},
        label="τ-normalisation, τ chosen, after mixup",
    ),
    "ce-mixup-ncm": Definition(
        "ce-mixup, then the nearest class mean.",
        "linear",
        partial(_after_mixup, method="NCM", epochs=0),
        *_ZHONG,
        unified="ncm-unified",
        label="Nearest class mean, after mixup",
    ),
}
