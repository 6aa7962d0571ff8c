"""What callers give as numbers: tensors, arrays, class counts and labels, brought to NumPy and checked in one place."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gclib.errors import UserError

__all__ = ["PerClass", "per_class_numbers", "to_numpy", "validated_counts", "validated_labels"]

PerClass = ArrayLike | Mapping[int, float]
"""One number per class, as a sequence in the order of the classes or a mapping from label to number."""


def to_numpy(values: Any) -> np.ndarray:
    """Return a list, an array or a tensor of any device and dtype as an array; bfloat16 becomes float32."""
    if not hasattr(values, "detach"):  # only tensors have it, and this module does without torch
        return np.asarray(values)
    values = values.detach().cpu()
    try:
        return values.numpy()
    except TypeError:  # NumPy has no bfloat16
        return values.float().numpy()


def per_class_numbers(values: PerClass, what: str) -> np.ndarray:
    """Return one number per class as float64, shape (C,), in the order of the classes.

    Parameters
    ----------
    values
        A sequence, array, tensor or pandas Series in the order of the classes, or a mapping from label to number.
    what
        What the numbers are, for the message.

    Raises
    ------
    UserError
        If a mapping has other keys than 0 to C - 1, a Series another index than 0 to C - 1 in order (that of
        ``value_counts()`` goes by frequency), or these are not C numbers.
    """
    if isinstance(values, Mapping):
        missing = [label for label in range(len(values)) if label not in values]
        if missing:
            raise UserError(
                f"{what} are a mapping of {len(values)} labels without label {missing[0]}, "
                f"expected the labels 0 to {len(values) - 1}; number the classes from 0"
            )
        values = [values[label] for label in range(len(values))]
    index = getattr(values, "index", None)
    if index is not None and not callable(index):  # a pandas Series; the `index` of a list is a method
        labels = list(index)
        if labels != list(range(len(labels))):
            complete = set(labels) == set(range(len(labels)))
            shown = ", ".join(map(str, labels[:3])) + (", ..." if len(labels) > 3 else "")
            raise UserError(
                f"{what} are a Series with the index {shown}, expected 0 to {len(labels) - 1} in order; "
                + ("sort_index() puts labels in order" if complete else "number the classes from 0")
            )
    try:
        numbers = to_numpy(values).astype(np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{what} are not numbers; give one number per class") from None
    if numbers.ndim != 1 or numbers.size == 0:
        raise UserError(f"{what} have shape {numbers.shape}, expected (C,); give one number per class")
    return numbers


def validated_counts(class_counts: PerClass) -> np.ndarray:
    """Return the training images of each class as float64, shape (C,).

    Parameters
    ----------
    class_counts
        In the order of the classes, or a mapping from label to count such as a `collections.Counter`; see
        `per_class_numbers`.

    Raises
    ------
    UserError
        If there is no class, a count is below 1 or not finite, or their order is not that of the classes.

    Examples
    --------
    >>> validated_counts({1: 20, 0: 500, 2: 3})
    array([500.,  20.,   3.])
    """
    counts = per_class_numbers(class_counts, "class counts")
    wrong = np.flatnonzero(~(np.isfinite(counts) & (counts >= 1)))
    if wrong.size:
        raise UserError(
            f"class {wrong[0]} has {counts[wrong[0]]:g} training images, expected at least 1; "
            "lower the imbalance ratio or leave the class out"
        )
    return counts


def validated_labels(
    labels: ArrayLike, num_classes: int | None = None, images: int | None = None, what: str = "labels"
) -> np.ndarray:
    """Return class numbers as int64, shape (N,).

    Parameters
    ----------
    labels
        Whole numbers >= 0, shape (N,).
    num_classes
        C: each must be below. None where it is not known.
    images
        N, where it is known.
    what
        What they are, for the message.

    Raises
    ------
    UserError
        If there is not one for each image, or one is no class.
    """
    values = to_numpy(labels)
    if values.dtype == object:  # as a column of pandas is that held names once
        values = np.asarray(values.tolist())
    if values.ndim != 1 or images not in (None, len(values)):
        expected = "N" if images is None else images
        raise UserError(f"{what} have shape {values.shape}, expected ({expected},); give one class an image")
    whole = values.dtype.kind in "biu" or (
        values.dtype.kind == "f" and bool((values == values.round()).all())
    )
    if not whole:
        raise UserError(f"{what} are not whole numbers; number the classes from 0")
    if values.size and (values.min() < 0 or (num_classes is not None and values.max() >= num_classes)):
        expected = "0 and above" if num_classes is None else f"0 to {num_classes - 1}"
        raise UserError(
            f"{what} reach from {values.min():g} to {values.max():g}, expected {expected}; "
            f"check the {what} or the number of classes"
        )
    return values.astype(np.int64)
