"""People's own images by name: ``folder:PATH`` and ``list:PATH``, listed, and split where they have no test split.

Up to 64 pixels a side the images come into memory. Larger ones, or so many that they would fill it, stay in their files
and are read anew for each epoch; see `gclib.data.photos`.

``folder:signs@48,groups=_`` takes files of one folder whose names agree up to the last ``_`` for one group (the frames
of a track, a burst), which a drawn test split does not part.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gclib.data.kept import kept
from gclib.data.layouts import Row, from_folder, from_lists
from gclib.data.photos import Photos, examined, too_large
from gclib.data.pictures import read_images, several
from gclib.data.sources import FOLDER, PHOTOS, Split, Whole
from gclib.errors import UserError

__all__ = ["Files", "Listing", "Own", "listing", "own", "own_images"]

TEST_SHARE = 0.2  # of each class, where there is no test split
SIZES = (4, 512)  # pixels a side
USUAL_SIZE = 32  # where the name gives none
NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # bytes that are no UTF-8 are surrogates here
EXPECTED = {"folder": "one folder of images per class", "list": "a CSV file, or a folder with train.csv"}


@dataclass(frozen=True)
class Own:
    """What a name such as ``folder:birds@64`` says.

    Attributes
    ----------
    kind
        ``"folder"`` or ``"list"``.
    path
        Where it lies.
    size
        Side of the images in pixels.
    separator
        Sign in a file's name before which its group stands; empty where names say no groups.
    """

    kind: str
    path: Path
    size: int
    separator: str = ""

    def grouped(self, rows: list[Row]) -> list[Row]:
        """Give each row the group that its file's name says, if names do."""
        if not self.separator:
            return rows
        return [row._replace(group=self._group(row.path)) for row in rows]

    def _group(self, path: Path) -> str:
        before, sign, _ = path.stem.rpartition(self.separator)
        return str(path.parent / before) if sign else ""


@dataclass(frozen=True)
class Files:
    """Files of images, and their labels int64 ``(N,)`` in 0..C-1."""

    paths: Sequence[Path]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True)
class Listing:
    """The files of both splits.

    Attributes
    ----------
    train, test
        Files of the two splits.
    class_names
        Names of the C classes, the one with most training images first.
    given
        Whether the test split is the person's own; else it was drawn.
    litter, unused
        What was passed over; see `gclib.data.layouts.Found`.
    parted
        Groups that have images in both splits, which a person's own test split may have.
    """

    train: Files
    test: Files
    class_names: tuple[str, ...]
    given: bool
    litter: Sequence[Path]
    unused: Sequence[Path]
    parted: Sequence[str]


def own(name: str) -> Own | None:
    """Understand the name of a data set of a person's own; None for a name of another form.

    Raises
    ------
    UserError
        If nothing lies at the path, or the size is not possible.
    """
    parts = re.fullmatch(r"(folder|list):(.+?)(?:@(\d+))?(?:,groups=(.))?", name, re.DOTALL)
    if not parts:
        return None
    kind, text, size = parts[1], parts[2], int((parts[3] or str(USUAL_SIZE))[:9])
    try:
        path, whole = Path(text).expanduser(), Path(f"{text}@{parts[3]}").expanduser()
        if not text.isprintable():
            raise ValueError("a control character in it")
        there, meant = _exists(path), bool(parts[3]) and _exists(whole)
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"{kind}: no path that can be read ({why}); give another: {text[:60]!r}") from error
    if not there:
        hint = f"; to read {whole.name} write {kind}:{whole}@{USUAL_SIZE}" if meant else ""
        raise UserError(f"{path}: expected {EXPECTED[kind]}; nothing lies there{hint}")
    if not SIZES[0] <= size <= SIZES[1]:
        raise UserError(f"@{size}: expected a side from {SIZES[0]} to {SIZES[1]} pixels; give another size")
    return Own(kind, path, size, parts[4] or "")


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True  # any other complaint of the system is the caller's to tell


