"""Files that are written whole or not at all, and a lock on a folder that dies with its process."""

import errno
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import IO

from gclib.errors import UserError

__all__ = [
    "InUseError",
    "cache_folder",
    "home_expanded",
    "lock",
    "require_end",
    "require_writable",
    "write_atomically",
]

TEMPORARY = ".tmp"
LEFT = 24 * 3600  # seconds: a temporary file as old is that of a killed process, no write takes so long


def home_expanded(path: str | Path) -> Path:
    """Return a path whose leading ``~`` or ``~name`` is the home of the caller or of that user.

    Raises
    ------
    UserError
        If there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{path}: no user of that name has a home here; write the folder in full") from None


def require_end(path: str | Path) -> None:
    """Raise an OSError where a path is a device or a pipe: reading it might never end."""
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise OSError(errno.EINVAL, "a device or a pipe, no file", str(path))


def cache_folder() -> Path:
    """Return where is kept what can be made again: ``$XDG_CACHE_HOME/gclib``, by default in ``~/.cache``.

    Raises
    ------
    RuntimeError
        If the caller has no home.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "gclib")


def write_atomically(path: Path, content: bytes | Iterable[bytes], previous: Path | None = None) -> None:
    """Write a whole file or none: a temporary file beside it, flushed to disk, then renamed.

    Parameters
    ----------
    path, content
        File to write, and what, in one piece or in several; missing folders are made.
    previous
        Where to keep the file that `path` was before; None replaces it.

    Raises
    ------
    UserError
        If there is no permission or no space, or the path is that of a folder, a device or a pipe; nothing half-written
        stays behind.
    """
    with _beside(path, content) as temporary:
        if previous and path.exists():
            os.replace(path, previous)
        os.replace(temporary, path)


def require_writable(path: Path) -> None:
    """Raise the UserError of `write_atomically` where it could not write, before anything long is computed for it.

    Missing folders are made, and stay where it could write: a process beside may write there already.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        with _beside(path, b""):
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except UserError:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def _beside(path: Path, content: bytes | Iterable[bytes]) -> Iterator[Path]:
    """Write a temporary file beside a path, and remove it if it is still there in the end."""
    if not path.name:
        raise UserError(f"cannot write {path}: a folder; name a file in it")
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        require_end(path)  # to rename a file to the name of a device would take that away
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{escape(path.name)}.*{TEMPORARY}"):
            with suppress(OSError):  # its writer may be through with it by now
                if time.time() - left.stat().st_mtime > LEFT:
                    left.unlink()
        with temporary.open("wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    except OSError as error:
        advice = "name a file in it" if path.is_dir() else "free space or choose another folder"
        raise UserError(f"cannot write {path}: {error.strerror}; {advice}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


class InUseError(UserError):
    """Another process holds the folder."""


@contextmanager
def lock(folder: Path, busy: str) -> Iterator[IO[str]]:
    """Hold a folder for this process. The system lets go of it when the process ends, however it ends.

    Parameters
    ----------
    folder
        Made if it is missing. What a killed process left half-written in it is removed.
    busy
        What to say where another process holds it.

    Yields
    ------
    file
        The open file of the lock: a child that inherits it holds the folder as well, for as long as it lives.

    Raises
    ------
    InUseError
        If another process holds it.
    UserError
        If the folder cannot be written, or lies on a file system without locks, or this is Windows.
    """
    try:
        import fcntl
    except ImportError:  # the losses work there without it
        raise UserError(
            "runs need the file locks of Linux or macOS; on Windows, install gclib in WSL"
        ) from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a")
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; choose another folder") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InUseError(busy) from error
        except OSError as error:
            raise UserError(
                f"cannot lock {folder}: {error.strerror}; choose a folder on another disk"
            ) from error
        for left in folder.glob(f".*{TEMPORARY}"):
            left.unlink()
        yield file
