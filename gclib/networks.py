"""ResNet-32 for 32x32 images with its classifiers, and its form with two tails."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load as safetensors_load
from torch import Tensor, nn

from gclib.errors import UserError

__all__ = ["CosineClassifier", "MultiHeadClassifier", "ResNet", "TwoTailResNet", "read_weights", "resnet32"]


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


class MultiHeadClassifier(nn.Module):
    r"""Normalised classifier of K heads, each on its own part of the feature (Tang et al., NeurIPS 2020).

    :math:`z_j=\frac\tau K\sum_k\frac{(w_j^k)^\top x^k}{(\lVert w_j^k\rVert+\gamma)\lVert x^k\rVert}` with K = 2,
    :math:`\tau` = 16 and :math:`\gamma` = 1/32, no bias.

    Parameters
    ----------
    num_features
        Dimension d of the feature, even.
    num_classes
        Number of classes C.
    """

    heads, scale, gamma = 2, 16.0, 1 / 32

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        bound = num_features**-0.5
        self.weight = nn.Parameter(torch.empty(num_classes, num_features).uniform_(-bound, bound))

    def directions(self) -> Tensor:
        """Weights over their norm plus gamma, ``(C, K, d / K)``."""
        weight = self.weight.unflatten(1, (self.heads, -1))
        return weight / (weight.norm(dim=2, keepdim=True) + self.gamma)

    def forward(self, features: Tensor) -> Tensor:
        """Logits ``(B, C)`` of features ``(B, d)``."""
        unit = F.normalize(features.unflatten(1, (self.heads, -1)), dim=2)
        return self.scale / self.heads * torch.einsum("bkd,ckd->bc", unit, self.directions())

    def effect(self, features: Tensor, mean: Tensor) -> Tensor:
        """Logits ``(B, C)`` of that part of each feature which points along the mean feature ``(d,)``."""
        unit = F.normalize(features.unflatten(1, (self.heads, -1)), dim=2)
        along = F.normalize(mean.view(self.heads, -1), dim=1)
        share = torch.einsum("bkd,kd->bk", unit, along)
        return self.scale / self.heads * share @ torch.einsum("ckd,kd->kc", self.directions(), along)


# Name of a head -> its constructor from the number of features and of classes.
CLASSIFIERS: dict[str, Callable[[int, int], nn.Module]] = {
    "linear": nn.Linear,
    "cosine": CosineClassifier,
    "multi-head": MultiHeadClassifier,
}


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
        One of `CLASSIFIERS`: ``"linear"`` (with bias), ``"cosine"`` or ``"multi-head"``.
    """

    num_features = 64
    # Whether the embedding computes in bfloat16. The classifier never does: with 8 bits, cosines near each other tie.
    in_bfloat16 = False

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
            nn.Conv2d(3, 16, 3, 1, 1, bias=False),
            BatchNorm(16),
            nn.ReLU(inplace=True),
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

    def autocast(self, images: Tensor) -> torch.autocast:
        """What everything up to the feature is computed in."""
        return torch.autocast(images.device.type, torch.bfloat16, enabled=self.in_bfloat16)

    def features(self, images: Tensor) -> Tensor:
        """Embedding ``(B, 64)`` of images ``(B, 3, H, W)``, of their dtype; H and W at least 4."""
        with self.autocast(images):
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

    def tail(self, images: Tensor, second: bool) -> Tensor:
        """Feature ``(B, 64)`` of one tail."""
        block = self.second_tail if second else self.embedding[-2]
        with self.autocast(images):
            shared = self.embedding[:-2](images)
            return self.embedding[-1](block(shared)).flatten(1).to(images.dtype)

    def features(self, images: Tensor) -> Tensor:
        """Both tails' features side by side, ``(B, 128)``."""
        with self.autocast(images):
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
