"""Batched augmentation on the device, with randomness per image.

torchvision draws one crop for a whole batch; here every image has its own, and crop, flip and the gather of the
batch are one indexing operation on a zero-padded, resident uint8 tensor.
"""

from functools import cache

import torch
from torch import Tensor

from gclib.data.sources import Augmentation

__all__ = ["crop_flip", "grey", "mix", "normalise", "pad_images"]


def pad_images(images: Tensor, shift: int) -> Tensor:
    """Zero-pad ``(N, H, W, C)`` images by `shift` pixels on each side, once, so that a crop is only an index."""
    return torch.nn.functional.pad(images, (0, 0, shift, shift, shift, shift))


def crop_flip(padded: Tensor, indices: Tensor, offsets: Tensor, flips: Tensor, shift: int) -> Tensor:
    """Gather a batch from the padded images, each image with its own crop and flip.

    Parameters
    ----------
    padded
        uint8, shape ``(N, H + 2 shift, W + 2 shift, C)``; see `pad_images`.
    indices
        int64, shape ``(B,)``: which images.
    offsets
        int64, shape ``(B, 2)``, in ``0 .. 2 shift``: top-left corner of each crop. `shift` in both is no shift.
    flips
        bool, shape ``(B,)``: which crops are mirrored left to right.
    shift
        The padding of `padded`.

    Returns
    -------
    Tensor
        uint8, shape ``(B, H, W, C)``.
    """
    height, width = padded.shape[1] - 2 * shift, padded.shape[2] - 2 * shift
    rows = torch.arange(height, device=padded.device) + offsets[:, :1]
    columns = torch.arange(width, device=padded.device).expand(len(indices), -1)
    columns = torch.where(flips[:, None], width - 1 - columns, columns) + offsets[:, 1:]
    return padded[indices[:, None, None], rows[:, :, None], columns[:, None, :]]


def grey(images: Tensor, chosen: Tensor) -> Tensor:
    """Turn the `chosen` (bool, ``(B,)``) of uint8 ``(B, H, W, 3)`` images grey, by the luma of ITU-R BT.601."""
    luma = (images * _constants((0.299, 0.587, 0.114), torch.float32, images.device)).sum(3, keepdim=True)
    return torch.where(chosen[:, None, None, None], luma.round().to(images.dtype), images)


@cache  # to bring them to a GPU anew for every batch would make the host wait for it each time
def _constants(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=device)


def normalise(images: Tensor, augmentation: Augmentation, dtype: torch.dtype) -> Tensor:
    """Turn uint8 ``(B, H, W, C)`` pixels into normalised ``(B, C, H, W)`` input of `dtype`.

    The result is a view with the channels innermost, which is torch's channels-last layout: no copy is made.
    """
    mean = _constants(augmentation.mean, dtype, images.device)
    std = _constants(augmentation.std, dtype, images.device)
    return images.to(dtype).mul_(1 / (255 * std)).sub_(mean / std).permute(0, 3, 1, 2)


def mix(images: Tensor, partners: Tensor, weight: Tensor) -> Tensor:
    """Mixup (Zhang et al., ICLR 2018): ``weight * x_i + (1 - weight) * x_partner(i)`` within the batch.

    Parameters
    ----------
    images
        Normalised input, shape ``(B, C, H, W)``.
    partners
        int64, shape ``(B,)``: position in the batch of each image's partner.
    weight
        Scalar tensor, one for the batch, as MisLAS and the released GCL code have it.
    """
    return torch.lerp(images[partners], images, weight.to(images.dtype))
