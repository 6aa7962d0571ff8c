"""Networks by name, with their classifiers: ResNet-32 for 32x32 images, others for photos; forms with two tails."""

from gclib.networks.base import Network, TwoTails
from gclib.networks.heads import CLASSIFIERS, CosineClassifier, MultiHeadClassifier
from gclib.networks.make import make_network
from gclib.networks.resnet import BasicBlock, ResNet, TwoTailResNet, resnet32
from gclib.networks.variants import VARIANTS, choose_variant, usable, use
from gclib.networks.weights import read_embedding, read_weights

__all__ = [
    "CLASSIFIERS",
    "VARIANTS",
    "BasicBlock",
    "CosineClassifier",
    "MultiHeadClassifier",
    "Network",
    "ResNet",
    "TwoTailResNet",
    "TwoTails",
    "choose_variant",
    "make_network",
    "read_embedding",
    "read_weights",
    "resnet32",
    "usable",
    "use",
]
