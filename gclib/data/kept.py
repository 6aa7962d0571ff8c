"""What was computed of each file is kept for the next command: no photo is decoded twice for the same pixels."""

import hashlib
import os
import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from gclib.errors import UserError
from gclib.files import cache_folder, write_atomically

__all__ = ["kept"]

VERSION = "2"  # of what is kept: another number where a file would be read otherwise
WORTH = 1.0  # seconds: what takes less is not kept
ROWS = 1000  # rows that are written at a time: a bound on memory


def kept(
    name: str, paths: Sequence[Path], make: Callable[[Sequence[Path]], np.ndarray], shape: tuple[int, ...]
) -> np.ndarray:
    """Return what `make` gives for each file; for those that it was made of before, what is kept.

    A file that was changed since, by its size and time, is another file. What cannot be kept, such as where nothing
    may be written, is made again the next time. It lies in ``$XDG_CACHE_HOME/gclib/images`` (``~/.cache``), a file for
    each `name`, which may be removed at any time.

    Parameters
    ----------
    name
        What it is: a data set and what is made of its files.
    paths
        N files.
    make
        Takes files and returns uint8 ``(n, *shape)``; what it raises is passed on, and nothing is kept.
    shape
        Of what is made of one file.

    Returns
    -------
    np.ndarray
        uint8, shape ``(N, *shape)``.
    """
    row = np.dtype([("file", "V16"), ("value", np.uint8, shape)])
    try:
        folder = cache_folder() / "images"
    except RuntimeError:  # no home
        return make(paths)
    place = (
        folder / hashlib.sha256(f"{VERSION} {name} {shape}".encode(errors="surrogateescape")).hexdigest()[:32]
    )
    files = [_identity(path) for path in paths]
    values: np.ndarray | None = None  # not before something is kept: what is made needs no copy then
    there = np.zeros(len(paths), bool)
    places: dict[bytes, list[int]] = {}
    for number, file in enumerate(files):
        places.setdefault(file, []).append(number)
    others = 0
    for part in _rows(place, row):
        for file, value in zip(part["file"].tolist(), part["value"], strict=True):
            numbers = places.get(file, [])
            if numbers:
                values = np.empty((len(paths), *shape), np.uint8) if values is None else values
                values[numbers], there[numbers] = value, True
            others += not numbers
    missing = np.flatnonzero(~there).tolist()
    begun = time.perf_counter()
    made = make([paths[number] for number in missing])
    long = time.perf_counter() - begun > WORTH
    if values is None:
        values = made
    else:
        values[missing] = made
    if long:
        # Those of other samples of the same files stay, while they are no more than these.
        but = places if others <= len(files) else None
        with suppress(UserError):
            write_atomically(place, _parts(place, row, files, values, but))
    return values


def _identity(path: Path) -> bytes:
    try:
        seen = path.stat()
    except OSError:  # told where it is read
        return bytes(16)
    said = f"{os.path.abspath(path)}\0{seen.st_size}\0{seen.st_mtime_ns}"
    return hashlib.sha256(said.encode(errors="surrogateescape")).digest()[:16]


def _rows(place: Path, row: np.dtype) -> Iterator[np.ndarray]:
    """What is kept, so many rows at a time; nothing where there is none yet, or none that this code has written."""
    with suppress(OSError), place.open("rb") as file:
        if os.fstat(file.fileno()).st_size % row.itemsize == 0:
            while len(part := np.fromfile(file, row, ROWS)):
                yield part


def _parts(
    place: Path,
    row: np.dtype,
    files: Sequence[bytes],
    values: np.ndarray,
    but: Container[bytes] | None,
) -> Iterator[bytes]:
    """Rows to write, so many at a time, and of those that are kept now all `but` some, or none."""
    for start in range(0, len(files), ROWS):
        part = np.empty(len(files[start : start + ROWS]), row)
        part["file"] = np.array(files[start : start + ROWS], "V16")
        part["value"] = values[start : start + ROWS]
        yield part.tobytes()
    if but is not None:
        for part in _rows(place, row):
            yield part[[one not in but for one in part["file"].tolist()]].tobytes()
