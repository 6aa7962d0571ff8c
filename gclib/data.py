"""Data sets by name, their long-tailed subsets, and where they lie."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gclib import ROOT
from gclib.augment import Augmentation
from gclib.errors import UserError, nearest

__all__ = ["LongTailed", "Split", "class_counts", "load", "long_tailed_indices", "names", "root_folder"]

# The constants of CIFAR-10 also normalise CIFAR-100, as in every official code of the field.
CIFAR = Augmentation(4, True, (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
DIGITS = Augmentation(1, False, (0.305, 0.305, 0.305), (0.376, 0.376, 0.376), mixup=False)
FOLDER = Augmentation(4, True, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))

DIGITS_TRAIN, DIGITS_TEST = 100, 74  # images per class; 74 is all that the rarest digit leaves
FOLDER_TEST_SHARE = 0.2  # of the smallest class, for every class: the test set stays balanced


@dataclass(frozen=True)
class Split:
    """Images uint8 ``(N, H, W, C)`` in 0..255 and labels int64 ``(N,)`` in 0..C-1."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class LongTailed:
    """A data set with a long-tailed training split and a balanced test split.

    Attributes
    ----------
    name
        Name that `load` takes.
    ratio
        Imbalance ratio that was asked for, or None where the training split was left as it is.
    train, test
        The two splits.
    class_counts
        int64, shape ``(C,)``: training images per class.
    class_names
        Names of the C classes.
    augmentation
        What keeps the class of these images.
    digest
        SHA-256 of the positions, within each class, of the chosen training images (little-endian int64).
    """

    name: str
    ratio: float | None
    train: Split
    test: Split
    class_counts: np.ndarray
    class_names: tuple[str, ...]
    augmentation: Augmentation
    digest: str

    @property
    def num_classes(self) -> int:
        """Number of classes C."""
        return len(self.class_names)


def class_counts(n_max: int, num_classes: int, ratio: float) -> np.ndarray:
    """Long-tailed class counts ``int(n_max * ratio ** (-c / (C - 1)))``, c = 0 .. C-1 (Cao et al., NeurIPS 2019).

    Parameters
    ----------
    n_max
        Images of the most frequent class, class 0; >= 1.
    num_classes
        Number of classes C; >= 1. One class keeps all `n_max`.
    ratio
        Imbalance ratio n_max / n_min before truncation; >= 1.

    Returns
    -------
    ndarray
        int64, shape ``(C,)``, not increasing. Truncation can make the real ratio larger: CIFAR-100 at ratio 200 has
        a smallest class of 2 images, so its real ratio is 250.

    Raises
    ------
    UserError
        If the ratio is below 1 or a class would be left without an image.

    Examples
    --------
    >>> class_counts(5000, 10, 100).tolist()
    [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    """
    if not (np.isfinite(ratio) and ratio >= 1):
        raise UserError(
            f"imbalance ratio {ratio}: expected a number >= 1 (1 is balanced); give another ratio"
        )
    if n_max < 1 or num_classes < 1:
        raise UserError(f"n_max {n_max}, num_classes {num_classes}: expected at least 1 of each")
    exponents = np.arange(num_classes) / max(num_classes - 1, 1)
    counts = np.array([int(n_max * ratio**-e) for e in exponents], dtype=np.int64)
    if counts[-1] < 1:
        raise UserError(
            f"imbalance ratio {ratio:g} leaves class {num_classes - 1} without an image: "
            f"the largest class has {n_max}; give a ratio of at most {n_max}"
        )
    return counts


def long_tailed_indices(labels: np.ndarray, ratio: float, seed: int = 0) -> np.ndarray:
    """Choose the long-tailed subset exactly as the field does (LDAM, MiSLAS, BBN, GCL).

    For each class in label order its positions are shuffled by NumPy's legacy generator and the first n_c are kept.
    Each class consumes a full shuffle, so for one seed the subsets of larger ratios lie within those of smaller ones.

    Parameters
    ----------
    labels
        Integers 0..C-1, shape ``(N,)``.
    ratio
        Imbalance ratio, >= 1. Counts follow `class_counts` with n_max the size of the smallest class.
    seed
        Seed of the subset; the field uses 0.

    Returns
    -------
    ndarray
        int64: indices into `labels`, class after class.

    Raises
    ------
    UserError
        If labels are not 0..C-1 with an image in every class, or the ratio is not possible.
    """
    sizes = _class_sizes(labels)
    counts = class_counts(int(sizes.min()), len(sizes), ratio)
    generator = np.random.RandomState(seed)  # the field's stream; frozen by NumPy's policy
    chosen = []
    for label, count in enumerate(counts):
        positions = np.flatnonzero(labels == label)
        generator.shuffle(positions)
        chosen.append(positions[:count])
    return np.concatenate(chosen).astype(np.int64)


