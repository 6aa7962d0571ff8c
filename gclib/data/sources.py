"""Data sets by name: where each lies, how it is read, and what keeps the class of its images."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import distribution
from pathlib import Path

import numpy as np

from gclib import ROOT
from gclib.data.cifar import CIFAR10, CIFAR100, Files
from gclib.errors import UserError


@dataclass(frozen=True)
class Augmentation:
    """What keeps the class of an image, and so belongs to the data set.

    Parameters
    ----------
    shift
        Largest shift in pixels, in each direction, of the zero-padded random crop; >= 0.
    flip
        Whether a horizontal flip keeps the class: true for CIFAR's animals and vehicles, false for digits.
    mean, std
        Per-channel normalisation constants, in units of the 0..1 pixel range.
    mixup
        Whether GCL's recipes use mixup on this data set. The digits have too few training images for it.
    """

    shift: int
    flip: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    mixup: bool = True


# The constants of CIFAR-10 also normalise CIFAR-100, as in every official code of the field.
CIFAR = Augmentation(4, True, (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
DIGITS = Augmentation(1, False, (0.305, 0.305, 0.305), (0.376, 0.376, 0.376), mixup=False)
FOLDER = Augmentation(4, True, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))

DIGITS_TRAIN, DIGITS_TEST = 100, 74  # images per class; 74 is all that the rarest digit leaves
FOLDER_TEST_SHARE = 0.2  # of the smallest class, for every class: the test set stays balanced
FOLDER_SIZE = 32  # pixels, where the name gives none


@dataclass(frozen=True)
class Split:
    """Images uint8 ``(N, H, W, C)`` in 0..255 and labels int64 ``(N,)`` in 0..C-1."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Source:
    """A data set by name: all that `load` has to know of it.

    Attributes
    ----------
    read
        Takes the folder of downloaded data and whether something may be downloaded; returns the training split before
        it is cut, a balanced test split, and the names of the classes. Always in the same order.
    augmentation
        What keeps the class of these images.
    """

    read: Callable[[Path, bool], tuple[Split, Split, tuple[str, ...]]]
    augmentation: Augmentation


def names() -> list[str]:
    """Names that `load` takes."""
    return [*SOURCES, "folder:PATH"]


def root_folder(root: str | Path | None = None) -> Path:
    """Where downloaded data lies: `root`, else ``$GCLIB_DATA``, else ``data/`` in the checkout."""
    return Path(root or os.environ.get("GCLIB_DATA") or ROOT / "data")


def positions_in_class(labels: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """For each image, which image of its class it is: the subset's identity without the pixels."""
    order = np.argsort(labels, kind="stable")
    positions = np.empty(len(labels), dtype=np.int64)
    positions[order] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return positions


def _read_digits(root: Path, download: bool) -> tuple[Split, Split, tuple[str, ...]]:
    """The 8x8 digits inside scikit-learn, in file order: mostly other writers in the test split than in training."""
    # `sklearn.datasets.load_digits` reads this file too, but to import it takes a second.
    file = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    table = np.loadtxt(str(file), delimiter=",")
    images = (table[:, :-1].reshape(-1, 8, 8, 1) * (255 / 16)).round().astype(np.uint8).repeat(3, axis=3)
    labels = table[:, -1].astype(np.int64)
    positions = positions_in_class(labels, np.bincount(labels))
    train = positions < DIGITS_TRAIN
    test = ~train & (positions < DIGITS_TRAIN + DIGITS_TEST)
    return Split(images[train], labels[train]), Split(images[test], labels[test]), tuple("0123456789")


def _cifar(files: Files) -> Source:
    def read(root: Path, download: bool) -> tuple[Split, Split, tuple[str, ...]]:
        train, test, class_names = files.read(root, download)
        return Split(*train), Split(*test), class_names

    return Source(read, CIFAR)


def folder_source(root: Path, size: int, seed: int) -> Source:
    """Source of a person's own class folders: images of `size` pixels a side, split by `seed`."""
    # A shift by an eighth of the side, as the 4 of 32 pixels that CIFAR has.
    return Source(lambda *_: _read_folder(root, size, seed), replace(FOLDER, shift=size // 8))


def _read_folder(root: Path, size: int, seed: int) -> tuple[Split, Split, tuple[str, ...]]:
    folders = sorted(p for p in root.glob("*") if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise UserError(f"{root}: expected one folder of images per class; found no folder there")
    files = [
        sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
        for folder in folders
    ]
    smallest = min(range(len(files)), key=lambda c: len(files[c]))
    if len(files[smallest]) < 2:
        raise UserError(
            f"{folders[smallest]} holds {len(files[smallest])} images; expected at least 2 per class, "
            "one to train on and one to test on"
        )
    held_out = max(1, int(len(files[smallest]) * FOLDER_TEST_SHARE))
    generator = np.random.default_rng(seed)
    parts: dict[bool, list[tuple[np.ndarray, int]]] = {True: [], False: []}
    for label, paths in enumerate(files):
        for position, k in enumerate(generator.permutation(len(paths))):
            parts[position < held_out].append((_read_image(paths[k], size), label))
    splits = {
        test: Split(
            np.stack([image for image, _ in part]), np.array([label for _, label in part], dtype=np.int64)
        )
        for test, part in parts.items()
    }
    return splits[False], splits[True], tuple(folder.name for folder in folders)


def _read_image(path: Path, size: int) -> np.ndarray:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            return np.asarray(ImageOps.fit(image.convert("RGB"), (size, size)))
    except Exception as error:
        raise UserError(
            f"{path} is not a readable image ({type(error).__name__}); mend or remove it"
        ) from error


SOURCES: dict[str, Source] = {
    "digits": Source(_read_digits, DIGITS),
    "cifar10": _cifar(CIFAR10),
    "cifar100": _cifar(CIFAR100),
}
"""Data sets by name; a further one is one further entry."""
