"""ResNet-32 for 32x32 images, with a linear or a cosine classifier."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["CosineClassifier", "ResNet", "resnet32"]


class CosineClassifier(nn.Module):
    """Classifier whose output is ``cos(theta_j)``, the cosine between the feature and the anchor of class j (Eq. 8).

    Parameters
    ----------
    num_features
        Dimension d of the feature.
    num_classes
        Number of classes C.

    Notes
    -----
    Anchors start uniform in (-1, 1) with unit norm. Weight decay acts on their norm, although the output ignores it,
    as in the LDAM and GCL codes.
    """

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_classes, num_features))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new anchors."""
        with torch.no_grad():
            self.weight.copy_(F.normalize(self.weight.uniform_(-1, 1)))

    def forward(self, features: Tensor) -> Tensor:
        """Cosines in -1..1, shape ``(B, C)``, of features ``(B, d)``."""
        return F.linear(F.normalize(features), F.normalize(self.weight))


class BatchNorm(nn.BatchNorm2d):
    """Batch norm without the counter of batches: a captured training step holds nothing that counts up."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.num_batches_tracked = None

    def _load_from_state_dict(self, state_dict: dict, prefix: str, local_metadata: dict, *rest: Any) -> None:
        # Without a version torch takes the weights for old ones and asks for the counter.
        super()._load_from_state_dict(state_dict, prefix, {**local_metadata, "version": 2}, *rest)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a parameter-free shortcut (option A of He et al., CVPR 2016)."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.norm1 = BatchNorm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = BatchNorm(channels)
        self.stride = stride
        self.padding = (channels - channels_in) // 2

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        # In place where nothing reads the old values again: a step is bound by memory, and the bits stay the same.
        out = F.relu(self.norm1(self.conv1(x)), inplace=True)
        out = self.norm2(self.conv2(out))
        if self.padding:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(out.add_(x), inplace=True)


class ResNet(nn.Module):
    """CIFAR ResNet of depth ``6 n + 2``: `features` gives the embedding, `head` the logits or cosines.

    Parameters
    ----------
    blocks
        Basic blocks per group, n; 5 for ResNet-32.
    num_classes
        Number of classes C.
    head
        ``"linear"`` (with bias) or ``"cosine"``.
    """

    num_features = 64
    head: nn.Linear | CosineClassifier
    # Whether the embedding computes in bfloat16. The classifier never does: with 8 bits, cosines near each other tie.
    in_bfloat16 = False

    def __init__(self, blocks: int, num_classes: int, head: str) -> None:
        super().__init__()
        if head not in ("linear", "cosine"):
            raise ValueError(f"head {head!r}: expected 'linear' or 'cosine'")
        groups: list[nn.Module] = []
        channels_in = 16
        for channels, stride in ((16, 1), (32, 2), (64, 2)):
            for k in range(blocks):
                groups.append(BasicBlock(channels_in, channels, stride if k == 0 else 1))
                channels_in = channels
        self.embedding = nn.Sequential(
            nn.Conv2d(3, 16, 3, 1, 1, bias=False),
            BatchNorm(16),
            nn.ReLU(inplace=True),
            *groups,
            nn.AdaptiveAvgPool2d(1),
        )
        if head == "linear":
            self.head = nn.Linear(self.num_features, num_classes)
        else:
            self.head = CosineClassifier(self.num_features, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def features(self, images: Tensor) -> Tensor:
        """Embedding ``(B, 64)`` of images ``(B, 3, H, W)``; H and W at least 4."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.in_bfloat16):
            return self.embedding(images).flatten(1).to(images.dtype)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (linear head) or cosines (cosine head), shape ``(B, C)``."""
        return self.head(self.features(images))


def resnet32(num_classes: int, head: str = "linear") -> ResNet:
    """ResNet-32, the backbone of every CIFAR-LT table: 464,154 parameters with 10 classes and a linear head."""
    return ResNet(5, num_classes, head)
