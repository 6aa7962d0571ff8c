"""A data set on the device, and the batches that are made of it there."""

from collections.abc import Iterator, Sequence
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from gclib.data import Augmentation, LongTailed, Split
from gclib.data.augment import crop_flip, grey, jitter, mix, normalise, pad_images, resized_crop_flip
from gclib.methods.images import Batch, Cut, Draws

__all__ = ["Resident", "evaluation_batch", "finished", "parts", "resident"]

# Images of a test pass at once, and up to how many pixels each. Other numbers give other last bits, so the CPU keeps to
# one; a GPU launches less with larger ones. Larger images fill the memory.
EVALUATION_BATCH = {"cpu": (500, 32 * 32), "cuda": (2500, 64 * 64)}


def evaluation_batch(device: torch.device, pixels: int) -> int:
    """Return how many images of so many pixels go through the network at once where nothing is trained."""
    most, size = EVALUATION_BATCH[device.type]
    return max(1, min(most, most * size // pixels))


def parts(count: int, device: torch.device, pixels: int) -> Iterator[slice]:
    """Cut `count` images of so many pixels into what goes through the network at once where nothing is trained."""
    size = evaluation_batch(device, pixels)
    return (slice(start, start + size) for start in range(0, count, size))


def finished(
    pixels: Tensor,
    draws: Draws,
    labels: Tensor,
    augmentation: Augmentation,
    dtype: torch.dtype,
    other: Batch | None,
) -> Batch:
    """Make a batch of its images, cut and mirrored: colours, normalisation, mixup.

    Parameters
    ----------
    pixels
        uint8, shape ``(B, H, W, C)``.
    draws
        Of these images alone, on their device.
    labels
        Of the whole split.
    augmentation, dtype
        How pixels are normalised, and to which type.
    other
        Batch of a second stream.
    """
    if draws.colours is not None:
        pixels = jitter(pixels, draws.colours)
    if draws.greys is not None:
        pixels = grey(pixels, draws.greys)
    images, targets = normalise(pixels, augmentation, dtype), labels[draws.indices]
    if draws.partners is None or draws.weights is None:
        return Batch(images, targets, None, None, draws.noise, other)
    partners, weight = draws.partners, draws.weights[0]
    return Batch(mix(images, partners, weight), targets, targets[partners], weight, draws.noise, other)


class Resident:
    """A data set that lives on the device as one uint8 tensor; batches are made there by a few tensor operations.

    One form of `gclib.methods.images.Images`.

    Parameters
    ----------
    split
        Images and labels.
    augmentation
        How far they are shifted, and how they are normalised.
    device, dtype
        Where the batches are made, and of which floating-point type.
    """

    recordable = True

    def __init__(
        self, split: Split, augmentation: Augmentation, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.padded = pad_images(torch.from_numpy(np.asarray(split.images)), augmentation.shift).to(device)
        self.labels = torch.from_numpy(split.labels).to(device)
        # What an image costs in a test pass, as if it were one of so many pixels in single precision.
        self.pixels = split.images.shape[1] * split.images.shape[2] * dtype.itemsize // 4
        self.augmentation, self.dtype = augmentation, dtype

    def begin(self, draws: Draws, cuts: Sequence[Cut], place: Draws | None) -> Draws:
        """Bring the draws of an epoch to the device."""
        return draws.to(self.labels.device, place)

    def batch(self, draws: Draws, rows: Tensor, step: Tensor) -> Batch:
        """Make a batch of an epoch's draws."""
        return self._batch(draws.of(rows, step))

    def _batch(self, draws: Draws) -> Batch:
        indices, shift = draws.indices, self.augmentation.shift
        if draws.boxes is None:
            pixels = crop_flip(self.padded, indices, draws.offsets, draws.flips, shift)
        else:
            pixels = resized_crop_flip(self.padded, indices, draws.boxes, draws.flips, shift)
        other = None if draws.other is None else self._batch(draws.other)
        return finished(pixels, draws, self.labels, self.augmentation, self.dtype, other)

    def plain(self, chosen: Tensor | None = None) -> Iterator[Tensor]:
        """Yield the normalised images as they are."""
        shift = self.augmentation.shift
        height, width = self.padded.shape[1] - shift, self.padded.shape[2] - shift
        places = None if chosen is None else chosen.to(self.labels.device)
        count = len(self.labels if places is None else places)
        for part in parts(count, self.labels.device, self.pixels):
            images = self.padded[part if places is None else places[part]]
            yield normalise(images[:, shift:height, shift:width], self.augmentation, self.dtype)


_brought: WeakKeyDictionary[LongTailed, dict[tuple, Resident]] = WeakKeyDictionary()


def resident(
    data: LongTailed, split: Literal["train", "test"], device: torch.device, dtype: torch.dtype
) -> Resident:
    """Return a split of a data set on a device, brought there once: runs side by side share it."""
    brought = _brought.setdefault(data, {})
    key = (split, device, dtype)
    if key not in brought:
        brought[key] = Resident(getattr(data, split), data.augmentation, device, dtype)
        if device.type == "cuda":
            torch.cuda.current_stream(device).synchronize()  # other streams read it
    return brought[key]
