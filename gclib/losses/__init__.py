"""Logit losses for long-tailed data: softmax cross-entropy, adjusted class by class.

Every loss takes logits (or cosines) and targets and returns the batch mean, which class weights make a weighted one;
class counts it takes when it is made. No label is ignored, and an empty batch has no mean: NaN, as in torch. Each
computes in float32 at least: float16 and bfloat16 inputs are safe, float64 stays float64. The attribute
``stochastic`` says whether a loss draws noise. Each refuses logits of another width than the class counts or
weights that it was made for, and each can be differentiated as often as you like by `torch.autograd`, uncompiled;
`GCLLoss` and `LDAMLoss` have a backward pass of their own, which `torch.func` does not take.
"""

from gclib.arrays import validated_counts
from gclib.losses.common import target_gradient
from gclib.losses.features import clouded_logits, noise_on_anchors
from gclib.losses.gcl import GCLLoss, cloud_sizes
from gclib.losses.peers import (
    CrossEntropyLoss,
    FocalLoss,
    LabelAwareSmoothingLoss,
    LDAMLoss,
    LogitAdjustedLoss,
)
from gclib.sampling.clouds import CLOUD_STRATEGIES

__all__ = [
    "CLOUD_STRATEGIES",
    "CrossEntropyLoss",
    "FocalLoss",
    "GCLLoss",
    "LDAMLoss",
    "LabelAwareSmoothingLoss",
    "LogitAdjustedLoss",
    "cloud_sizes",
    "clouded_logits",
    "noise_on_anchors",
    "target_gradient",
    "validated_counts",
]
