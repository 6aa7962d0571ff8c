"""ImageNet-LT, Places-LT and iNaturalist 2018 on a disk: lists proven by their hashes, photographs in any layout."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gclib.data.own import Files
from gclib.data.photos import Photos
from gclib.data.pictures import several
from gclib.data.published import PUBLISHED, Published
from gclib.data.sources import Augmentation, Split, Whole
from gclib.data.weights import IMAGENET
from gclib.errors import UserError, require_one_of

__all__ = ["PHOTOGRAPHS", "SIDE", "Listed", "augmentation_of", "listed", "published_images", "standing"]

SIDE = 224  # pixels, in training and in tests
# As the code of Kang et al. (ICLR 2020) trains; it leaves the colours of iNaturalist as they are.
PHOTOGRAPHS = Augmentation(0, True, *IMAGENET, resized=True, jitter=0.4)


def augmentation_of(name: str) -> Augmentation:
    """Return how the photographs of a published set are augmented: colours jitter, but on iNaturalist 2018."""
    return replace(PHOTOGRAPHS, jitter=0.0) if name == "inaturalist2018" else PHOTOGRAPHS


@dataclass(frozen=True)
class Listed:
    """The two splits of a published set as its lists have them, class after class.

    Attributes
    ----------
    name
        One of `PUBLISHED`.
    train, test
        Paths as in the lists, and labels int64 ``(N,)`` in 0..C-1, in rising order.
    class_names
        Names of the C classes: their folders, numbered as in the lists.
    places
        Folders in which photographs are looked for.
    """

    name: str
    train: tuple[Sequence[str], np.ndarray]
    test: tuple[Sequence[str], np.ndarray]
    class_names: tuple[str, ...]
    places: Sequence[Path]

    @property
    def proof(self) -> bytes:
        """SHA-256 of what is listed, where no official hash says which photographs these are; else empty."""
        if PUBLISHED[self.name].train[1]:
            return b""
        content = hashlib.sha256()
        for paths, labels in (self.train, self.test):
            content.update("\n".join(paths).encode() + labels.astype("<i8").tobytes())
        return content.digest()

    def files(self) -> tuple[Files, Files]:
        """Say where the photographs of both splits lie; only one of each kind is looked for.

        Raises
        ------
        UserError
            If it is not there.
        """
        patterns: dict[str, tuple[Path, str]] = {}
        published, wanted = PUBLISHED[self.name], self.places[0]
        train, test = (
            Files([_place(published, path, self.places, patterns, wanted) for path in paths], labels)
            for paths, labels in (self.train, self.test)
        )
        return train, test


def listed(name: str, root: Path) -> Listed:
    """Read the lists of both splits, and prove them; no photograph is looked for.

    Parameters
    ----------
    name
        One of `PUBLISHED`.
    root
        Folder of downloaded data: the lists and the photographs are looked for in it and in its folder `name`.

    Raises
    ------
    UserError
        If a list is missing, or is not the official one.
    """
    require_one_of("published data set", name, PUBLISHED)
    published, places = PUBLISHED[name], [root / name, root]
    return _listed(name, [_read(published, *one, places) for one in _lists(published)], places)


def _lists(published: Published) -> list[tuple[str, str | None, int]]:
    """File, SHA-256 and length of the list of each split."""
    return [(*published.train, published.sizes[0]), (*published.test, published.sizes[1])]


def _listed(name: str, splits: Sequence[Sequence[tuple[str, int]]], places: Sequence[Path]) -> Listed:
    """Put what the lists of both splits say in order."""
    published, names = PUBLISHED[name], dict[int, str]()
    for entries in splits:
        for path, label in entries:
            names.setdefault(label, path.rpartition("/")[0].partition("/")[2])
    if sorted(names) != list(range(published.classes)):
        raise UserError(
            f"{published.title}: {len(names)} classes in its lists, expected {published.classes} numbered from 0; "
            f"take the official ones from {published.lists_from}"
        )
    train, test = (
        ([path for path, _ in ordered], np.array([label for _, label in ordered], np.int64))
        for ordered in (sorted(entries, key=lambda entry: entry[1]) for entries in splits)
    )
    return Listed(name, train, test, tuple(names[k] for k in range(published.classes)), places)


def standing(name: str, root: Path) -> tuple[list[str], list[str]]:
    """Look up what is there of a published set: every list is proven, every photograph is looked for.

    Parameters
    ----------
    name, root
        As in `listed`.

    Returns
    -------
    tuple of two lists of str
        What is there, and what is missing or wrong and where it is had; each in one line.
    """
    published, places = PUBLISHED[name], [root / name, root]
    there, lacking, lists = [], [], []
    for file, sha256, size in _lists(published):
        try:
            lists.append(_read(published, file, sha256, size, places))
        except UserError as error:
            lacking.append(str(error))
        else:
            proven = "the official list by its SHA-256" if sha256 else "as many as the official annotations"
            there.append(f"{file}: {size:,} photographs, {proven}")
    if lacking:
        return there, lacking
    try:
        splits = _listed(name, lists, places).files()
    except UserError as error:
        return there, [str(error)]
    for which, files in zip(("training", "test"), splits, strict=True):
        gone = [path for path in files.paths if not path.is_file()]
        there.append(f"{len(files) - len(gone):,} of {len(files):,} {which} photographs are there")
        if gone:
            lacking.append(
                f"{published.title}: {len(gone):,} {which} photographs are missing ({several(gone)}); "
                f"unpack them again from {published.photographs_from}"
            )
    return there, lacking


def published_images(name: str, root: Path) -> Whole:
    """List both splits; see `gclib.data.load`.

    Raises
    ------
    UserError
        As `listed`; in taking, if the photographs are not there.
    """
    found = listed(name, root)

    def take(kept: np.ndarray, tested: np.ndarray) -> tuple[Split, Split]:
        train, test = (
            Split(Photos.of([files.paths[k] for k in chosen], SIDE), files.labels[chosen])
            for files, chosen in zip(found.files(), (kept, tested), strict=True)
        )
        return train, test

    return Whole(
        found.train[1],
        found.test[1],
        found.class_names,
        augmentation_of(name),
        fixed=True,
        size=(SIDE, SIDE),
        take=take,
        proof=found.proof,
    )


def _read(
    published: Published, file: str, sha256: str | None, size: int, places: Sequence[Path]
) -> list[tuple[str, int]]:
    """Paths and labels of a list."""
    found = next((place / file for place in places if (place / file).is_file()), None)
    if found is None:
        raise UserError(
            f"{published.title}: no {file} in {places[0]}; put it there from {published.lists_from}, "
            f"and the photographs beside it from {published.photographs_from}"
        )
    content = found.read_bytes()
    if sha256 and (seen := hashlib.sha256(content).hexdigest()) != sha256:
        raise UserError(
            f"{found} is not the official list: SHA-256 {seen[:16]}..., expected {sha256[:16]}...; "
            f"take it from {published.lists_from}"
        )
    try:
        entries = list(_annotated(content) if file.endswith(".json") else _lines(content))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{found} cannot be understood ({error}); take it from {published.lists_from}"
        ) from error
    if len(entries) != size:
        raise UserError(
            f"{found} lists {len(entries)} photographs, expected {size}; take it from {published.lists_from}"
        )
    return entries


def _lines(content: bytes) -> Iterator[tuple[str, int]]:
    for line in content.decode("utf-8").splitlines():
        path, label = line.rsplit(maxsplit=1)
        yield path, int(label)


def _annotated(content: bytes) -> Iterator[tuple[str, int]]:
    annotations = json.loads(content)
    category = {each["image_id"]: int(each["category_id"]) for each in annotations["annotations"]}
    for image in annotations["images"]:
        yield image["file_name"], category[image["id"]]


def _place(
    published: Published,
    path: str,
    places: Sequence[Path],
    patterns: dict[str, tuple[Path, str]],
    wanted: Path,
) -> Path:
    """Where a photograph of a list lies, by the pattern that was found for the first of its kind."""
    kind, _, rest = path.partition("/")
    folder, _, file = rest.rpartition("/")
    # The archive of Places365 sorts classes by their first letter, and those in two parts into folders.
    names = {"class": folder, "folder": f"{folder[:1]}/{folder.replace('-', '/')}", "file": file}
    if kind not in patterns:
        tried = [(place, pattern) for place in places for pattern in published.layouts.get(kind, ())]
        there = [
            (place, pattern) for place, pattern in tried if (place / pattern.format_map(names)).is_file()
        ]
        if not there:
            expected = " or ".join(published.layouts.get(kind, ())).format_map(names)
            raise UserError(
                f"{published.title}: no photograph {path} in {wanted}; expected {expected}, "
                f"from {published.photographs_from}"
            )
        patterns[kind] = there[0]
    place, pattern = patterns[kind]
    return place / pattern.format_map(names)
