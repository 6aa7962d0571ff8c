"""What takes a grid from one machine to another: records that ended, and checkpoints to go on from."""

import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from gclib import records
from gclib.errors import UserError
from gclib.files import write_atomically
from gclib.grid.cells import Progress
from gclib.train.checkpoints import NAME

__all__ = ["FILES", "FILE_BYTES", "pack", "unpack"]

FILES, FILE_BYTES = 4, 15 * 2**20  # at most so many files, each at most so large: 60 MB in all


def pack(progress: Sequence[Progress], workdir: str | Path, root: str | Path, folder: str | Path) -> str:
    """Pack the records of cells that are done, with their weights, and then the checkpoints of those that are begun.

    Parameters
    ----------
    progress
        How far each cell is.
    workdir, root
        Folders of runs and of the records that tables show; see `gclib.grid.survey`.
    folder
        Where the files go, ``grid-1.tar`` and so on: at most `FILES` of `FILE_BYTES` each.

    Returns
    -------
    str
        In words, what is in them and what had no room.

    Raises
    ------
    UserError
        If they cannot be written.
    """
    workdir, root = Path(workdir), Path(root)
    parts: list[list[tuple[str, bytes]]] = []
    packed, left_out = [0, 0], 0
    for kind, name, path in _wanted(progress, workdir, root):
        content = path.read_bytes()
        size = len(content) + 1024  # a header, and what fills the last block
        part = next((p for p in parts if sum(len(c) + 1024 for _, c in p) + size <= FILE_BYTES - 10240), None)
        if part is None and len(parts) < FILES and size <= FILE_BYTES - 10240:
            part = []
            parts.append(part)
        if part is None:
            left_out += 1
            continue
        part.append((name, content))
        packed[kind] += 1
    for number, part in enumerate(parts, 1):
        write_atomically(Path(folder, f"grid-{number}.tar"), _tar(part))
    said = (
        f"packed {packed[0]} records and weights, {packed[1]} checkpoints into {len(parts)} files in {folder}"
    )
    return said + (f"; {left_out} had no room" if left_out else "")


def _wanted(progress: Sequence[Progress], workdir: Path, root: Path) -> Iterator[tuple[int, str, Path]]:
    for one in progress:
        top, folder = ("results", root) if one.cell.kept else ("runs", workdir)
        for path in (one.record, one.record.with_suffix(".safetensors")):
            if path.exists():
                yield 0, f"{top}/{path.relative_to(folder).as_posix()}", path
    seen = set()
    # The nearest to their end first: they have cost most.
    for one in sorted(progress, key=lambda one: sum(left.images for left in one.left)):
        for left in one.left:
            path = workdir / "stages" / left.hash / NAME
            if path.exists() and left.hash not in seen:
                seen.add(left.hash)
                yield 1, f"runs/stages/{left.hash}/{NAME}", path


def _tar(files: Sequence[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def unpack(folder: str | Path, workdir: str | Path, root: str | Path) -> str:
    """Put what `pack` left in a folder where a grid looks for it; what is there already stays.

    Returns
    -------
    str
        In words, what was put where.

    Raises
    ------
    UserError
        If there is nothing to unpack, a file is damaged or holds anything else, or nothing can be written.
    RecordError
        If a record is not valid.
    """
    paths = sorted(Path(folder).glob("grid-*.tar"))
    if not paths:
        raise UserError(f"{folder} holds no grid-*.tar; expected what gcl grid pack left")
    places = {"results": Path(root), "runs": Path(workdir)}
    new = there = 0
    for path in paths:
        for name, content in _entries(path):
            top, *rest = PurePosixPath(name).parts
            target = places[top].joinpath(*rest)
            if target.exists():
                there += 1
                continue
            write_atomically(target, content)
            new += 1
            if target.suffix == ".json":
                try:
                    records.load(target)
                except records.RecordError:
                    target.unlink()
                    raise
    return f"unpacked {new} files" + (f"; {there} were there already and stay" if there else "")


def _entries(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(path) as tar:
            for entry in tar:
                parts = PurePosixPath(entry.name).parts
                if not entry.isfile() or parts[0] not in ("results", "runs") or ".." in parts:
                    raise UserError(f"{path} holds {entry.name!r}, which no grid has packed; not unpacked")
                file = tar.extractfile(entry)
                assert file is not None
                yield entry.name, file.read()
    except (OSError, tarfile.TarError) as error:
        raise UserError(f"{path} cannot be read ({error}); pack it again") from error
