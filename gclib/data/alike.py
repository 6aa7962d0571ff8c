"""Images that look nearly the same: frames of a track or a burst, and copies that were scaled or saved anew."""

from collections.abc import Iterator

import numpy as np

__all__ = ["NEARLY", "pairs_alike", "thumbnail"]

SIDE = 16  # pixels of a thumbnail
NEARLY = 0.98  # correlation of two thumbnails, from which on their images are taken for nearly the same
ROWS = 256  # images that are compared with all others at a time: a bound on memory


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """Return what images are compared by: grey values of `SIDE` x `SIDE` pixels with mean 0 and length 1.

    Parameters
    ----------
    pixels
        uint8, shape ``(H, W, 3)``.

    Returns
    -------
    np.ndarray
        float32, shape ``(256,)``; all zero for an image of one grey, which is like no other.
    """
    from PIL import Image

    small = Image.fromarray(pixels).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(small, dtype=np.float32).ravel()
    values = values - values.mean()
    length = np.linalg.norm(values)
    return values / length if length > SIDE else np.zeros_like(values)


def pairs_alike(thumbnails: np.ndarray, sides: np.ndarray) -> Iterator[tuple[int, int]]:
    """Find images of different sides that look nearly the same.

    Parameters
    ----------
    thumbnails
        Of `thumbnail`, shape ``(N, 256)``.
    sides
        Split or class of each image, int, shape ``(N,)``.

    Yields
    ------
    tuple of int
        The later image and the one of another side before it that is most like it, for each that has one.
    """
    for start in range(0, len(thumbnails), ROWS):
        rows = slice(start, min(start + ROWS, len(thumbnails)))
        likeness = thumbnails[rows] @ thumbnails[: rows.stop].T
        likeness[sides[rows, None] == sides[None, : rows.stop]] = 0
        likeness[np.arange(rows.stop)[None] > np.arange(rows.start, rows.stop)[:, None]] = 0
        nearest = likeness.argmax(1)
        for row in np.flatnonzero(likeness.max(1) >= NEARLY):
            yield start + int(row), int(nearest[row])
