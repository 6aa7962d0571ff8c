"""Batched augmentation on the device, with randomness per image.

torchvision draws one crop for a whole batch; here every image has its own, and crop, flip and the gather of the
batch are one indexing operation on a zero-padded, resident uint8 tensor.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from gclib.data.sources import Augmentation

__all__ = ["crop_flip", "grey", "jitter", "mix", "normalise", "pad_images", "resized_crop_flip"]

LUMA = (0.299, 0.587, 0.114)  # of ITU-R BT.601


def pad_images(images: Tensor, shift: int) -> Tensor:
    """Zero-pad ``(N, H, W, C)`` images by `shift` pixels on each side, once, so that a crop is only an index."""
    return F.pad(images, (0, 0, shift, shift, shift, shift))


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


def resized_crop_flip(padded: Tensor, indices: Tensor, boxes: Tensor, flips: Tensor, shift: int) -> Tensor:
    """Gather a batch, a box of each image enlarged to its whole size (bilinear, as torchvision resizes) and flipped.

    Parameters
    ----------
    padded
        uint8, shape ``(N, H + 2 shift, W + 2 shift, C)``; see `pad_images`. The padding is not used.
    indices
        int64, shape ``(B,)``: which images.
    boxes
        int64, shape ``(B, 4)``: top, left, height and width within the image.
    flips
        bool, shape ``(B,)``: which are mirrored left to right.
    shift
        The padding of `padded`.

    Returns
    -------
    Tensor
        uint8, shape ``(B, H, W, C)``.
    """
    images = padded[:, shift : padded.shape[1] - shift, shift : padded.shape[2] - shift][indices]
    height, width = images.shape[1:3]
    top, left, box_height, box_width = boxes.float()[:, :, None].unbind(1)
    rows, columns = (torch.arange(n, device=padded.device) for n in (height, width))
    columns = torch.where(flips[:, None], width - 1 - columns, columns)

    def places(along: Tensor, start: Tensor, length: Tensor, size: int) -> Tensor:
        """Where pixels are read, in -1..1 over `size`; none beyond the middles of the box's outermost pixels."""
        within = ((along + 0.5) * length / size - 0.5).clamp(min=0).minimum(length - 1)
        return (2 * (start + within) + 1) / size - 1

    y, x = places(rows, top, box_height, height), places(columns, left, box_width, width)
    grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), dim=3)
    resized = F.grid_sample(
        images.permute(0, 3, 1, 2).float(), grid, padding_mode="border", align_corners=False
    )
    return resized.round().to(images.dtype).permute(0, 2, 3, 1)


def grey(images: Tensor, chosen: Tensor) -> Tensor:
    """Turn the `chosen` (bool, ``(B,)``) of uint8 ``(B, H, W, 3)`` images grey, by the luma of ITU-R BT.601."""
    return torch.where(chosen[:, None, None, None], _luma(images).round().to(images.dtype), images)


def jitter(images: Tensor, colours: Tensor) -> Tensor:
    """Change the colours of each image by its own factors, as torchvision's ColorJitter does.

    Brightness first, then contrast, saturation and hue: torchvision draws that order anew for each image.

    Parameters
    ----------
    images
        uint8, shape ``(B, H, W, 3)``.
    colours
        float32, shape ``(B, 3)`` or ``(B, 4)``: factors >= 0 of brightness, contrast and saturation, and perhaps the
        shift of the hue in turns, -0.5..0.5. 1, 1, 1, 0 change nothing.

    Returns
    -------
    Tensor
        uint8, shape ``(B, H, W, 3)``.
    """
    brightness, contrast, saturation, *turns = colours[:, :, None, None, None].unbind(1)
    pixels = (images / 255 * brightness).clamp(max=1)
    pixels = torch.lerp(_luma(pixels).mean((1, 2), keepdim=True), pixels, contrast).clamp(0, 1)
    pixels = torch.lerp(_luma(pixels), pixels, saturation).clamp(0, 1)
    for turn in turns:
        pixels = _turn_hue(pixels, turn)
    return (255 * pixels).round().to(images.dtype)


def _luma(images: Tensor) -> Tensor:
    return (images * _constants(LUMA, torch.float32, images.device)).sum(3, keepdim=True)


def _turn_hue(pixels: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of ``(B, H, W, 3)`` pixels in 0..1, with value and saturation of HSV kept."""
    red, green, blue = pixels.split(1, dim=3)
    value = pixels.amax(3, keepdim=True)
    chroma = value - pixels.amin(3, keepdim=True)
    by = torch.where(chroma > 0, chroma, 1)
    sixths = torch.where(
        value == red,
        (green - blue) / by,
        torch.where(value == green, 2 + (blue - red) / by, 4 + (red - green) / by),
    )
    # A channel falls below the value by as much as the hue is away from it.
    away = (_constants((5.0, 3.0, 1.0), pixels.dtype, pixels.device) + sixths + 6 * turn) % 6
    return value - chroma * torch.minimum(away, 4 - away).clamp(0, 1)


@cache  # to bring them to a GPU anew for every batch would make the host wait for it each time
def _constants(values: tuple[float, ...], dtype: torch.dtype, device: torch.device, times: int = 1) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=device).repeat(times, 1)


def normalise(images: Tensor, augmentation: Augmentation, dtype: torch.dtype) -> Tensor:
    """Turn uint8 ``(B, H, W, C)`` pixels into normalised ``(B, C, H, W)`` input of `dtype`.

    The result is a view with the channels innermost, which is torch's channels-last layout: no copy is made.
    """
    factor, offset = _factor_and_offset(augmentation, dtype, images.device, images.shape[2])
    return images.to(dtype).mul_(factor).sub_(offset).permute(0, 3, 1, 2)


@cache
def _factor_and_offset(
    augmentation: Augmentation, dtype: torch.dtype, device: torch.device, width: int
) -> tuple[Tensor, Tensor]:
    # For each pixel of a row: three numbers alone would be too short a loop for the CPU's vector units.
    mean = _constants(augmentation.mean, dtype, device, width)
    std = _constants(augmentation.std, dtype, device, width)
    return 1 / (255 * std), mean / std


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
