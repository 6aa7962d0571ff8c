"""Arrays and what they are, in one file: an archive of NumPy with a SHA-256 of all that it holds."""

import hashlib
import io
import json
from typing import Any

import numpy as np

__all__ = ["packed", "unpacked"]

ABOUT, DIGEST = "about", "digest"


def packed(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> bytes:
    """Return the content of a file, the same bytes for the same arrays and the same words about them.

    Parameters
    ----------
    about
        What goes into JSON; it has no key ``"digest"``.
    arrays
        By name; none is called ``"about"``.
    """
    words = json.dumps(about | {DIGEST: _digest(about, arrays)}).encode()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{ABOUT: np.frombuffer(words, np.uint8)}, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def unpacked(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what `packed` was given.

    Raises
    ------
    Exception
        Of nearly any type where the content is damaged; a ValueError where it does not match its digest.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    about = json.loads(arrays.pop(ABOUT).tobytes())
    if about.pop(DIGEST, None) != _digest(about, arrays):
        raise ValueError("it does not match its digest: it was edited or damaged")
    return about, arrays


def _digest(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, values in sorted(arrays.items()):
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode() + values.tobytes())
    return digest.hexdigest()
