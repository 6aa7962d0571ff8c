"""Features in the place of images, computed once: for an embedding that does not learn, of images as they are."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gclib.data import LongTailed, Split
from gclib.data.photos import Photos
from gclib.files import write_atomically
from gclib.methods.images import Batch, Cut, Draws, Images
from gclib.networks import Network
from gclib.records import DataSummary, content_hash
from gclib.train.resident import parts, resident
from gclib.train.streamed import Streamed

__all__ = ["Features", "embedded", "featured", "images_of"]

SPLITS: tuple[Literal["train"], Literal["test"]] = ("train", "test")


class Features:
    """The features of a split on the device: one form of `gclib.methods.images.Images`.

    Parameters
    ----------
    split
        Features ``(N, d)`` in the place of images, and labels.
    device, dtype
        Where the batches are made, and of which floating-point type.
    """

    recordable = True
    pixels = 1  # as if each were an image of one

    def __init__(self, split: Split, device: torch.device, dtype: torch.dtype) -> None:
        self.features = torch.from_numpy(np.asarray(split.images)).to(device, dtype)
        self.labels = torch.from_numpy(split.labels).to(device)
        self.dtype = dtype

    def begin(self, draws: Draws, cuts: Sequence[Cut], place: Draws | None) -> Draws:
        """Bring the draws of an epoch to the device."""
        return draws.to(self.labels.device, place)

    def batch(self, draws: Draws, rows: Tensor, step: Tensor) -> Batch:
        """Take the features of a batch of an epoch's draws."""
        indices = draws.indices[rows]
        noise = None if draws.noise is None else draws.noise[rows]
        # Rows copied whole: indexing with a tensor would take value after value.
        return Batch(self.features.index_select(0, indices), self.labels[indices], None, None, noise)

    def plain(self, chosen: Tensor | None = None) -> Iterator[Tensor]:
        """Yield the features, ``(B, d)``."""
        features = self.features if chosen is None else self.features[chosen.to(self.labels.device)]
        return (features[part] for part in parts(len(features), self.labels.device, self.pixels))


def images_of(
    data: LongTailed, split: Literal["train", "test"], device: torch.device, dtype: torch.dtype
) -> Images:
    """Return a split of a data set on a device, in the form that it has: images, photos in their files, or features."""
    part: Split = getattr(data, split)
    if isinstance(part.images, Photos):
        return Streamed(part.images, part.labels, data.augmentation, device, dtype)
    if part.images.ndim == 2:
        return Features(part, device, dtype)
    return resident(data, split, device, dtype)


def featured(
    network: Network, data: LongTailed, device: torch.device, precision: torch.dtype, folder: Path
) -> LongTailed:
    """Return a data set that has features in the place of images, computed once and kept in a file.

    Parameters
    ----------
    network
        Its embedding is what they are computed with.
    data
        Both splits are taken as they are, unaugmented.
    device, precision
        Where, and of which floating-point type.
    folder
        Where the file is kept: runs that share it share the features.
    """
    known = content_hash(
        [
            DataSummary.of(data),
            data.augmentation.mean,
            data.augmentation.std,
            str(precision),
            network.in_bfloat16,
        ]
    )
    path = folder / f"{content_hash([known, _digest(network)])}.safetensors"
    try:
        found = load(path.read_bytes())
    except (OSError, SafetensorError):  # none yet, or a damaged one
        network = network.to(device, precision).to(memory_format=torch.channels_last).eval()
        found = {}
        for split in SPLITS:
            found[split] = embedded(network, images_of(data, split, device, precision))
        write_atomically(path, save(found))
    train, test = (
        Split(found[name].numpy(), part.labels) for name, part in (("train", data.train), ("test", data.test))
    )
    return replace(data, train=train, test=test)


@torch.no_grad()
def embedded(network: Network, images: Images) -> Tensor:
    """Features of images as they are, ``(N, d)`` on the CPU."""
    return torch.cat([network.features(part).cpu() for part in images.plain()])


def _digest(network: Network) -> str:
    """SHA-256 of all that makes the feature."""
    content = hashlib.sha256()
    for name, value in network.state_dict().items():
        if not name.startswith("head."):
            content.update(name.encode() + value.contiguous().numpy().tobytes())
    return content.hexdigest()
