"""Data sets whose sizes are known without a file: their class counts, and a stand-in without images."""

import numpy as np

from gclib.data.counts import class_counts, long_tailed_indices
from gclib.data.longtail import LongTailed, subset_digest
from gclib.data.sources import DIGITS_TEST, DIGITS_TRAIN, SOURCES, Split, positions_in_class
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


def without_images(dataset: str = "cifar10", ratio: float = 100) -> LongTailed:
    """Return a long-tailed data set whose images have no pixels: to resolve recipes and plan runs; no file is read.

    Parameters
    ----------
    dataset
        ``"digits"``, ``"cifar10"`` or ``"cifar100"``.
    ratio
        Imbalance ratio.

    Returns
    -------
    LongTailed
        Counts and digest are those of the data set itself, for they follow from its class sizes; its classes are
        named by their numbers.

    Raises
    ------
    UserError
        For another data set.
    """
    counts = training_counts(dataset, ratio)
    size, classes = WHOLE[dataset]
    labels = np.repeat(np.arange(classes), size)
    chosen = long_tailed_indices(labels, ratio)
    positions = positions_in_class(labels, np.full(classes, size))[chosen]
    train = _without_pixels(labels[chosen])
    test = _without_pixels(np.repeat(np.arange(classes), TEST_IMAGES[dataset]))
    names = tuple(map(str, range(classes)))
    return LongTailed(
        dataset, ratio, train, test, counts, names, SOURCES[dataset].augmentation, subset_digest(positions)
    )


def _without_pixels(labels: np.ndarray) -> Split:
    return Split(np.empty((len(labels), 0, 0, 3), dtype=np.uint8), labels)
