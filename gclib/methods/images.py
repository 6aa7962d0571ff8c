"""What a stage sees of images: the draws of an epoch, the batch of a step, and the face of all that makes batches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

__all__ = ["Batch", "Cut", "Draws", "Images"]


@dataclass
class Batch:
    """What one step sees, on the device.

    Attributes
    ----------
    images
        Normalised, augmented and mixed, shape ``(B, 3, H, W)``.
    targets
        Classes of the images, int64 ``(B,)``.
    partner_targets
        Classes of their mixup partners, int64 ``(B,)``; None without mixup.
    weight
        Mixup's lambda, a scalar: the share of the image itself. None without mixup.
    noise
        Raw draw of a stochastic loss, ``(B, 1 or 2, C)``, see `Draws`; else None.
    other
        Batch of a second stream, where a method has one; else None.
    """

    images: Tensor
    targets: Tensor
    partner_targets: Tensor | None
    weight: Tensor | None
    noise: Tensor | None
    other: "Batch | None" = None


@dataclass
class Draws:
    """All that is random in one epoch, drawn at once on the host in a fixed order.

    Attributes
    ----------
    indices
        int64 ``(N,)``: images in the order of the epoch.
    offsets, flips
        int64 ``(N, 2)`` and bool ``(N,)``: crop and mirror of each image; see `gclib.data.augment.crop_flip`. Of photos
        the crops are float32 ``(N, 22)``, see `gclib.data.views.box`; int64 for photos as they are.
    partners
        int64 ``(N,)``: position within its own part of a batch of each image's mixup partner; None without mixup.
    weights
        float64 ``(steps,)``: mixup's lambda of each step; None without mixup.
    noise
        float32 ``(N, 1 or 2, C)``: raw draw of a stochastic loss, one for each of mixup's two targets; else None.
    seeds
        int64 ``(steps,)``: of what each step draws as `noise`, where that of an epoch would fill the memory; else None.
    other
        Draws of a second stream of as many images; else None.
    greys
        bool ``(N,)``: which images lose their colour; None for none of them.
    boxes
        int64 ``(N, 4)``: top, left, height and width of the part of each image that is enlarged to the whole, in place
        of the crop by `offsets`; None for that crop. See `gclib.data.augment.resized_crop_flip`.
    colours
        float32 ``(N, 3 or 4)``: brightness, contrast, saturation and perhaps hue of each image; see
        `gclib.data.augment.jitter`. None for the colours as they are.
    """

    indices: Tensor
    offsets: Tensor
    flips: Tensor
    partners: Tensor | None = None
    weights: Tensor | None = None
    noise: Tensor | None = None
    other: "Draws | None" = None
    greys: Tensor | None = None
    boxes: Tensor | None = None
    colours: Tensor | None = None
    seeds: Tensor | None = None

    def of(self, rows: Tensor | slice, step: Tensor | slice) -> "Draws":
        """Those of one batch: `rows` of what each image has, the one `step` of what each step has."""
        found: dict[str, Any] = {}
        for name, value in vars(self).items():
            found[name] = value.of(rows, step) if isinstance(value, Draws) else value
            if isinstance(value, Tensor):
                found[name] = value[step if name in ("weights", "seeds") else rows]
        return Draws(**found)

    def pinned(self) -> "Draws":
        """Put the whole epoch into memory from which a GPU takes it without making the host wait."""
        return self._each(lambda value, _: value.pin_memory())

    def to(self, device: torch.device, place: "Draws | None" = None) -> "Draws":
        """Move the whole epoch to the device; into the tensors of `place`, of the same shapes, where it is given."""
        if place is None:
            return self._each(lambda value, _: value.to(device, non_blocking=True))
        return self._each(lambda value, kept: kept.copy_(value, non_blocking=True), place)

    def _each(self, change: Callable[[Tensor, Any], Tensor], place: "Draws | None" = None) -> "Draws":
        changed: dict[str, Any] = {}
        for name, value in vars(self).items():
            kept = place and getattr(place, name)
            changed[name] = value._each(change, kept) if isinstance(value, Draws) else value
            if isinstance(value, Tensor):
                changed[name] = change(value, kept)
        return Draws(**changed)


class Cut(NamedTuple):
    """Images `start` .. `stop` of an epoch, which go into the 0-based `step`."""

    step: int
    start: int
    stop: int


class Images(Protocol):
    """A split of a data set as batches on a device, in whatever form it lies there.

    Attributes
    ----------
    labels
        int64 ``(N,)``, on the device.
    pixels
        What an image costs in a test pass, in pixels of an image.
    dtype
        Floating-point type of the batches.
    recordable
        Whether a batch is a fixed function of tensors on the device, so that a step can be recorded with its making.
    """

    labels: Tensor
    pixels: int
    dtype: torch.dtype
    recordable: bool

    def begin(self, draws: Draws, cuts: Sequence[Cut], place: Draws | None) -> Draws:
        """Begin an epoch.

        Parameters
        ----------
        draws
            Of the whole epoch, on the host.
        cuts
            What `batch` will be asked for, in this order.
        place
            Draws of an epoch before, in whose tensors those of this one come; None for tensors of their own.

        Returns
        -------
        Draws
            What `batch` takes.
        """

    def batch(self, draws: Draws, rows: Tensor, step: Tensor) -> Batch:
        """Make a batch of an epoch's draws.

        Parameters
        ----------
        draws
            Of the whole epoch, as `begin` gave them.
        rows
            int64, shape ``(B,)``, on the device: the positions of the batch's images in them.
        step
            int64, shape ``(1,)``, on the device: the number of the step in the epoch, from 0.
        """

    def plain(self, chosen: Tensor | None = None) -> Iterator[Tensor]:
        """Yield the normalised images as a test sees them, ``(B, C, H, W)``, so many at a time as fit.

        Parameters
        ----------
        chosen
            int64, on the CPU: which, in this order; None for all.
        """
