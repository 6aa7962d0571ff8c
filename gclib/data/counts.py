"""How many images each class keeps, and which: the long tail as the field cuts it."""

import math
from typing import SupportsFloat

import numpy as np
from numpy.typing import ArrayLike

from gclib.arrays import validated_labels
from gclib.errors import UserError, require_range

__all__ = ["class_counts", "class_sizes", "held_out", "long_tailed_indices"]


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
    _require_ratio(ratio)
    if not all(
        isinstance(n, SupportsFloat) and n >= 1 and float(n).is_integer() for n in (n_max, num_classes)
    ):
        raise UserError(
            f"n_max {n_max!r}, num_classes {num_classes!r}: expected whole numbers, at least 1 of each"
        )
    exponents = np.arange(num_classes) / max(num_classes - 1, 1)
    counts = np.array([int(n_max * ratio**-e) for e in exponents], dtype=np.int64)
    if counts[-1] < 1:
        raise UserError(
            f"imbalance ratio {ratio:g} leaves class {num_classes - 1} without an image: "
            f"the largest class has {n_max}; give a ratio {_possible(n_max)}"
        )
    return counts


def _possible(n_max: int) -> str:
    """Say which ratios leave the last class an image: n_max itself, but where the power rounds down, as at 49."""
    return f"{'of at most' if n_max * float(n_max) ** -1.0 >= 1 else 'below'} {n_max}"


def _require_ratio(ratio: float) -> None:
    if not (isinstance(ratio, SupportsFloat) and 1 <= ratio < math.inf):
        raise UserError(
            f"imbalance ratio {ratio!r}: expected a number >= 1 (1 is balanced); give another ratio"
        )


def long_tailed_indices(labels: ArrayLike, ratio: float, seed: int = 0) -> np.ndarray:
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
    _require_ratio(ratio)
    require_range(0, 2**32, seed=seed)
    labels = validated_labels(labels)
    sizes = class_sizes(labels)
    smallest, largest = int(sizes.min()), int(sizes.max())
    if smallest < largest and smallest < ratio:
        raise UserError(
            f"imbalance ratio {ratio:g}: every class starts from the size of the smallest, which has {smallest} "
            f"training images (the largest has {largest}); leave the images as they are (ratio 0, in Python None), "
            f"or give a ratio {_possible(smallest)}"
        )
    counts = class_counts(smallest, len(sizes), ratio)
    generator = np.random.RandomState(seed)  # the field's stream; frozen by NumPy's policy
    chosen = []
    for label, count in enumerate(counts):
        positions = np.flatnonzero(labels == label)
        generator.shuffle(positions)
        chosen.append(positions[:count])
    return np.concatenate(chosen).astype(np.int64)


def class_sizes(labels: np.ndarray, num_classes: int | None = None) -> np.ndarray:
    """Images of each class, int64, shape ``(C,)``; UserError for a label outside 0..C-1 or a class without an image."""
    if len(labels) == 0 or labels.min() < 0 or (num_classes is not None and labels.max() >= num_classes):
        expected = f"0 .. {num_classes - 1}" if num_classes else "0 or more"
        raise UserError(f"labels outside the classes: expected integers {expected}; check the label file")
    sizes = np.bincount(labels, minlength=num_classes or 0)
    if (sizes == 0).any():
        raise UserError(f"class {int(np.argmin(sizes))} has no image; every class needs at least one")
    return sizes


def held_out(labels: np.ndarray, share: float, drawn: bool = False) -> np.ndarray:
    """Mark the images that are kept from training, to choose by them: the last of each class, or some that are drawn.

    Groups are not known here: images of a track or a burst may be parted.

    Parameters
    ----------
    labels
        Classes of the images, shape ``(N,)``.
    share
        Share of each class that is held out, in [0, 1); rounded down, so that a small class may give none.
    drawn
        Whether they are drawn, by a fixed seed: where images of a class stand in some order, as by the names of their
        files. In a cut the order is random already.

    Returns
    -------
    ndarray
        bool, shape ``(N,)``.

    Examples
    --------
    >>> held_out(np.array([0, 1, 0, 0, 0, 1]), 0.25)
    array([False, False, False, False,  True, False])
    """
    require_range(0, 1, share=share)
    marked = np.zeros(len(labels), dtype=bool)
    generator = np.random.default_rng(0)
    for label in np.unique(labels):
        positions = np.flatnonzero(labels == label)
        if drawn:  # all of them, so that a larger share holds a smaller one
            positions = generator.permutation(positions)
        marked[positions[len(positions) - int(share * len(positions)) :]] = True
    return marked
