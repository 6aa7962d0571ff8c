"""Data sets by name: where each lies, how it is read, and what keeps the class of its images."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gclib import ROOT
from gclib.data.cifar import CIFAR10, CIFAR100, Files
from gclib.data.photos import Photos
from gclib.data.published import PUBLISHED
from gclib.errors import UserError, require_one_of
from gclib.files import home_expanded


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
    resized
        Whether crops are boxes of any size and place, as of photos (`gclib.data.views.box`); then `shift` is 0.
    jitter
        Reach of the random factors of brightness, contrast and saturation, in 0..1; 0 for the colours as they are.
    """

    shift: int
    flip: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    mixup: bool = True
    resized: bool = False
    jitter: float = 0.0


# The constants of CIFAR-10 also normalise CIFAR-100, as in every official code of the field.
CIFAR = Augmentation(4, True, (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
DIGITS = Augmentation(1, False, (0.305, 0.305, 0.305), (0.376, 0.376, 0.376), mixup=False)
FOLDER = Augmentation(4, True, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
# As Kang et al. (ICLR 2020) and their followers train on ImageNet-LT and Places-LT.
PHOTOS = Augmentation(0, True, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), resized=True, jitter=0.4)

DIGITS_TRAIN, DIGITS_TEST = 100, 74  # images per class; 74 is all that the rarest digit leaves


@dataclass(frozen=True)
class Split:
    """Images uint8 ``(N, H, W, C)`` in 0..255, or in their files, and labels int64 ``(N,)`` in 0..C-1."""

    images: np.ndarray | Photos
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Split({len(self)} images)"

    def of(self, indices: np.ndarray) -> "Split":
        """Those at `indices`; the split itself, not copied, where that is all of it."""
        if np.array_equal(indices, np.arange(len(self))):
            return self
        return Split(self.images[indices], self.labels[indices])


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
    fixed
        Whether a checksum proves its images before they are read: then its name says which they are. The digest of
        any other data set covers its pixels, and a short run of it may take a sample.
    ratio
        Imbalance ratio where a command gives none; None leaves the training split as it is.
    prove
        Takes the folder of downloaded data and compares the files with their checksums, for whoever needs no image;
        None where there are none.
    """

    read: Callable[[Path, bool], tuple[Split, Split, tuple[str, ...]]]
    augmentation: Augmentation
    fixed: bool = False
    ratio: float | None = None
    prove: Callable[[Path], None] | None = None


def check_splits(name: str, train: Split, test: Split, class_names: tuple[str, ...]) -> None:
    """Refuse what `Source.read` returned where it is no data set.

    Raises
    ------
    UserError
        If pixels or labels are of another type or shape, a label is outside the classes, a class has no image in one
        of the splits, or a name stands for two classes.
    """
    classes = len(class_names)
    if classes < 1 or len(set(class_names)) < classes:
        raise UserError(
            f"data set {name}: class names {class_names[:5]}; expected one for each class, all different"
        )
    for which, split in (("training", train), ("test", test)):
        images = split.images if isinstance(split.images, Photos) else np.asarray(split.images)
        labels = np.asarray(split.labels)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape:
            raise UserError(
                f"data set {name}: {which} images are {images.dtype} {images.shape}; "
                "expected uint8 (N, H, W, 3), values 0 to 255"
            )
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise UserError(
                f"data set {name}: {which} labels are {labels.dtype} {labels.shape}; expected int64 ({len(images)},)"
            )
        if labels.min() < 0 or labels.max() >= classes:
            raise UserError(
                f"data set {name}: {which} labels from {labels.min()} to {labels.max()}; expected 0 to {classes - 1}"
            )
        if (without := np.flatnonzero(np.bincount(labels, minlength=classes) == 0)).size:
            raise UserError(
                f"data set {name}: class {without[0]} has no image in the {which} split; every class needs one"
            )
        if isinstance(images, np.ndarray) and images.max() == 1:
            raise UserError(f"data set {name}: {which} images hold only 0 and 1; expected values 0 to 255")
    if train.images.shape[1:] != test.images.shape[1:]:
        raise UserError(
            f"data set {name}: training images of {train.images.shape[1:]}, test images of {test.images.shape[1:]}; "
            "expected one size"
        )


@dataclass(frozen=True)
class Whole:
    """A data set before it is cut: what its images are is known, and they are taken when it is known which.

    Attributes
    ----------
    train_labels, test_labels
        int64, shape ``(N,)``, in 0..C-1.
    class_names
        Names of the C classes.
    augmentation, fixed
        As in `Source`.
    size
        Height and width of the images.
    take
        Takes positions in the training and in the test split, and returns the two splits of those images.
    proof
        What says which images those of a `fixed` set are, where its name alone does not.
    """

    train_labels: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    augmentation: Augmentation
    fixed: bool
    size: tuple[int, int]
    take: Callable[[np.ndarray, np.ndarray], tuple[Split, Split]]
    proof: bytes = b""


def by_name(name: str, root: str | Path | None = None, download: bool = True) -> Whole:
    """Read the data set of `SOURCES` that has this name; see `gclib.data.load`.

    Raises
    ------
    UserError
        If the name is unknown, the data is missing or altered, or it is no data set; see `check_splits`.
    """
    if name and name not in SOURCES and Path(name).is_dir():
        raise UserError(
            f"unknown data set {name!r}; for the images of the folder of that name write folder:{name}"
        )
    require_one_of("data set", name, names())
    source = SOURCES[name]
    train, test, class_names = source.read(root_folder(root), download)
    check_splits(name, train, test, class_names)
    height, width = train.images.shape[1:3]

    def take(kept: np.ndarray, tested: np.ndarray) -> tuple[Split, Split]:
        return train.of(kept), test.of(tested)

    return Whole(
        train.labels, test.labels, class_names, source.augmentation, source.fixed, (height, width), take
    )


def names() -> list[str]:
    """Names that `load` takes."""
    return [*SOURCES, *PUBLISHED, "folder:PATH", "list:PATH"]


def ratio_of(name: str, ratio: float | None = None) -> float | None:
    """Imbalance ratio of a command: `ratio`, 0 for images as they are, or None for what is usual with the data set.

    Returns
    -------
    float or None
        What `gclib.data.load` takes.
    """
    if ratio is None:
        return SOURCES[name].ratio if name in SOURCES else None
    return ratio or None


def root_folder(root: str | Path | None = None) -> Path:
    """Where downloaded data lies: `root`, else ``$GCLIB_DATA``, else ``data/`` in the checkout."""
    return home_expanded(root or os.environ.get("GCLIB_DATA") or ROOT / "data")


def positions_in_class(labels: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """For each image, which image of its class it is: the subset's identity without the pixels."""
    order = np.argsort(labels, kind="stable")
    positions = np.empty(len(labels), dtype=np.int64)
    positions[order] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return positions


def _read_digits(root: Path, download: bool) -> tuple[Split, Split, tuple[str, ...]]:
    """The 8x8 digits inside scikit-learn, in file order: mostly other writers in the test split than in training."""
    from importlib.metadata import distribution

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

    return Source(read, CIFAR, fixed=True, ratio=100.0, prove=files.prove)


SOURCES: dict[str, Source] = {
    "digits": Source(_read_digits, DIGITS, fixed=True, ratio=20.0),
    "cifar10": _cifar(CIFAR10),
    "cifar100": _cifar(CIFAR100),
}
"""Data sets by name; a further one is one further entry."""
