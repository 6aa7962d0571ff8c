"""OLTR (Liu et al., CVPR 2019): attention over the feature map, a memory of class centroids, a cosine classifier.

The paper has no CIFAR-LT setting. Chosen here: stage one of ``ce``, then 30 epochs of class-balanced sampling at the
rates of the released Places-LT configuration. That one freezes a pre-trained embedding; here, as in the released
ImageNet-LT configuration, the embedding comes from stage one and goes on learning.
"""

from gclib.data import LongTailed
from gclib.methods import softmax
from gclib.methods.settings import CODE, OURS, Definition, SamplerSettings, Schedule, StageSettings

__all__ = ["RECIPES"]


def _oltr(data: LongTailed) -> tuple[StageSettings, ...]:
    stage_two = StageSettings(
        name="stage-two",
        method="OLTR",
        epochs=30,
        learning_rate=0.01,
        weight_decay=5e-4,
        schedule=Schedule(warmup=0, milestones=(1 / 3, 2 / 3), factors=(0.1, 0.01)),
        sampler=SamplerSettings(strategy="class"),
    )
    return (*softmax.RECIPES["ce"].stages(data), stage_two)


RECIPES = {
    "oltr": Definition(
        "Cross-entropy, then OLTR's memory.",
        "linear",
        _oltr,
        "Liu et al., CVPR 2019; stage one by Cao et al., NeurIPS 2019",
        {
            "": CODE,
            **dict.fromkeys((f"stage-two.{name}" for name in ("epochs", "batch_size", "schedule")), OURS),
        },
        unified="oltr-unified",
        label="OLTR",
    ),
}
