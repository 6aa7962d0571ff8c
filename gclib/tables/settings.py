"""Where two recipes differ, setting by setting."""

import numpy as np

from gclib.data import CIFAR, LongTailed, Split, class_counts
from gclib.errors import UserError
from gclib.recipes import get, settings_table
from gclib.tables.table import Table

__all__ = ["WHOLE", "settings_difference", "training_counts", "without_images"]

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


def settings_difference(first: str, second: str, dataset: str = "cifar10", ratio: float = 100) -> Table:
    """Show the settings in which two recipes differ at paper scale; no image is needed.

    Parameters
    ----------
    first, second
        Names of recipes.
    dataset
        ``"cifar10"`` or ``"cifar100"``.
    ratio
        Imbalance ratio.

    Raises
    ------
    UserError
        For another data set or an unknown recipe.
    """
    data = without_images(dataset, ratio)
    columns = []
    for name in (first, second):
        table = settings_table(get(name).resolve(data), data)
        settings = table.pop("setting")
        del table["source"]
        columns.append(
            {
                (stage, setting): value
                for stage, values in table.items()
                for setting, value in zip(settings, values, strict=True)
            }
        )
    left, right = columns
    keys = [key for key in dict.fromkeys([*left, *right]) if left.get(key, "") != right.get(key, "")]
    rows = [
        [stage, setting, left.get((stage, setting)), right.get((stage, setting))] for stage, setting in keys
    ]
    caption = f"Settings in which {first} and {second} differ. Empty: the recipe leaves it at its default."
    return Table.of(["stage", "setting", first, second], sorted(rows, key=lambda row: str(row[0])), caption)
