"""The usual way: what the long-tail training scripts of the field do, written from its description.

PIL transforms in a DataLoader, float32 in torch's default layout, mixup from NumPy, a one-hot mask in the loss,
torch's default SGD, loss and accuracies read as Python numbers after each step; class counts and weights of the
sampler image by image.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from gclib.data import LongTailed, Split
from gclib.networks import CosineClassifier

__all__ = [
    "PILFiles",
    "PILImages",
    "UsualGCLLoss",
    "UsualLoop",
    "image_weights",
    "multinomial_indices",
    "photo_transform",
    "transform",
    "usual_resnet32",
]


def transform(data: LongTailed) -> Callable[[Image.Image], Tensor]:
    """The field's augmentation of 32x32 images, on one PIL image."""
    from torchvision import transforms  # takes seconds, which tests of other things need not wait for

    return transforms.Compose(
        [
            transforms.RandomCrop(data.train.images.shape[1], padding=data.augmentation.shift),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(data.augmentation.mean, data.augmentation.std),
        ]
    )


class PILImages(Dataset):
    """Images one by one, each made a PIL image and transformed, as torchvision's CIFAR classes do."""

    def __init__(self, split: Split, transform: Callable[[Image.Image], Tensor]) -> None:
        self.split, self.transform = split, transform

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.split.images[index])), int(self.split.labels[index])


def photo_transform(side: int) -> Callable[[Image.Image], Tensor]:
    """The field's augmentation of photos, without colour jitter, on one PIL image."""
    from torchvision import transforms

    return transforms.Compose(
        [
            transforms.RandomResizedCrop(side),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )


class PILFiles(Dataset):
    """Files one by one, each opened and transformed, as torchvision's ImageFolder does."""

    def __init__(self, paths: Sequence[Path], transform: Callable[[Image.Image], Tensor]) -> None:
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        with self.paths[index].open("rb") as file:
            return self.transform(Image.open(file).convert("RGB"))


class UsualBlock(nn.Module):
    """Two convolutions and the parameter-free shortcut, with batch norm and ReLU as torch has them by default."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.stride, self.padding = stride, (channels - channels_in) // 2

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        if self.padding:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.padding, self.padding))
        out += x
        return F.relu(out)


def usual_resnet32(num_classes: int) -> nn.Sequential:
    """ResNet-32 with a cosine classifier, the network of `gclib.networks` in torch's default layout."""
    widths = [16] * 6 + [32] * 5 + [64] * 5
    blocks = [UsualBlock(a, b, 1 if a == b else 2) for a, b in itertools.pairwise(widths)]
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(
        *stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), CosineClassifier(64, num_classes)
    )


class UsualGCLLoss(nn.Module):
    """GCL, Eqs. 11 and 12, with a distribution object, a one-hot mask and autograd's own backward pass."""

    def __init__(self, class_counts: Sequence[int], scale: float = 30.0, noise_scale: float = 0.5) -> None:
        super().__init__()
        log_counts = torch.log(torch.as_tensor(class_counts, dtype=torch.float32))
        self.delta = log_counts.max() - log_counts
        self.normal = torch.distributions.Normal(0.0, 1 / 3)
        self.scale, self.noise_scale, self.margin = scale, noise_scale, 0.0

    def forward(self, cosine: Tensor, target: Tensor, noise: Tensor | None = None) -> Tensor:
        mask = torch.zeros_like(cosine, dtype=torch.bool)
        mask.scatter_(1, target[:, None], True)
        noise = self.normal.sample(cosine.shape) if noise is None else noise
        cosine = cosine - self.noise_scale * noise.clamp(-1, 1).abs() / self.delta.max() * self.delta
        return F.cross_entropy(self.scale * torch.where(mask, cosine - self.margin, cosine), target)


class UsualLoop:
    """Stage one of GCL step by step. Workers stay alive between the steps; their start is not timed."""

    def __init__(self, data: LongTailed, batch_size: int, workers: int) -> None:
        images = PILImages(data.train, transform(data))
        self.loader = DataLoader(images, batch_size, shuffle=True, num_workers=workers, drop_last=True)
        self.batches: Iterator = iter(())
        self.network = usual_resnet32(data.num_classes).train()
        self.criterion = UsualGCLLoss(data.class_counts)
        # The learning rate of the warm-up's first epoch, as in our loop.
        self.optimizer = torch.optim.SGD(self.network.parameters(), 0.02, momentum=0.9, weight_decay=2e-4)
        self.history: list[tuple[float, float, float]] = []

    def steps(self, count: int) -> None:
        """Train `count` batches; a new epoch begins where one ends."""
        for _ in range(count):
            batch = next(self.batches, None)
            if batch is None:
                self.batches = iter(self.loader)
                batch = next(self.batches)
            self.step(*batch)

    def step(self, images: Tensor, target: Tensor) -> None:
        weight = np.random.beta(1.0, 1.0)  # noqa: NPY002 - the usual way
        partners = torch.randperm(len(images))
        cosine = self.network(weight * images + (1 - weight) * images[partners])
        loss = weight * self.criterion(cosine, target)
        loss = loss + (1 - weight) * self.criterion(cosine, target[partners])
        hits = cosine.topk(5, dim=1).indices.eq(target[:, None])
        top1, top5 = (100 * hits[:, :k].any(1).float().mean() for k in (1, 5))
        self.history.append((loss.item(), top1.item(), top5.item()))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def image_weights(labels: Sequence[int], num_classes: int, beta: float = 0.9999) -> list[float]:
    """Weight of each image for effective-number sampling, by loops over the images."""
    counts = [0] * num_classes
    for label in labels:
        counts[label] += 1
    weights = (1 - beta) / (1 - np.power(beta, counts))
    return [weights[label] for label in labels]


def multinomial_indices(weights: Tensor) -> Tensor:
    """An epoch's indices, by a draw over all images."""
    return torch.multinomial(weights, len(weights), replacement=True)
