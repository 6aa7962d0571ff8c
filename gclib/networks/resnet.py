"""ResNet-32 for 32x32 images, and its form with two tails."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as safetensors_load
from torch import Tensor, nn

from gclib.errors import UserError
from gclib.networks.casts import Convolution, cast_together
from gclib.networks.heads import CLASSIFIERS
from gclib.networks.norms import BatchNorm, NormReLU, norm_relu

__all__ = ["BasicBlock", "ResNet", "TwoTailResNet", "read_weights", "resnet32"]


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


class ResNet(nn.Module):
    """CIFAR ResNet of depth ``6 n + 2``: `features` gives the embedding, `head` the logits or cosines.

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
    # Whether the embedding computes in bfloat16. The classifier never does: with 8 bits, cosines near each other tie.
    in_bfloat16 = False
    # Whether the weights are cast to it all at once.
    casts_together = False

    def __init__(self, blocks: int, num_classes: int, head: str) -> None:
        super().__init__()
        if head not in CLASSIFIERS:
            raise ValueError(f"head {head!r}: expected one of {', '.join(CLASSIFIERS)}")
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
        self.head: Any = CLASSIFIERS[head](self.num_features, num_classes)
        self.initialise()

    def initialise(self) -> None:
        """Draw the weights of convolutions and linear layers."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def autocast(self, images: Tensor, *modules: nn.Module) -> AbstractContextManager:
        """What everything up to the feature is computed in; `modules` are those that compute it, if only ours do."""
        if self.in_bfloat16 and self.casts_together and modules:
            return cast_together(*modules)
        return torch.autocast(images.device.type, torch.bfloat16, enabled=self.in_bfloat16)

    def features(self, images: Tensor) -> Tensor:
        """Embedding ``(B, 64)`` of images ``(B, 3, H, W)``, of their dtype; H and W at least 4."""
        with self.autocast(images, self.embedding):
            return self.embedding(images).flatten(1).to(images.dtype)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (linear head) or cosines (cosine head), shape ``(B, C)``."""
        return self.head(self.features(images))


class TwoTailResNet(ResNet):
    """ResNet whose last block is there twice, as in BBN (Zhou et al., CVPR 2020); the feature has both, d = 128.

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

    def tail(self, images: Tensor, second: bool) -> Tensor:
        """Feature ``(B, 64)`` of one tail."""
        block = self.second_tail if second else self.embedding[-2]
        with self.autocast(images, self.embedding[:-2], block):
            shared = self.embedding[:-2](images)
            return self.embedding[-1](block(shared)).flatten(1).to(images.dtype)

    def features(self, images: Tensor) -> Tensor:
        """Both tails' features side by side, ``(B, 128)``."""
        with self.autocast(images, self.embedding, self.second_tail):
            shared = self.embedding[:-2](images)
            tails = [self.embedding[-1](block(shared)) for block in (self.embedding[-2], self.second_tail)]
            return torch.cat(tails, dim=1).flatten(1).to(images.dtype)


TWO_TAILS = "two-tail-"


def resnet32(num_classes: int, head: str = "linear") -> ResNet:
    """ResNet-32, the backbone of every CIFAR-LT table: 464,154 parameters with 10 classes and a linear head.

    Raises
    ------
    ValueError
        If `head` is not one of `CLASSIFIERS`, nor one of them behind ``"two-tail-"``.
    """
    network = TwoTailResNet if head.startswith(TWO_TAILS) else ResNet
    return network(5, num_classes, head.removeprefix(TWO_TAILS))


def read_weights(path: str | Path, num_classes: int, head: str) -> dict[str, Tensor]:
    """Read weights of `resnet32` that a run kept.

    Parameters
    ----------
    path
        A safetensors file.
    num_classes, head
        See `resnet32`.

    Returns
    -------
    dict
        Name to tensor, float32, as ``load_state_dict`` takes it.

    Raises
    ------
    UserError
        If the file cannot be read, holds the weights of another network, or a value that is not finite.
    """
    try:
        weights = {name: value.float() for name, value in safetensors_load(Path(path).read_bytes()).items()}
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path} holds no weights ({error}); expected a .safetensors file beside a record"
        ) from error
    with torch.device("meta"):  # shapes alone
        network = resnet32(num_classes, head).state_dict()
    if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in network.items()}:
        raise UserError(
            f"{path} holds the weights of another network; expected ResNet-32 with a {head} head and "
            f"{num_classes} classes"
        )
    if odd := next((name for name, value in weights.items() if not value.isfinite().all()), None):
        raise UserError(f"{path}: {odd} holds NaN or an infinity; expected finite weights")
    return weights
