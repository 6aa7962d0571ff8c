"""DisAlign (Zhang et al., CVPR 2021): a learned calibration of a frozen classifier's logits.

The paper has no CIFAR-LT setting. Chosen here: stage one of ``ce``, then 10 epochs, as for the other classifiers.
"""

from gclib.data import LongTailed
from gclib.methods import softmax
from gclib.methods.settings import CODE, OURS, PAPER, Definition, Schedule, StageSettings

__all__ = ["RECIPES"]


def _disalign(data: LongTailed) -> tuple[StageSettings, ...]:
    stage_two = StageSettings(
        name="stage-two",
        method="DisAlign",
        epochs=10,
        weight_decay=5e-4,
        schedule=Schedule(kind="cosine"),
        parameters={"rho": 1.2},
    )
    return (*softmax.RECIPES["ce"].stages(data), stage_two)


RECIPES = {
    "disalign": Definition(
        "Cross-entropy, then DisAlign's calibration.",
        "linear",
        _disalign,
        "Zhang et al., CVPR 2021; stage one by Cao et al., NeurIPS 2019",
        {"": PAPER, "stage-one": CODE, "stage-two.epochs": OURS, "stage-two.batch_size": OURS},
        unified="disalign-unified",
        label="DisAlign",
    ),
}
