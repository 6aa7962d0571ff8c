"""Hybrid contrastive learning (Wang et al., CVPR 2021): an embedding learned by contrast, a classifier beside it.

No code was released. Chosen here, for the paper does not say: one hidden layer as wide as the feature and 128 outputs
for the projection; class-balanced images for the classifier, each image once an epoch for the contrast.
"""

from functools import partial

from gclib.data import LongTailed
from gclib.methods.settings import OURS, PAPER, Definition, SamplerSettings, Schedule, StageSettings

__all__ = ["RECIPES"]


def _hybrid(data: LongTailed, contrast: str) -> tuple[StageSettings, ...]:
    few = data.num_classes < 50
    return (
        StageSettings(
            name="stage-one",
            method="hybrid",
            epochs=200,
            batch_size=512,
            learning_rate=0.5,
            weight_decay=1e-4,
            schedule=Schedule(warmup=0, milestones=(0.6, 0.8), factors=(0.1, 0.01)),
            sampler=SamplerSettings(strategy="class"),
            parameters={
                "contrast": contrast,
                "temperature": 1.0 if few and contrast != "supervised" else 0.1,
            },
        ),
    )


_WANG = ("Wang et al., CVPR 2021", {"": PAPER, "stage-one.sampler": OURS, "stage-one.schedule.warmup": OURS})

RECIPES = {
    "hybrid-sc": Definition(
        "Hybrid network with supervised contrast.",
        "linear",
        partial(_hybrid, contrast="supervised"),
        *_WANG,
        unified="hybrid-sc-unified",
    ),
    "hybrid-psc": Definition(
        "Hybrid network with prototypical contrast.",
        "linear",
        partial(_hybrid, contrast="prototypical"),
        *_WANG,
        unified="hybrid-psc-unified",
    ),
}
