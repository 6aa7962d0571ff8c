"""EfficientNet-Lite0, whose ImageNet weights a package of 17 MB holds: a pretrained network without a download."""

from collections import OrderedDict
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gclib.networks.base import Network, TwoTails
from gclib.networks.norms import BatchNorm

__all__ = ["EfficientNetLite0", "TwoTailEfficientNetLite0"]

# Kernel, stride, expansion, channels and repeats of each group (Tan and Le, ICML 2019, Table 1).
GROUPS = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
STEM, WIDTH = 32, 1280


class _Convolution(nn.Conv2d):
    """Convolution without bias, padded as TensorFlow does: where that is uneven, the larger part is below and right."""

    def __init__(
        self, channels_in: int, channels: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(channels_in, channels, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        height, width = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[2:])
        if height or width:
            x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        if self.groups > 1 and x.device.type == "cpu" and x.dtype == torch.float64:
            return _depthwise(x, self.weight, stride)
        return super().forward(x)


def _depthwise(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """A convolution channel by channel, tap by tap: in float64 torch goes through the channels one by one."""
    kernel = weight.shape[2]
    height, width = ((n - kernel) // stride * stride + 1 for n in x.shape[2:])
    taps = (
        x[:, :, row : row + height : stride, column : column + width : stride]
        * weight[:, 0, row, column, None, None]
        for row in range(kernel)
        for column in range(kernel)
    )
    return reduce(Tensor.add_, taps)


def _norm(channels: int) -> BatchNorm:
    norm = BatchNorm(channels)
    norm.eps, norm.momentum = 1e-3, 0.01
    return norm


class _Block(nn.Module):
    """Inverted bottleneck without squeeze-and-excitation, its layers named as in the file of weights."""

    def __init__(self, channels_in: int, channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = channels_in * expansion
        self.expands, self.shortcut = expansion > 1, stride == 1 and channels_in == channels
        if self.expands:
            self._expand_conv = _Convolution(channels_in, width, 1)
            self._bn0 = _norm(width)
        self._depthwise_conv = _Convolution(width, width, kernel, stride, groups=width)
        self._bn1 = _norm(width)
        self._project_conv = _Convolution(width, channels, 1)
        self._bn2 = _norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        out = F.relu6(self._bn1(self._depthwise_conv(out)))
        out = self._bn2(self._project_conv(out))
        return x + out if self.shortcut else out


class EfficientNetLite0(Network):
    """EfficientNet-Lite0 (Tan and Le, ICML 2019, without squeeze-and-excitation, ReLU6) for images of any size.

    Neither dropout nor stochastic depth: all that is random in a step is drawn before it.

    Parameters
    ----------
    num_classes
        Number of classes C.
    head
        One of `gclib.networks.CLASSIFIERS`.
    """

    num_features = WIDTH

    def __init__(self, num_classes: int, head: str) -> None:
        super().__init__()
        blocks, channels_in = [], STEM
        for kernel, stride, expansion, channels, repeats in GROUPS:
            for k in range(repeats):
                blocks.append(_Block(channels_in, channels, kernel, stride if k == 0 else 1, expansion))
                channels_in = channels
        layers = {
            "_conv_stem": _Convolution(3, STEM, 3, 2),
            "_bn0": _norm(STEM),
            "_relu0": nn.ReLU6(),
            "_blocks": nn.Sequential(*blocks),
            "_conv_head": _Convolution(channels_in, WIDTH, 1),
            "_bn1": _norm(WIDTH),
            "_relu1": nn.ReLU6(),
            "_avg_pooling": nn.AdaptiveAvgPool2d(1),
        }
        self.embedding = nn.Sequential(OrderedDict(layers))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        self.head = self.make_head(num_classes, head)

    def row(self) -> list[nn.Module]:
        """As of any network; the last block has the convolution behind it, which makes the feature."""
        *stem, blocks, convolution, norm, relu, pool = self.embedding
        *shared, last = blocks.children()
        return [*stem, *shared, nn.Sequential(last, convolution, norm, relu), pool]


class TwoTailEfficientNetLite0(TwoTails, EfficientNetLite0):
    """EfficientNet-Lite0 with two tails, its feature twice as long; see `EfficientNetLite0`."""

    def __init__(self, num_classes: int, head: str) -> None:
        super().__init__(num_classes, head)
        self.add_tail(num_classes, head)
