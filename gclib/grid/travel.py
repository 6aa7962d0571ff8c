"""What takes a grid from one machine to another: records that ended, and checkpoints to go on from."""

import io
import re
import tarfile
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from gclib import records, train
from gclib.errors import UserError
from gclib.files import lock, write_atomically
from gclib.grid.cells import Progress
from gclib.train.checkpoints import NAME, PREVIOUS, load
from gclib.train.kept import KEPT_WEIGHTS

__all__ = ["FILES", "FILE_BYTES", "pack", "unpack"]

RECORD, WEIGHTS = records.RUN, records.RUN_WEIGHTS
PACKED = re.compile(rf"[0-9a-f]{{16}}/({RECORD}|{WEIGHTS})|stages/[0-9a-f]{{16}}/{NAME}")
FILES, FILE_BYTES = 4, 15 * 2**20  # at most so many files, each at most so large: 60 MB in all


def pack(progress: Sequence[Progress], workdir: str | Path, folder: str | Path) -> str:
    """Pack the records that were made here, with the weights that others build on, and the checkpoints of the rest.

    Parameters
    ----------
    progress
        How far each cell is.
    workdir
        Folder of runs; see `gclib.grid.survey`.
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
    workdir = Path(workdir)
    parts: list[list[tuple[str, bytes]]] = []
    packed, left_out = [0, 0], 0
    for kind, files in _wanted(progress, workdir):
        contents = [(name, path.read_bytes()) for name, path in files]
        size = sum(len(content) + 1024 for _, content in contents)  # a header, and what fills the last block
        part = next((p for p in parts if sum(len(c) + 1024 for _, c in p) + size <= FILE_BYTES - 10240), None)
        if part is None and len(parts) < FILES and size <= FILE_BYTES - 10240:
            part = []
            parts.append(part)
        if part is None:
            left_out += len(files)
            continue
        part.extend(contents)
        packed[kind] += len(files)
    for number, part in enumerate(parts, 1):
        write_atomically(Path(folder, f"grid-{number}.tar"), _tar(part))
    said = (
        f"packed {packed[0]} records and weights, {packed[1]} checkpoints into {len(parts)} files in {folder}"
    )
    return said + (f"; {left_out} had no room" if left_out else "")


def _wanted(progress: Sequence[Progress], workdir: Path) -> Iterator[tuple[int, list[tuple[str, Path]]]]:
    """Yield what travels together: a record with the weights without which it cannot be kept, or a checkpoint."""
    for one in progress:
        if one.made.exists():
            weights = [one.made.with_name(WEIGHTS)] if one.cell.recipe in KEPT_WEIGHTS else []
            yield 0, [(f"{path.parent.name}/{path.name}", path) for path in (*weights, one.made)]
    seen = set()
    # The nearest to their end first: they have cost most.
    for one in sorted(progress, key=lambda one: sum(left.images for left in one.left)):
        for stage in one.there:  # also what is trained: the record of the run needs it
            path = workdir / "stages" / stage / NAME
            if path.exists() and stage not in seen:
                seen.add(stage)
                yield 1, [(f"stages/{stage}/{NAME}", path)]


def _tar(files: Sequence[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def unpack(folder: str | Path, workdir: str | Path, root: str | Path) -> str:
    """Put what `pack` left in a folder where a grid looks for it; what is there already stays, unless it is behind.

    Parameters
    ----------
    folder
        What `pack` filled.
    workdir, root
        Folders of runs and of the records that tables show; see `gclib.grid.survey`.

    Returns
    -------
    str
        In words, what was put where.

    Raises
    ------
    UserError
        If there is nothing to unpack, a file is damaged or holds anything else, a stage of which a first or later
        checkpoint was packed is being trained, or nothing can be written.
    RecordError
        If a record is not valid.
    """
    workdir = Path(workdir)
    paths = sorted(Path(folder).glob("grid-*.tar"))
    if not paths:
        raise UserError(f"{folder} holds no grid-*.tar; expected what gcl grid pack left")
    epochs: dict[Path, int] = {}
    for path in paths:  # all of it is looked at before any of it is written
        for name, content in _entries(path):
            if Path(name).name == RECORD:
                records.parse(content, path / name)
            elif Path(name).name == NAME:
                epochs[workdir / name] = _epochs_of(content, path, Path(name).parent.name)
    found: list[Path] = []
    new = there = replaced = 0
    for path in paths:
        for name, content in _entries(path):
            target = workdir / name
            found.append(target)
            missing = not target.exists()
            if target.name == NAME and _epochs(target.parent) < epochs[target]:
                busy = f"{target.parent} is being trained here; end that, then unpack again"
                with lock(target.parent, busy):
                    if _epochs(target.parent) < epochs[target]:  # no training came further meanwhile
                        write_atomically(target, content, target.with_name(PREVIOUS))
                new, replaced = new + missing, replaced + (not missing)
            elif missing and target.name != NAME:
                write_atomically(target, content)
                new += 1
            else:
                there += 1
    kept = 0
    for path in found:  # also what was put there by an unpacking that was refused halfway
        if path.name == RECORD:
            record = records.load(path)
            if record.scale == "paper" and not records.results_path(record, root).exists():
                train.keep(record, workdir, root)
                kept += 1
    said = f"unpacked {new + replaced} files, {kept} new records among the results"
    said += f"; {replaced} of the checkpoints here were behind" if replaced else ""
    return said + (f"; {there} files were there already and stay" if there else "")


def _epochs(folder: Path) -> int:
    state = load(folder)
    return -1 if state is None else state["epoch"]


def _epochs_of(content: bytes, packed: Path, stage: str) -> int:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        write_atomically(Path(folder, stage, NAME), content)
        try:
            epochs = _epochs(Path(folder, stage))
        except UserError:  # of another stage, or no checkpoint
            epochs = -1
    if epochs < 0:
        raise UserError(f"{packed} holds no sound checkpoint of stage {stage}; pack it again")
    return epochs


def _entries(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(path) as tar:
            for entry in tar:
                if not entry.isfile() or not PACKED.fullmatch(entry.name):
                    raise UserError(f"{path} holds {entry.name!r}, which no grid has packed; not unpacked")
                file = tar.extractfile(entry)
                assert file is not None
                yield entry.name, file.read()
    except (OSError, tarfile.TarError) as error:
        raise UserError(f"{path} cannot be read ({error}); pack it again") from error
