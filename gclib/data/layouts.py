"""Where people's own images lie: class folders with or without splits, and lists; no image is read."""

import csv
import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

from gclib.data.pictures import is_image, several
from gclib.errors import UserError
from gclib.files import require_end

__all__ = ["Found", "Row", "from_folder", "from_lists", "images_within"]

TRAIN, TEST = (
    ("train", "training"),
    ("test", "testing", "val", "valid", "validation"),
)  # the first that is there
LITTER = (  # what systems and programs leave in folders, in lower case; so do all names that begin with a dot
    *("__macosx", "@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "lost+found", "__pycache__"),
    *("system volume information", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"),
)


class Row(NamedTuple):
    """An image: its class, its file, and what it belongs together with (a track, a burst, a person), if anything."""

    label: str
    path: Path
    group: str = ""


@dataclass
class Found:
    """The images of a layout, and what was passed over.

    Attributes
    ----------
    train
        Training images; all images, where `test` is None.
    test
        Test images, where there is a test split.
    litter
        Files and folders of systems and programs, such as ``Thumbs.db``.
    unused
        Files beside the class folders, and folders such as ``val`` where there is a ``test`` too.
    """

    train: list[Row] = field(default_factory=list)
    test: list[Row] | None = None
    litter: list[Path] = field(default_factory=list)
    unused: list[Path] = field(default_factory=list)


def from_folder(root: Path) -> Found:
    """List class folders, or the class folders within ``train`` and ``test`` (or ``val``).

    Raises
    ------
    UserError
        If it is another level of folders, or a class folder holds what is no image.
    """
    found = Found()
    folders, beside = _entries(root, found)
    if not folders:
        raise UserError(f"{root}: expected one folder of images per class; found no folder there")
    by_name = {folder.name.lower(): folder for folder in folders}
    train = next((by_name[name] for name in TRAIN if name in by_name), None)
    test = next((by_name[name] for name in TEST if name in by_name), None)
    if (train or test) and by_name.keys() <= {*TRAIN, *TEST}:
        if not (train and test):
            raise UserError(
                f"{root}: expected train/ and test/ (or val/) with class folders in both, or class folders; "
                f"found only {several([folder.name + '/' for folder in folders])}"
            )
        found.unused += beside + [folder for folder in folders if folder not in (train, test)]
        found.train, found.test = (_class_folders(part, found) for part in (train, test))
    else:
        if len(folders) == 1 and _entries(folders[0], Found())[0]:
            raise UserError(f"{root} holds one folder, with folders in it; did you mean {folders[0]}?")
        found.unused += beside
        found.train = _class_folders(root, found, folders)
    _refuse_foreign(root, [*found.train, *(found.test or [])])
    return found


def _class_folders(root: Path, found: Found, folders: Sequence[Path] | None = None) -> list[Row]:
    if folders is None:
        folders, beside = _entries(root, found)
        found.unused += beside
    if not folders:
        raise UserError(f"{root}: expected one folder of images per class; found no folder there")
    rows = []
    for folder in folders:
        files = sorted(_files(folder, found, (root.resolve(),)))
        if not files:
            raise UserError(f"{folder} holds 0 images; expected at least one in each class folder")
        rows += [Row(_composed(folder.name), path) for path in files]
    return rows


def _composed(name: str) -> str:
    """Return a name in one spelling: macOS hands out accents as signs of their own."""
    return unicodedata.normalize("NFC", name)


def images_within(folder: Path) -> list[Path]:
    """List the images in a folder and those below it, found as training finds those of a class; all else is left out.

    What has the suffix of an image is one, also if it cannot be read: who reads it tells.

    Raises
    ------
    UserError
        If a folder cannot be read, or a link leads to a folder that holds it.
    """
    return [path for path in sorted(_files(folder, Found(), ())) if _is_meant_as_image(path)]


def _files(folder: Path, found: Found, above: tuple[Path, ...]) -> Iterator[Path]:
    real = folder.resolve()
    if real in above:
        raise UserError(f"{folder} is a link to {real}, which holds it; remove the link")
    folders, files = _entries(folder, found)
    yield from files
    for below in folders:
        yield from _files(below, found, (*above, real))


def _entries(folder: Path, found: Found) -> tuple[list[Path], list[Path]]:
    """Folders and files in a folder, sorted; litter goes to `found`."""
    folders: list[Path] = []
    files: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                path = folder / entry.name
                if entry.name.startswith(".") or entry.name.lower() in LITTER:
                    found.litter.append(path)
                elif entry.is_dir():
                    folders.append(path)
                elif entry.is_file() or not path.exists():  # a link to nothing is told when it is read
                    files.append(path)
                else:  # a device or a pipe
                    found.litter.append(path)
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}); expected a folder") from error
    return sorted(folders), sorted(files)


