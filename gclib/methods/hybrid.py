"""Hybrid contrastive learning (Wang et al., CVPR 2021): an embedding learned by contrast, a classifier beside it.

No code was released. Chosen here, for the paper does not say: one hidden layer as wide as the feature and 128 outputs
for the projection; class-balanced images for the classifier, each image once an epoch for the contrast.

The settings that the paper does name (temperature, batch, learning rate, weight decay, grey images) are those of
supervised contrastive learning (Khosla et al., NeurIPS 2020), whose "random crop" is a random resized crop, whose views
have their colours jittered too, and whose larger batches warm up for ten epochs. The variants of ``hybrid-sc`` each
take one of these over; ``hybrid-sc-joint`` has one forward pass of both streams instead.
"""

from functools import partial
from typing import Any

from gclib.data import LongTailed
from gclib.methods.settings import OURS, PAPER, Definition, SamplerSettings, Schedule, StageSettings

__all__ = ["RECIPES"]


def _hybrid(
    data: LongTailed, contrast: str, warmup: float = 0, **parameters: bool
) -> tuple[StageSettings, ...]:
    few = data.num_classes < 50
    return (
        StageSettings(
            name="stage-one",
            method="hybrid",
            epochs=200,
            batch_size=512,
            learning_rate=0.5,
            weight_decay=1e-4,
            schedule=Schedule(warmup=warmup, milestones=(0.6, 0.8), factors=(0.1, 0.01)),
            sampler=SamplerSettings(strategy="class"),
            parameters={
                "contrast": contrast,
                "temperature": 1.0 if few and contrast != "supervised" else 0.1,
                **parameters,
            },
        ),
    )


_WANG = ("Wang et al., CVPR 2021", {"": PAPER, "stage-one.sampler": OURS, "stage-one.schedule.warmup": OURS})


def _variant(summary: str, label: str, warmup: float = 0, **parameters: bool) -> Definition:
    """Make a recipe that differs from ``hybrid-sc`` in what is said."""
    changes: dict[str, Any] = {"contrast": "supervised", "warmup": warmup, **parameters}
    own = dict.fromkeys((f"stage-one.parameters.{name}" for name in parameters), OURS)
    return Definition(summary, "linear", partial(_hybrid, **changes), _WANG[0], _WANG[1] | own, label=label)


_WARMUP = 0.05  # ten epochs of 200

RECIPES = {
    "hybrid-sc": Definition(
        "Hybrid network with supervised contrast.",
        "linear",
        partial(_hybrid, contrast="supervised"),
        *_WANG,
        unified="hybrid-sc-unified",
        label="Hybrid-SC",
    ),
    "hybrid-psc": Definition(
        "Hybrid network with prototypical contrast.",
        "linear",
        partial(_hybrid, contrast="prototypical"),
        *_WANG,
        unified="hybrid-psc-unified",
        label="Hybrid-PSC",
    ),
    "hybrid-sc-resized-crop": _variant(
        "hybrid-sc with random resized crops in place of padded ones.",
        resized_crop=True,
        label="Hybrid-SC, resized crop",
    ),
    "hybrid-sc-warmup": _variant(
        "hybrid-sc with a warm-up of ten epochs.",
        warmup=_WARMUP,
        label="Hybrid-SC, warm-up",
    ),
    "hybrid-sc-jitter": _variant(
        "hybrid-sc with colour jitter.",
        jitter=True,
        label="Hybrid-SC, colour jitter",
    ),
    "hybrid-sc-joint": _variant(
        "hybrid-sc with one forward pass of both streams, and whole batches only.",
        joint=True,
        label="Hybrid-SC, one forward pass",
    ),
    "hybrid-sc-all": _variant(
        "hybrid-sc with resized crops, colour jitter, warm-up, and one forward pass of both streams.",
        warmup=_WARMUP,
        resized_crop=True,
        jitter=True,
        joint=True,
        label="Hybrid-SC, all variants",
    ),
}