def listing(source: Own, split_seed: int = 0) -> Listing:
    """List the files of both splits; no image is read.

    Parameters
    ----------
    source
        Where they are.
    split_seed
        Seed of the test split where there is none: a fifth of each class, at least one image, in whole groups.

    Raises
    ------
    UserError
        If folders or lists are not as expected, or leave a class without training or test images. All that is wrong
        in the same way is named at once.
    """
    found = from_folder(source.path) if source.kind == "folder" else from_lists(source.path)
    names = sorted({row.label for row in found.train}, key=_by_number)
    train, test = source.grouped(found.train), found.test
    if test is None:
        train, test = _drawn(source.path, train, names, np.random.default_rng(split_seed))
    else:
        test = source.grouped(test)
    counts = dict.fromkeys(names, 0)
    for row in train:
        counts[row.label] += 1
    if unknown := sorted({row.label for row in test} - counts.keys()):
        raise UserError(
            f"{source.path}: no training images of {several(unknown)}; expected the classes of the test split in both"
        )
    if untested := sorted(counts.keys() - {row.label for row in test}):
        raise UserError(
            f"{source.path}: no test images of {several(untested)}; expected each class in both splits"
        )
    if len(names) < 2:
        raise UserError(f"{source.path}: expected two classes or more; found only {several(names)}")
    names.sort(key=lambda name: -counts[name])
    number = {name: label for label, name in enumerate(names)}

    def files(rows: Iterable[Row]) -> Files:
        # Class after class, as folders give them; a list may have any order.
        ordered = sorted(rows, key=lambda row: number[row.label])
        return Files(
            [row.path for row in ordered], np.array([number[row.label] for row in ordered], np.int64)
        )

    given = found.test is not None
    parted = sorted(({row.group for row in train} & {row.group for row in test}) - {""})
    return Listing(
        files(train), files(test), tuple(map(_as_text, names)), given, found.litter, found.unused, parted
    )


def own_images(source: Own, split_seed: int = 0) -> Whole:
    """List the files as `listing` does; the images that a run takes are read when it takes them.

    Raises
    ------
    UserError
        As `listing`; in taking, if files are no readable images: all of them are named at once.
    """
    found = listing(source, split_seed)
    train, test, size = found.train, found.test, source.size
    place, side = source.path.resolve(), (size, size)
    files_stay = too_large(len(train) + len(test), size)

    def take(chosen: np.ndarray, tested: np.ndarray) -> tuple[Split, Split]:
        paths = [train.paths[k] for k in chosen] + [test.paths[k] for k in tested]
        images: Photos | np.ndarray
        if files_stay:
            images = examined(str(place), paths, size)
        else:
            images = kept(f"{place} pixels", paths, lambda new: read_images(new, size), (*side, 3))
        count = len(chosen)
        return Split(images[:count], train.labels[chosen]), Split(images[count:], test.labels[tested])

    # A shift by an eighth of the side, as the 4 of 32 pixels that CIFAR has.
    augmentation = PHOTOS if files_stay else replace(FOLDER, shift=size // 8)
    return Whole(train.labels, test.labels, found.class_names, augmentation, False, side, take)


def _as_text(name: str) -> str:
    """Return the name of a folder, which may hold any byte, as text that every page, file and terminal takes."""
    return NO_TEXT.sub(lambda found: found[0].encode("unicode_escape").decode(), name)


def _by_number(name: str) -> tuple[int, str]:
    return (int(name[:9]), name) if name.isascii() and name.isdigit() else (10**9, name)


def _drawn(
    place: Path, rows: Sequence[Row], names: Sequence[str], generator: "np.random.Generator"
) -> tuple[list[Row], list[Row]]:
    """Draw a test split: a share of each class, in whole groups; an image without a group is one by itself."""
    classes: dict[str, dict[str, list[Row]]] = {name: {} for name in names}
    for number, row in enumerate(rows):
        classes[row.label].setdefault(row.group or f"/{number}", []).append(row)
    sizes = {name: sum(map(len, groups.values())) for name, groups in classes.items()}
    if alone := [name for name in names if sizes[name] < 2]:
        raise UserError(
            f"{place}: 1 image in class {several(alone)}; expected at least 2 per class, "
            "one to train on and one to test on"
        )
    in_test: dict[str, bool] = {}
    train: list[Row] = []
    test: list[Row] = []
    for name in sorted(
        names, key=lambda name: len(classes[name])
    ):  # those with the fewest groups have no choice
        groups, wanted = classes[name], max(1, int(sizes[name] * TEST_SHARE))
        keys = list(groups)
        order = [keys[k] for k in generator.permutation(len(groups))]
        free = [group for group in order if group not in in_test]
        if free and not any(in_test.get(group) is False for group in order):
            in_test[free.pop()] = False
        taken = sum(len(groups[group]) for group in order if in_test.get(group))
        for group in free:
            in_test[group] = not taken or taken + len(groups[group]) / 2 <= wanted
            taken += len(groups[group]) * in_test[group]
        for group in order:
            (test if in_test[group] else train).extend(groups[group])
    for part, rest in ((test, train), (train, test)):
        if lacking := sorted({row.label for row in rest} - {row.label for row in part}):
            raise UserError(
                f"{place}: all images of {several(lacking)} are of groups that cannot be parted; "
                "expected two groups or more in each class"
            )
    return train, test
