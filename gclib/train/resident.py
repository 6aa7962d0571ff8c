"""A data set on the device, and the batches that are made of it there."""

import torch
from torch import Tensor

from gclib.data import Augmentation, Split
from gclib.data.augment import crop_flip, grey, mix, normalise, pad_images
from gclib.methods.stage import Batch, Draws

__all__ = ["Resident"]


class Resident:
    """A data set that lives on the device as one uint8 tensor; batches are made there by a few tensor operations.

    Parameters
    ----------
    split
        Images and labels.
    augmentation
        How far they are shifted, and how they are normalised.
    device, dtype
        Where the batches are made, and of which floating-point type.
    """

    def __init__(
        self, split: Split, augmentation: Augmentation, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.padded = pad_images(torch.from_numpy(split.images), augmentation.shift).to(device)
        self.labels = torch.from_numpy(split.labels).to(device)
        self.augmentation, self.dtype = augmentation, dtype

    def batch(self, draws: Draws, start: int, stop: int, step: int) -> Batch:
        """Make the batch of images ``start .. stop`` of the epoch's draws."""
        cut = slice(start, stop)
        indices = draws.indices[cut]
        shift = self.augmentation.shift
        pixels = crop_flip(self.padded, indices, draws.offsets[cut], draws.flips[cut], shift)
        if draws.greys is not None:
            pixels = grey(pixels, draws.greys[cut])
        images, targets = normalise(pixels, self.augmentation, self.dtype), self.labels[indices]
        noise = None if draws.noise is None else draws.noise[cut]
        other = None if draws.other is None else self.batch(draws.other, start, stop, step)
        if draws.partners is None or draws.weights is None:
            return Batch(images, targets, None, None, noise, other)
        partners, weight = draws.partners[cut], draws.weights[step]
        return Batch(mix(images, partners, weight), targets, targets[partners], weight, noise, other)

    def plain(self, start: int, stop: int) -> Tensor:
        """Normalised images ``start .. stop`` as they are, ``(B, C, H, W)``."""
        shift = self.augmentation.shift
        cut = self.padded[
            start:stop, shift : self.padded.shape[1] - shift, shift : self.padded.shape[2] - shift
        ]
        return normalise(cut, self.augmentation, self.dtype)
