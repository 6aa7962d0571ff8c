"""Data sets whose sizes are known without a file: their class counts, and a stand-in without images."""

import numpy as np

from gclib.data.longtail import LongTailed, class_counts
from gclib.data.sources import CIFAR, Split
from gclib.errors import UserError

__all__ = ["WHOLE", "training_counts", "without_images"]

WHOLE = {"cifar10": (5000, 10), "cifar100": (500, 100)}
"""Training images per class before the cut, and classes, of the data sets whose sizes are known without a file."""


def training_counts(dataset: str = "cifar10", ratio: float = 100) -> np.ndarray:
    """Return the training images of each class of a long-tailed CIFAR, without its images.

    Parameters
    ----------
    dataset
        ``"cifar10"`` or ``"cifar100"``.
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
    """Return a long-tailed CIFAR with black images: all that a recipe has to know of it, and no file is read.

    Parameters
    ----------
    dataset
        ``"cifar10"`` or ``"cifar100"``.
    ratio
        Imbalance ratio.

    Returns
    -------
    LongTailed
        Its test split is the training split and its digest is zeros: to resolve recipes, not to train.

    Raises
    ------
    UserError
        For another data set.
    """
    counts = training_counts(dataset, ratio)
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.broadcast_to(np.uint8(0), (len(labels), 32, 32, 3))  # takes no memory
    split, names = Split(images, labels), tuple(map(str, range(len(counts))))
    return LongTailed(dataset, ratio, split, split, counts, names, CIFAR, "0" * 64)
