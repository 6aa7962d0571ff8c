"""Checkpoints that survive a kill at any moment, and a lock that dies with its process."""

import fcntl
import hashlib
import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from gclib.errors import UserError

__all__ = ["InUseError", "load", "lock", "save", "write_atomically"]

NAME, PREVIOUS, TEMPORARY = "checkpoint.pt", "checkpoint.previous.pt", ".tmp"


def write_atomically(path: Path, content: bytes, previous: Path | None = None) -> None:
    """Write a whole file or none: a temporary file beside it, flushed to disk, then renamed.

    Parameters
    ----------
    path, content
        File to write, and what.
    previous
        Where to keep the file that `path` was before; None replaces it.

    Raises
    ------
    UserError
        If there is no permission or no space; nothing half-written stays behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if previous and path.exists():
            os.replace(path, previous)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}; free space or choose another folder"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def save(folder: Path, state: dict[str, Any]) -> None:
    """Save a checkpoint, keeping the one before it. A SHA-256 of the content comes first in the file."""
    buffer = io.BytesIO()
    torch.save({"stage": folder.name, **state}, buffer)
    content = buffer.getvalue()
    # Killed between its two renames, it leaves the checkpoint before, whole.
    write_atomically(folder / NAME, hashlib.sha256(content).digest() + content, folder / PREVIOUS)


def load(folder: Path) -> dict[str, Any] | None:
    """Load the newest undamaged checkpoint of `folder`, on the CPU; None where there is none.

    A damaged checkpoint gives a warning, and the one before it is used.

    Raises
    ------
    UserError
        If the checkpoint was made by another stage, in another folder.
    """
    state, damaged = None, []
    for path in (folder / NAME, folder / PREVIOUS):
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        if hashlib.sha256(content[32:]).digest() == content[:32]:
            state = torch.load(io.BytesIO(content[32:]), map_location="cpu", weights_only=True)
            if state.get("stage", folder.name) != folder.name:
                raise UserError(
                    f"{path} is a checkpoint of stage {state['stage']}, not of its folder; remove it"
                )
            break
        damaged.append(str(path))
    if damaged:
        advice = "going on from the checkpoint before" if state else "starting anew"
        warnings.warn(f"damaged: {' and '.join(damaged)}; {advice}", stacklevel=2)
    return state


class InUseError(UserError):
    """Another process trains the stage."""


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the folder for this process. The system lets go of it when the process ends, however it ends.

    Raises
    ------
    InUseError
        If another process holds it.
    UserError
        If the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a")
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; choose another folder") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InUseError(
                f"{folder} is in use by another run of the same stage; wait for it or choose another folder"
            ) from error
        for left in folder.glob(f".*{TEMPORARY}"):
            left.unlink()  # by a run that was killed while it wrote
        yield
