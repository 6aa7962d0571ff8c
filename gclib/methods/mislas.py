"""MisLAS (Zhong et al., CVPR 2021): mixup, then label-aware smoothing on a learned scaling of the classifier.

The released stage two makes one step more an epoch, and keeps an epoch only if it is better than the best of stage one;
here, as in every recipe, the best of a stage is among its own epochs.
"""

import math

from gclib.data import LongTailed
from gclib.methods import softmax
from gclib.methods.settings import CODE, Definition, LossSettings, SamplerSettings, Schedule, StageSettings

__all__ = ["RECIPES"]


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
        label="MisLAS",
    ),
}