def _is_meant_as_image(path: Path) -> bool:
    from PIL import Image

    return path.suffix.lower() in Image.registered_extensions() or is_image(path)


def _refuse_foreign(root: Path, rows: Sequence[Row]) -> None:
    foreign = [row.path for row in rows if not _is_meant_as_image(row.path)]
    if foreign:
        raise UserError(
            f"{root}: {len(foreign)} of {len(rows)} files are not images: "
            f"{several([path.relative_to(root) for path in foreign])}; move them out of the class folders"
        )


def from_lists(path: Path) -> Found:
    """Read ``path,label`` or ``path,label,group`` from a CSV file, or from ``train.csv`` and ``test.csv`` in a folder.

    Paths count from the folder of the list. A first line with the words ``path`` and ``label`` is a header and gives
    the order of the columns. A cell with a comma in it stands in double quotes.

    Raises
    ------
    UserError
        If a list is missing or malformed, or files are missing or listed twice: all of them are named at once.
    """
    if not path.is_dir():
        return Found(_read_list(path))
    lists = {name: path / f"{name}.csv" for name in (*TRAIN, *TEST)}
    train = next((lists[name] for name in TRAIN if lists[name].is_file()), None)
    test = next((lists[name] for name in TEST if lists[name].is_file()), None)
    if train is None:
        raise UserError(f"{path}: expected train.csv, and test.csv or val.csv beside it; found no train.csv")
    used = (train, test)
    unused = [file for file in lists.values() if file.is_file() and file not in used]
    found = Found(_read_list(train), _read_list(test) if test else None, unused=unused)
    tested = set(_real(found.test or []))
    files = zip(found.train, _real(found.train), strict=True)
    if twice := [row.path for row, file in files if file in tested]:
        raise UserError(f"{path}: in training and in test: {several(twice)}; expected each file in one list")
    return found


def _read_list(path: Path) -> list[Row]:
    try:
        require_end(path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [pair for pair in enumerate(csv.reader(file, skipinitialspace=True), 1) if any(pair[1])]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as CSV ({error}); expected lines of path,label") from error
    columns = ["path", "label", "group"]
    if lines and {"path", "label"} <= (header := {word.strip().lower() for word in lines[0][1]}):
        columns = [word.strip().lower() for word in lines.pop(0)[1]]
        if len(header) < len(columns):
            raise UserError(
                f"{path}: a column stands twice in the header; expected path, label and perhaps group"
            )
    folder, rows = path.parent, []
    for number, line in lines:
        cells = dict(zip(columns, map(str.strip, line), strict=False))
        if quoted := next((cell for cell in cells.values() if cell.startswith('"')), None):
            raise UserError(
                f"{path}, line {number}: a cell begins with a quotation mark: {quoted!r:.120}; "
                "expected it right after the comma and at the cell's end, or none"
            )
        if len(line) > len(columns) or not (cells.get("path") and cells.get("label")):
            raise UserError(
                f"{path}, line {number}: expected path,label or path,label,group; got {line[:4]!r:.120}"
            )
        label, group = (_composed(cells.get(column, "")) for column in ("label", "group"))
        rows.append(Row(label, folder / cells["path"], group))
    missing = [row.path for row in rows if not os.path.isfile(row.path)]
    if missing or not rows:
        what = (
            f"{len(missing)} of {len(rows)} files are missing: {several(missing)}"
            if rows
            else "no image in it"
        )
        raise UserError(f"{path}: {what}; paths count from the folder of the list")
    _refuse_twice(path, rows)
    return rows


def _refuse_twice(path: Path, rows: Sequence[Row]) -> None:
    """Refuse a file that is listed twice: a drawn split might have it on both sides."""
    labels: dict[str, str] = {}
    twice: list[Path] = []
    other: list[Path] = []
    for row, file in zip(rows, _real(rows), strict=True):
        if file in labels:
            (twice if labels[file] == row.label else other).append(row.path)
        labels[file] = row.label
    if other or twice:
        what = f"under two labels: {several(other)}" if other else f"listed twice: {several(twice)}"
        raise UserError(f"{path}: {what}; expected one line for each file")


def _real(rows: Sequence[Row]) -> list[str]:
    """Return the file of each row, however its path is written; links to folders are resolved, each folder once."""
    real = cache(os.path.realpath)
    parts = (os.path.split(row.path) for row in rows)
    return [os.path.join(real(folder), name) for folder, name in parts]
