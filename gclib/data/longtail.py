"""The long-tailed subset of a data set, exactly as the field cuts it."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gclib.data.sources import (
    FOLDER_SIZE,
    SOURCES,
    Augmentation,
    Split,
    folder_source,
    names,
    positions_in_class,
    root_folder,
)
from gclib.errors import UserError, require_one_of


@dataclass(frozen=True, eq=False)
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
        SHA-256 of the positions, within each class, of the chosen training images (little-endian int64); of a
        folder, also of its images.
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
    """Choose the long-tailed subset exactly as the field does (LDAM, MisLAS, BBN, GCL).

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
    split_seed: int = 0,
) -> LongTailed:
    """Load a data set, its training split cut to a long tail.

    Parameters
    ----------
    name
        One of `SOURCES`: ``"digits"`` (embedded, 8x8), ``"cifar10"``, ``"cifar100"``. Or ``"folder:PATH"`` with one
        folder of images per class; ``"folder:PATH@64"`` brings them to 64x64 pixels (shorter side scaled, centre
        cropped), without a size it is 32x32.
    ratio
        Imbalance ratio, >= 1; None leaves the training split as it is.
    root
        Where CIFAR lies; default ``$GCLIB_DATA``, else ``data/`` in the checkout.
    download
        Whether torchvision may download what is missing.
    split_seed
        Only for ``folder:``: seed of the train/test split.

    Returns
    -------
    LongTailed
        Images in memory as uint8.

    Raises
    ------
    UserError
        If the name is unknown, the data is missing, altered or unreadable, a class has no image in one of the
        splits, or the ratio leaves it none.

    Examples
    --------
    >>> load("digits", ratio=20).class_counts.tolist()
    [100, 71, 51, 36, 26, 18, 13, 9, 6, 5]
    """
    folder = re.fullmatch(r"folder:(.+?)(?:@([1-9]\d*))?", name)
    if folder:
        source = folder_source(Path(folder[1]).expanduser(), int(folder[2] or FOLDER_SIZE), split_seed)
    else:
        require_one_of("data set", name, names())
        source = SOURCES[name]
    train, test, class_names = source.read(root_folder(root), download)
    sizes = _class_sizes(train.labels, len(class_names))
    _class_sizes(test.labels, len(class_names))
    if ratio is None:
        indices = np.arange(len(train))
    else:
        indices = long_tailed_indices(train.labels, ratio)
    positions = positions_in_class(train.labels, sizes)[indices]
    train = Split(train.images[indices], train.labels[indices])
    # The name of a folder does not say what lies in it today.
    digest = subset_digest(positions, *((train.images, test.images) if folder else ()))
    counts = np.bincount(train.labels, minlength=len(class_names)).astype(np.int64)
    return LongTailed(name, ratio, train, test, counts, class_names, source.augmentation, digest)


def _class_sizes(labels: np.ndarray, num_classes: int | None = None) -> np.ndarray:
    if len(labels) == 0 or labels.min() < 0 or (num_classes is not None and labels.max() >= num_classes):
        expected = f"0 .. {num_classes - 1}" if num_classes else "0 or more"
        raise UserError(f"labels outside the classes: expected integers {expected}; check the label file")
    sizes = np.bincount(labels, minlength=num_classes or 0)
    if (sizes == 0).any():
        raise UserError(f"class {int(np.argmin(sizes))} has no image; every class needs at least one")
    return sizes


def subset_digest(positions: np.ndarray, *images: np.ndarray) -> str:
    """SHA-256 of the positions of images within their class, and of images."""
    content = hashlib.sha256(positions.astype("<i8").tobytes())
    for part in images:
        content.update(part.tobytes())
    return content.hexdigest()
