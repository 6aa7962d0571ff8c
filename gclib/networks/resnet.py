"""ResNet-32 for 32x32 images, and its form with two tails."""

from contextlib import AbstractContextManager

from torch import Tensor, nn

from gclib.networks.base import Network, TwoTails
from gclib.networks.casts import Convolution, cast_together
from gclib.networks.norms import BatchNorm, NormReLU, norm_relu

__all__ = ["TWO_TAILS", "BasicBlock", "ResNet", "TwoTailResNet", "resnet32"]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a parameter-free shortcut (option A of He et al., CVPR 2016)."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Convolution(channels_in, channels, stride)
        self.norm1 = BatchNorm(channels)
        self.conv2 = Convolution(channels, channels)
        self.norm2 = BatchNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        return norm_relu(self.conv2(norm_relu(self.conv1(x), self.norm1)), self.norm2, x)


class ResNet(Network):
    """CIFAR ResNet of depth ``6 n + 2``.

    Parameters
    ----------
    blocks
        Basic blocks per group, n; 5 for ResNet-32.
    num_classes
        Number of classes C.
    head
        One of `CLASSIFIERS`: ``"linear"`` (with bias), ``"cosine"`` or ``"multi-head"``.
    """

    num_features = 64

    def __init__(self, blocks: int, num_classes: int, head: str) -> None:
        super().__init__()
        groups: list[nn.Module] = []
        channels_in = 16
        for channels, stride in ((16, 1), (32, 2), (64, 2)):
            for k in range(blocks):
                groups.append(BasicBlock(channels_in, channels, stride if k == 0 else 1))
                channels_in = channels
        self.embedding = nn.Sequential(
            Convolution(3, 16),
            NormReLU(16),
            nn.Identity(),  # a weight is found by the number of its layer
            *groups,
            nn.AdaptiveAvgPool2d(1),
        )
        self.head = self.make_head(num_classes, head)
        self.initialise()

    def initialise(self) -> None:
        """Draw the weights of convolutions and linear layers."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def autocast(self, images: Tensor, *modules: nn.Module) -> AbstractContextManager:
        """As of any network; the weights are cast all at once where that is faster."""
        if self.in_bfloat16 and self.casts_together and modules:
            return cast_together(*modules)
        return super().autocast(images)


class TwoTailResNet(TwoTails, ResNet):
    """ResNet with two tails; the feature has both, d = 128.

    Parameters
    ----------
    blocks, num_classes, head
        See `ResNet`.
    """

    num_features = 128

    def __init__(self, blocks: int, num_classes: int, head: str) -> None:
        super().__init__(blocks, num_classes, head)
        self.second_tail = BasicBlock(64, 64, 1)
        self.initialise()
        if isinstance(self.head, nn.Linear):
            self.head.reset_parameters()  # the released code of BBN makes the classifier after the initialisation


TWO_TAILS = "two-tail-"


def resnet32(num_classes: int, head: str = "linear") -> ResNet:
    """ResNet-32, the backbone of every CIFAR-LT table: 464,154 parameters with 10 classes and a linear head.

    Raises
    ------
    UserError
        If `head` is not one of `CLASSIFIERS`, nor one of them behind ``"two-tail-"``; if there is no class.
    """
    network = TwoTailResNet if head.startswith(TWO_TAILS) else ResNet
    return network(5, num_classes, head.removeprefix(TWO_TAILS))