def load(
    name: str,
    ratio: float | None = None,
    root: str | Path | None = None,
    download: bool = True,
    *,
    image_size: int = 32,
    split_seed: int = 0,
) -> LongTailed:
    """Load a data set, its training split cut to a long tail.

    Parameters
    ----------
    name
        ``"digits"`` (embedded, 8x8), ``"cifar10"``, ``"cifar100"``, or ``"folder:PATH"`` with one folder of images
        per class.
    ratio
        Imbalance ratio, >= 1; None leaves the training split as it is.
    root
        Where CIFAR lies; default ``$GCLIB_DATA``, else ``data/`` in the checkout.
    download
        Whether torchvision may download what is missing.
    image_size, split_seed
        Only for ``folder:``: side in pixels to which images are brought (shorter side scaled, centre cropped), and
        the seed of the train/test split.

    Returns
    -------
    LongTailed
        Images in memory as uint8.

    Raises
    ------
    UserError
        If the name is unknown, the data is missing, altered or unreadable, or the ratio leaves a class empty.

    Examples
    --------
    >>> load("digits", ratio=20).class_counts.tolist()
    [100, 71, 51, 36, 26, 18, 13, 9, 6, 5]
    """
    kind, _, path = name.partition(":")
    if kind not in READERS or (kind == "folder") != bool(path):
        raise UserError(
            f"unknown data set {name!r}; expected one of {', '.join(names())}{nearest(name, names())}"
        )
    if kind == "folder":
        train, test, class_names = _read_folder(Path(path).expanduser(), image_size, split_seed)
    else:
        train, test, class_names = READERS[kind](root_folder(root), download)
    sizes = _class_sizes(train.labels, len(class_names))
    if ratio is None:
        indices = np.arange(len(train))
    else:
        indices = long_tailed_indices(train.labels, ratio)
    digest = _digest(_positions_in_class(train.labels, sizes)[indices])
    train = Split(train.images[indices], train.labels[indices])
    counts = np.bincount(train.labels, minlength=len(class_names)).astype(np.int64)
    augmentation = {"digits": DIGITS, "folder": FOLDER}.get(kind, CIFAR)
    return LongTailed(name, ratio, train, test, counts, class_names, augmentation, digest)


def names() -> list[str]:
    """Names that `load` takes."""
    return [*(kind for kind in READERS if kind != "folder"), "folder:PATH"]


def root_folder(root: str | Path | None = None) -> Path:
    """Where downloaded data lies: `root`, else ``$GCLIB_DATA``, else ``data/`` in the checkout."""
    return Path(root or os.environ.get("GCLIB_DATA") or ROOT / "data")


def _class_sizes(labels: np.ndarray, num_classes: int | None = None) -> np.ndarray:
    if len(labels) == 0 or labels.min() < 0 or (num_classes is not None and labels.max() >= num_classes):
        expected = f"0 .. {num_classes - 1}" if num_classes else "0 or more"
        raise UserError(f"labels outside the classes: expected integers {expected}; check the label file")
    sizes = np.bincount(labels, minlength=num_classes or 0)
    if (sizes == 0).any():
        raise UserError(f"class {int(np.argmin(sizes))} has no image; every class needs at least one")
    return sizes


def _digest(positions: np.ndarray) -> str:
    return hashlib.sha256(positions.astype("<i8").tobytes()).hexdigest()


def _positions_in_class(labels: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """For each image, which image of its class it is: the subset's identity without the pixels."""
    order = np.argsort(labels, kind="stable")
    positions = np.empty(len(labels), dtype=np.int64)
    positions[order] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return positions


def _read_digits(root: Path, download: bool) -> tuple[Split, Split, tuple[str, ...]]:
    """The 8x8 digits inside scikit-learn, in file order: mostly other writers in the test split than in training."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.repeat((digits.images * (255 / 16)).round().astype(np.uint8)[..., None], 3, axis=3)
    labels = digits.target.astype(np.int64)
    positions = _positions_in_class(labels, np.bincount(labels))
    train = positions < DIGITS_TRAIN
    test = ~train & (positions < DIGITS_TRAIN + DIGITS_TEST)
    return Split(images[train], labels[train]), Split(images[test], labels[test]), tuple("0123456789")


def _read_cifar(class_name: str) -> Callable[[Path, bool], tuple[Split, Split, tuple[str, ...]]]:
    def read(root: Path, download: bool) -> tuple[Split, Split, tuple[str, ...]]:
        import torchvision.datasets

        kind = getattr(torchvision.datasets, class_name)
        parts = []
        for train in (True, False):
            try:
                # torchvision checks the MD5 of every file before it unpickles it.
                part = kind(root, train=train, download=download)
            except Exception as error:
                raise UserError(_missing_cifar(class_name, root, error)) from error
            parts.append(Split(part.data, np.asarray(part.targets, dtype=np.int64)))
        return parts[0], parts[1], tuple(part.classes)

    return read


def _missing_cifar(class_name: str, root: Path, error: Exception) -> str:
    archive, folder = {
        "CIFAR10": ("cifar-10-python.tar.gz", "cifar-10-batches-py"),
        "CIFAR100": ("cifar-100-python.tar.gz", "cifar-100-python"),
    }[class_name]
    state = "altered or incomplete" if (root / folder).exists() else "missing"
    return (
        f"{class_name} is {state} in {root} ({type(error).__name__}); either run "
        f"`gcl data fetch {class_name.lower()}` with a network, or unpack the official {archive} there, "
        f"or set GCLIB_DATA to a folder that holds {folder}/"
    )


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


READERS: dict[str, Callable] = {
    "digits": _read_digits,
    "cifar10": _read_cifar("CIFAR10"),
    "cifar100": _read_cifar("CIFAR100"),
    "folder": _read_folder,
}
