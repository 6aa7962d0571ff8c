"""ResNet-32 for 32x32 images with its classifiers, and its form with two tails."""

from gclib.networks.heads import CLASSIFIERS, CosineClassifier, MultiHeadClassifier
from gclib.networks.resnet import BasicBlock, ResNet, TwoTailResNet, read_weights, resnet32
from gclib.networks.variants import VARIANTS, choose_variant, use

__all__ = [
    "CLASSIFIERS",
    "VARIANTS",
    "BasicBlock",
    "CosineClassifier",
    "MultiHeadClassifier",
    "ResNet",
    "TwoTailResNet",
    "choose_variant",
    "read_weights",
    "resnet32",
    "use",
]
