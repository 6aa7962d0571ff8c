"""One image file as the pixels that a person sees: depth, rotation and transparency understood, memory bounded."""

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from gclib.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "AT_ONCE",
    "fit_image",
    "in_colour",
    "is_image",
    "read_files",
    "read_image",
    "read_images",
    "readable",
    "several",
    "side_by_side",
]

T = TypeVar("T")
AT_ONCE = 50  # files that a thread reads in one go
NAMED = 20  # files that a message names; a check lists them all
SHOWN_FROM = 2_000  # files, from which on reading them takes long enough for a progress bar


def several(names: Sequence[object], most: int = NAMED) -> str:
    """Return names for one line, and how many more there are.

    Examples
    --------
    >>> several(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def is_image(path: Path) -> bool:
    """Whether a file begins as an image that Pillow knows; what follows is not read."""
    from PIL import Image

    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path):
            return True
    except Exception:  # whatever a foreign file makes of the readers of a hundred formats
        return False


@contextmanager
def readable() -> Iterator[None]:
    """Read an image in this context: whatever goes wrong becomes a UserError that says what, without the path."""
    from PIL import Image

    try:
        yield
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError("more pixels than an honest photo has") from error
    except Exception as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise UserError(f"not a readable image: {why}") from error


def read_image(path: Path, size: int) -> np.ndarray:
    """Read an image: its shorter side scaled to `size`, the longer cropped at both ends.

    The rotation that a camera wrote down (EXIF) is applied. 16-bit values 0..65535 and floating-point values 0..1 are
    brought to 0..255; 32-bit integers are taken for 8-bit values where none is above 255, else for 16-bit ones. What is
    transparent lies on white, of several frames the first is taken. A large JPEG is decoded at a fraction of its size.

    Returns
    -------
    np.ndarray
        uint8, shape ``(size, size, 3)``.

    Raises
    ------
    UserError
        If the file is no readable image; the message is what is wrong, without the path.
    """
    from PIL import Image

    with readable(), Image.open(path) as image:
        image.draft(None, (2 * size, 2 * size))  # at least so many pixels are left to scale down from
        return fit_image(image, size, size)


def fit_image(image: "Image.Image", height: int, width: int) -> np.ndarray:
    """Bring an image that is open to the pixels that `read_image` gives, uint8 ``(height, width, 3)``."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    return np.asarray(ImageOps.fit(in_colour(upright), (width, height)))


def in_colour(image: "Image.Image") -> "Image.Image":
    """Return an image of Pillow in RGB with 8 bits a channel, on white where it is transparent."""
    from PIL import Image

    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        opaque = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, opaque).convert("RGB")
    return image.convert("RGB")


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    """Bring grey values of another depth to 0..255: by the range of their type, so that images stay comparable."""
    whole = values.dtype.kind in "iu"
    low, high = values.min(), values.max()
    top = 65_535 if whole else 1
    if values.dtype == np.int32 and high <= 255:  # a type that is wider than what was ever meant
        top = 255
    if not (low >= 0 and high <= top):
        kind = "integers" if whole else "floating-point values"
        raise UserError(f"{kind} from {low:g} to {high:g}; expected 0 to {top}")
    return (values * (255 / top)).round().astype(np.uint8)


def read_images(paths: Sequence[Path], size: int) -> np.ndarray:
    """Read images into one array, several at a time; besides it, no more than a few are held.

    Parameters
    ----------
    paths
        N files.
    size
        Side of the images in pixels; see `read_image`.

    Returns
    -------
    np.ndarray
        uint8, shape ``(N, size, size, 3)``.

    Raises
    ------
    UserError
        If files are no readable images: all of them are named at once.
    """
    return read_files(
        paths, lambda path: read_image(path, size), np.empty((len(paths), size, size, 3), np.uint8)
    )


def read_files(paths: Sequence[Path], read: Callable[[Path], np.ndarray], found: np.ndarray) -> np.ndarray:
    """Fill the rows of an array, each with what is read from a file, several files at a time; return the array.

    Parameters
    ----------
    paths
        N files.
    read
        Returns one row; raises a UserError that says what is wrong with the file, without its path.
    found
        Shape ``(N, ...)``.

    Raises
    ------
    UserError
        If files cannot be read: all of them are named at once.
    """

    def fill(start: int) -> list[str]:
        wrong = []
        for number in range(start, min(start + AT_ONCE, len(paths))):
            try:
                found[number] = read(paths[number])
            except UserError as error:
                wrong.append(f"{paths[number]} ({error})")
        return wrong

    wrong = [complaint for part in side_by_side(fill, range(0, len(paths), AT_ONCE)) for complaint in part]
    if wrong:
        raise UserError(
            f"{len(wrong)} of {len(paths)} files cannot be used: {several(wrong)}; mend or remove them"
        )
    return found


def side_by_side(work: Callable[[int], T], starts: range) -> list[T]:
    """Do `work` from each start, in as many threads as there are cores; what takes long shows its progress."""
    from concurrent.futures import ThreadPoolExecutor

    from rich.console import Console
    from rich.progress import track

    hidden = len(starts) < SHOWN_FROM // AT_ONCE or os.environ.get("GCLIB_PROGRESS") == "0"
    hidden = hidden or not sys.stderr.isatty()
    # Pillow warns of every oddity that it reads past; filters are of the whole process, not of a thread.
    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(work, starts)
        return list(track(done, "reading images", len(starts), console=Console(stderr=True), disable=hidden))
