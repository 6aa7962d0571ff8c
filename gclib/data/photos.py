"""Photos that stay in their files: a split that has them in the place of pixels, and what proves which they are."""

import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gclib.data.kept import kept
from gclib.data.pictures import fit_image, read_files, readable

__all__ = ["LARGEST_SIDE", "MOST_BYTES", "Photos", "examined", "scaled_side", "too_large"]

LARGEST_SIDE = 64  # pixels: larger images stay in their files
MOST_BYTES = 2**31  # of all images of a data set as pixels: more stay in their files
TEST_SCALE = (
    256 / 224
)  # of a test image's shorter side to what is cut from it, as torchvision's networks are tested


def too_large(count: int, side: int) -> bool:
    """Whether so many images of a side in pixels stay in their files, for as pixels they would fill the memory."""
    return side > LARGEST_SIDE or count * side**2 * 3 > MOST_BYTES


def scaled_side(side: int) -> int:
    """Side in pixels to which a test photo's shorter one is scaled, before `side` x `side` are cut from its centre.

    Examples
    --------
    >>> scaled_side(224)
    256
    """
    return round(side * TEST_SCALE)


@dataclass(frozen=True, eq=False)
class Photos:
    """Images in their files, in the place of an array uint8 ``(N, side, side, 3)``; chosen from as one.

    ``Split(Photos.of(paths, 224), labels)`` is a split whose images a run reads anew for each epoch. As an array
    (``numpy.asarray``) they are all read, as in a test.

    Attributes
    ----------
    paths
        File names as bytes, shape ``(N,)``: of Python's own strings each worker would make a copy.
    side
        In pixels, of what a network is given.
    contents
        SHA-256 of each file, uint8 ``(N, 32)``, where that is what proves them (see `examined`); else None.
    """

    paths: np.ndarray
    side: int
    contents: np.ndarray | None = None

    @classmethod
    def of(
        cls, paths: Sequence[str | os.PathLike], side: int, contents: np.ndarray | None = None
    ) -> "Photos":
        """Name the files; none is opened."""
        return cls(np.array([os.fsencode(path) for path in paths], dtype=np.bytes_), side, contents)

    dtype, ndim = np.dtype(np.uint8), 4

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the array that they stand for."""
        return len(self.paths), self.side, self.side, 3

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, chosen: Any) -> "Photos":
        return Photos(self.paths[chosen], self.side, None if self.contents is None else self.contents[chosen])

    def path(self, number: int) -> Path:
        """File of one image."""
        return Path(os.fsdecode(self.paths[number]))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        from gclib.data.views import test_view  # with torch

        pixels = np.empty(self.shape, np.uint8)
        for number in range(len(self)):
            pixels[number] = test_view(self.path(number), self.side).permute(1, 2, 0).numpy()
        return pixels if dtype is None else pixels.astype(dtype)

    @property
    def proof(self) -> np.ndarray:
        """What stands for the pixels where a digest is made of them: the files' contents and the side, uint8."""
        assert self.contents is not None
        return np.append(self.contents.ravel(), np.frombuffer(f"photos@{self.side}".encode(), np.uint8))


def examined(name: str, paths: Sequence[Path], side: int) -> Photos:
    """Read every file once, and find out by its content which it is; of those that were read before, it is known.

    Parameters
    ----------
    name
        Of the data set.
    paths
        N files.
    side
        See `Photos`.

    Raises
    ------
    UserError
        If files are no readable images: all of them are named at once.
    """
    return Photos.of(paths, side, kept(f"{name} contents", paths, _contents, (32,)))


def _contents(paths: Sequence[Path]) -> np.ndarray:
    return read_files(paths, _content, np.empty((len(paths), 32), np.uint8))


def _content(path: Path) -> np.ndarray:
    """SHA-256 of a file from which an image can be read to its end: a JPEG at an eighth of its size, which is quick."""
    from PIL import Image

    with readable():
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            image.draft(None, (1, 1))
            fit_image(image, 1, 1)
    return np.frombuffer(hashlib.sha256(content).digest(), np.uint8)
