"""Data sets whose sizes are known without a file: their class counts, and a stand-in without images."""

from pathlib import Path

import numpy as np

from gclib.data.counts import class_counts, long_tailed_indices
from gclib.data.listed import PHOTOGRAPHS, SIDE, listed
from gclib.data.longtail import LongTailed, subset_digest
from gclib.data.published import PUBLISHED, published_counts
from gclib.data.sources import DIGITS_TEST, DIGITS_TRAIN, SOURCES, Split, positions_in_class, root_folder
from gclib.errors import UserError

__all__ = ["WHOLE", "training_counts", "without_images"]

WHOLE = {"digits": (DIGITS_TRAIN, 10), "cifar10": (5000, 10), "cifar100": (500, 100)}
"""Training images per class before the cut, and classes, of the data sets whose sizes are known without a file."""

TEST_IMAGES = {"digits": DIGITS_TEST, "cifar10": 1000, "cifar100": 100}  # per class


def training_counts(dataset: str = "cifar10", ratio: float = 100) -> np.ndarray:
    """Return the training images of each class of a long-tailed data set, without its images.

    Parameters
    ----------
    dataset
        ``"digits"``, ``"cifar10"`` or ``"cifar100"``.
    ratio
        Imbalance ratio.

    Returns
    -------
    np.ndarray
        int64, shape (C,).

    Raises
    ------
    UserError
        For another data set.
    """
    if dataset not in WHOLE:
        raise UserError(f"no class counts for {dataset}; expected one of {', '.join(WHOLE)}")
    return class_counts(*WHOLE[dataset], ratio)


def without_images(
    dataset: str = "cifar10", ratio: float | None = 100, root: str | Path | None = None
) -> LongTailed:
    """Return a long-tailed data set whose images have no pixels: to resolve recipes and plan runs; no image is read.

    Parameters
    ----------
    dataset
        ``"digits"``, ``"cifar10"``, ``"cifar100"`` or one of `gclib.data.PUBLISHED`.
    ratio
        Imbalance ratio; of a published set it is the set's own.
    root
        Where the annotations of iNaturalist 2018 lie, whose class counts are in no other place; see `root_folder`.

    Returns
    -------
    LongTailed
        Counts and digest are those of the data set itself, for they follow from its class sizes; its classes are
        named by their numbers.

    Raises
    ------
    UserError
        For another data set, or without the annotations of iNaturalist 2018.
    """
    if dataset in PUBLISHED:
        return _published(dataset, root_folder(root))
    counts = training_counts(dataset, ratio or 1)
    size, classes = WHOLE[dataset]
    labels = np.repeat(np.arange(classes), size)
    chosen = long_tailed_indices(labels, ratio or 1)
    positions = positions_in_class(labels, np.full(classes, size))[chosen]
    train = _without_pixels(labels[chosen])
    test = _without_pixels(np.repeat(np.arange(classes), TEST_IMAGES[dataset]))
    names = tuple(map(str, range(classes)))
    return LongTailed(
        dataset, ratio, train, test, counts, names, SOURCES[dataset].augmentation, subset_digest(positions)
    )


def _without_pixels(labels: np.ndarray) -> Split:
    return Split(np.empty((len(labels), 0, 0, 3), dtype=np.uint8), labels)


def _published(name: str, root: Path) -> LongTailed:
    counts, known = published_counts(name), PUBLISHED[name]
    names, proof = tuple(map(str, range(known.classes))), b""
    if counts is None:
        found = listed(name, root)
        counts, names, proof = np.bincount(found.train[1]), found.class_names, found.proof
    labels, every = np.repeat(np.arange(known.classes), counts), np.arange(known.classes)
    # All test splits are balanced. One pixel stands for all, so that the sizes are right and take no memory.
    tested = np.repeat(every, known.sizes[1] // known.classes)
    train, test = (
        Split(np.broadcast_to(np.uint8(0), (len(split), SIDE, SIDE, 3)), split) for split in (labels, tested)
    )
    digest = subset_digest(positions_in_class(labels, counts), np.frombuffer(proof, np.uint8))
    return LongTailed(name, None, train, test, counts, names, PHOTOGRAPHS, digest)
