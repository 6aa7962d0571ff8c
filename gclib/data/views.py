"""A photo as a network sees it: decoded, cut and scaled as numbers say that were drawn elsewhere."""

import math
from collections.abc import Callable, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gclib.data.photos import scaled_side
from gclib.data.pictures import in_colour, readable

__all__ = ["NUMBERS", "box", "centre", "decoder_name", "test_view", "training_view"]

# Random resized crops (Szegedy et al., CVPR 2015, as in torchvision): share of the area, aspect ratio, tries.
AREA, ASPECT, TRIES = (0.08, 1.0), (3 / 4, 4 / 3), 10
NUMBERS = 2 * TRIES + 2  # uniform in 0..1, that a crop is made of; see `box`
JPEG = b"\xff\xd8\xff"
LARGE = 2**19  # bytes of a file: a photo of several megapixels
EXIF_ORIENTATION = 0x0112
STRIP = 8  # times as long as it is wide


@cache
def _torchcodec() -> Callable[..., Any] | None:
    """Torchcodec's decoder where it is installed and can be loaded, which takes less time than Pillow's."""
    try:
        from torchcodec.decoders import decode_jpeg
    except Exception:  # not there, or built for another version of torch
        return None
    return decode_jpeg


def decoder_name() -> str:
    """Name and version of what decodes JPEGs here."""
    if _torchcodec() is not None:
        import torchcodec

        return f"torchcodec {torchcodec.__version__.partition('+')[0]}"
    import PIL

    return f"pillow {PIL.__version__}"


def decoded(path: Path, scale: Callable[[int, int], float] | None = None) -> Tensor:
    """Decode a photo upright, uint8 ``(3, H, W)``.

    What is no JPEG, or none that torchcodec takes, is read by Pillow, whatever its name; see
    `gclib.data.pictures.read_image` for depth, rotation and transparency. So is a JPEG of `LARGE` bytes or more, at a
    half, a quarter or an eighth of its size.

    Parameters
    ----------
    path
        The file.
    scale
        Takes height and width of the photo, upright, and returns how many of its pixels a side come into one.

    Raises
    ------
    UserError
        If it is no readable image; the message is what is wrong, without the path.
    """
    decode = _torchcodec()
    with readable():
        content = path.read_bytes()
        large = len(content) >= LARGE
        if decode is not None and content.startswith(JPEG) and not large:
            try:
                return decode(content, mode="RGB")
            except RuntimeError:  # Pillow reads more kinds of JPEG, and says of a damaged one what is wrong
                pass
        return _by_pillow(content, scale if large else None)


def _by_pillow(content: bytes, scale: Callable[[int, int], float] | None) -> Tensor:
    from PIL import Image

    with Image.open(BytesIO(content)) as image:
        width, height = image.size
        if scale is not None:
            turned = image.getexif().get(EXIF_ORIENTATION, 1) >= 5
            by = max(1.0, (scale(width, height) if turned else scale(height, width)) / 2)
            # Of a JPEG; at least two pixels are left for one, so that it is still scaled as any other.
            image.draft(None, (int(width / by), int(height / by)))
        return _as_tensor(image)


def _as_tensor(image: Any) -> Tensor:
    """Pixels of an image of Pillow, upright and in colour, uint8 ``(3, H, W)``."""
    from PIL import ImageOps

    return torch.from_numpy(np.array(in_colour(ImageOps.exif_transpose(image)))).permute(2, 0, 1)


def box(numbers: Sequence[float], height: int, width: int) -> tuple[int, int, int, int]:
    """Top, left, height and width of a random resized crop, with torchvision's distribution.

    torchvision draws area and aspect ratio until a box fits into the photo, ten times at most, and then its place; else
    it takes the largest box of an allowed ratio in the middle. How large the photo is only the worker knows that
    decodes it, so it is handed all ten.

    Parameters
    ----------
    numbers
        `NUMBERS` of them, each in [0, 1): ten areas, ten ratios (uniform in the logarithm), and two of the place.
    height, width
        Of the photo, in pixels.
    """
    low, high = (math.log(ratio) for ratio in ASPECT)
    for area, ratio in zip(numbers[:TRIES], numbers[TRIES : 2 * TRIES], strict=True):
        target = height * width * (AREA[0] + area * (AREA[1] - AREA[0]))
        aspect = math.exp(low + ratio * (high - low))
        h, w = round(math.sqrt(target / aspect)), round(math.sqrt(target * aspect))
        if 0 < h <= height and 0 < w <= width:
            return int(numbers[-2] * (height - h + 1)), int(numbers[-1] * (width - w + 1)), h, w
    h = min(height, round(width / ASPECT[0]))
    w = min(width, round(height * ASPECT[1]))
    return (height - h) // 2, (width - w) // 2, h, w


def training_view(path: Path, side: int, numbers: Sequence[float], flipped: bool) -> Tensor:
    """Return a box of a photo brought to ``side`` x ``side`` pixels, mirrored or not: uint8 ``(3, side, side)``."""
    photo = decoded(path, lambda height, width: min(box(numbers, height, width)[2:]) / side)
    top, left, height, width = box(numbers, *photo.shape[1:])
    view = _scaled(photo[:, top : top + height, left : left + width], side, side)
    return view.flip(2) if flipped else view


def test_view(path: Path, side: int) -> Tensor:
    """Return the `centre` of a photo in a file."""
    return centre(decoded(path, lambda height, width: min(height, width) / scaled_side(side)), side)


def centre(photo: Any, side: int) -> Tensor:
    """Return the centre of a photo, its shorter side scaled before (`gclib.data.photos.scaled_side`).

    Parameters
    ----------
    photo
        uint8 ``(3, H, W)``, or an image of Pillow.
    side
        In pixels.

    Returns
    -------
    Tensor
        uint8, shape ``(3, side, side)``.
    """
    pixels = photo if isinstance(photo, Tensor) else _as_tensor(photo)
    shorter, least = scaled_side(side), min(pixels.shape[1:])
    # Of a long strip the ends are cut off first: scaled whole it might fill the memory.
    for dim in (1, 2):
        surplus = max(0, pixels.shape[dim] - STRIP * least)
        pixels = pixels.narrow(dim, surplus // 2, pixels.shape[dim] - surplus)
    height, width = pixels.shape[1:]
    pixels = _scaled(pixels, int(shorter * height / least), int(shorter * width / least))
    top, left = (round((length - side) / 2) for length in pixels.shape[1:])
    return pixels[:, top : top + side, left : left + side]


def _scaled(pixels: Tensor, height: int, width: int) -> Tensor:
    # A decoder leaves the channels innermost. With [None] alone torch does not see it and moves every pixel, twice.
    one = pixels.permute(1, 2, 0)[None].permute(0, 3, 1, 2)
    return F.interpolate(one, (height, width), mode="bilinear", antialias=True)[0]
