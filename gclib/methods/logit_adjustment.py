"""Logit adjustment (Menon et al., ICLR 2021): as a loss, and post hoc on a trained classifier."""

from gclib.data import LongTailed
from gclib.methods.settings import PAPER, Definition, LossSettings, Schedule, StageSettings

__all__ = ["RECIPES"]


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
        "Logit-adjusted cross-entropy, tau 1.",
        "linear",
        _loss,
        *_MENON,
        unified="logit-adjustment-unified",
        label="Logit adjustment",
    ),
    "logit-adjustment-post-hoc": Definition(
        "Cross-entropy, its logits adjusted after training, tau 1.",
        "linear",
        _post_hoc,
        *_MENON,
        unified="logit-adjustment-post-hoc-unified",
        label="Post-hoc logit adjustment",
    ),
}
