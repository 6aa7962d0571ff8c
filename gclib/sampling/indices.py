"""Streams of image indices that samplers make: for an epoch of the training wing, and for a loop of your own."""

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils.data import Sampler

from gclib.arrays import PerClass, per_class_numbers, validated_labels
from gclib.errors import UserError
from gclib.sampling.probabilities import class_probabilities

__all__ = ["ClassIndex", "ClassSampler", "epoch_indices"]


@dataclass(frozen=True)
class ClassIndex:
    """Where the images of each class are: the labels, sorted once.

    Attributes
    ----------
    order
        Image indices, class after class, within a class in the data set's order; int64, shape (N,).
    counts
        Images of each class, int64, shape (C,).
    start
        Position in `order` of each class's first image, int64, shape (C,).
    """

    order: Tensor
    counts: Tensor
    start: Tensor

    @classmethod
    def from_labels(cls, labels: ArrayLike, num_classes: int) -> "ClassIndex":
        """Sort labels (N,), integers in [0, num_classes), by class.

        Raises
        ------
        UserError
            If there is not one class for each image, or a label lies outside the classes.
        """
        values = torch.from_numpy(validated_labels(labels, num_classes))
        counts = torch.bincount(values, minlength=num_classes)
        # A narrow type sorts several times faster.
        narrow = torch.int16 if num_classes <= 2**15 else torch.int32
        order = torch.argsort(values.to(narrow), stable=True)
        return cls(order, counts, counts.cumsum(0) - counts)


def epoch_indices(
    index: ClassIndex, probabilities: PerClass | None, n: int, generator: torch.Generator
) -> Tensor:
    """Draw the indices of the images of one epoch.

    Parameters
    ----------
    index
        The images of each class.
    probabilities
        Class probabilities, shape (C,), to draw with replacement: each image of class j then comes with
        probability ``probabilities[j] / counts[j]``. None for a permutation of all images, each once.
    n
        Number of indices; at most N for a permutation, of which they are the first n.
    generator
        The CPU generator that all randomness comes from.

    Returns
    -------
    Tensor
        Image indices, int64, shape (n,), in random order.

    Raises
    ------
    UserError
        If a permutation is asked for more images than there are, a class without images is to be drawn, or these are
        not C probabilities.

    Examples
    --------
    >>> index = ClassIndex.from_labels([0] * 90 + [1] * 10, num_classes=2)
    >>> generator = torch.Generator().manual_seed(0)
    >>> [int((epoch_indices(index, q, 100, generator) >= 90).sum()) for q in ([0.5, 0.5], [0.9, 0.1], None)]
    [47, 12, 10]
    """
    if n < 0:
        raise UserError(f"{n} indices asked for, expected 0 or more; raise n")
    if probabilities is None:
        if n > len(index.order):
            raise UserError(
                f"{n} indices asked for without replacement, expected at most {len(index.order)}; "
                "lower n or give class probabilities"
            )
        return torch.randperm(len(index.order), generator=generator)[:n]
    chances = torch.from_numpy(per_class_numbers(probabilities, "class probabilities"))
    total = float(chances.sum())
    if chances.shape != index.counts.shape or not (total > 0 and total < float("inf") and chances.min() >= 0):
        raise UserError(
            f"class probabilities are {len(chances)} numbers that sum to {total:g}, expected {len(index.counts)} "
            "numbers >= 0, one per class, not all 0"
        )
    empty = torch.nonzero((chances > 0) & (index.counts == 0))
    if len(empty):
        raise UserError(
            f"class {int(empty[0])} has no image to draw, expected at least 1; leave the class out"
        )
    # Inverse of the distribution function; its last value is exactly 1, and a uniform number is below 1.
    distribution = chances.cumsum(0)
    uniform = torch.rand(2, n, dtype=torch.float64, generator=generator)
    classes = _count_at_most(distribution / distribution[-1], uniform[0])
    within = (uniform[1] * index.counts[classes]).long()
    return index.order[index.start[classes] + within]


def _count_at_most(edges: Tensor, values: Tensor) -> Tensor:
    """How many of the sorted edges (C,) are <= each of the values (n,) in [0, 1): searchsorted, sooner.

    A binary search guesses wrong at every second comparison. Most of the 16 C to 32 C equal bins of [0, 1) hold no
    edge, so one look at a table answers; only values in the other bins are searched.
    """
    bins = 16 << len(edges).bit_length()  # a power of two: value * bins is exact
    borders = torch.arange(bins + 1, dtype=edges.dtype) / bins
    count = torch.searchsorted(edges, borders, right=True)
    table = torch.where(count[1:] == count[:-1], count[:-1], -1)
    found = table[(values * bins).long()]
    unsure = torch.nonzero(found < 0)[:, 0]
    found[unsure] = torch.searchsorted(edges, values[unsure], right=True)
    return found


class ClassSampler(Sampler[int]):
    """Indices of training images by one of the `STRATEGIES`, for a `torch.utils.data.DataLoader`.

    Each pass over it is a new epoch.

    Parameters
    ----------
    labels
        Class of each image of the data set, shape (N,), every class at least once.
    strategy
        See `class_probabilities`; ``"instance"`` gives each image once an epoch, the others draw with replacement.
    num_classes
        C; by default one more than the largest label.
    num_samples
        Indices of an epoch, >= 1; by default N. At most N for ``"instance"``.
    generator
        The CPU generator that all randomness comes from; by default a new one each epoch, seeded by torch's own, as
        `torch.utils.data.RandomSampler` has it.
    **parameters
        Of the strategy.

    Raises
    ------
    UserError
        For labels that are no classes, a class without images, an unknown strategy or a parameter out of its range.

    Examples
    --------
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> labels = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    >>> images = TensorDataset(torch.rand(1000, 3, 32, 32), labels)
    >>> sampler = ClassSampler(labels, "cben", generator=torch.Generator().manual_seed(0))
    >>> loader = DataLoader(images, batch_size=64, sampler=sampler)
    >>> torch.cat([targets for _, targets in loader]).bincount()
    tensor([345, 333, 322])
    """

    def __init__(
        self,
        labels: ArrayLike,
        strategy: str,
        *,
        num_classes: int | None = None,
        num_samples: int | None = None,
        generator: torch.Generator | None = None,
        **parameters: float,
    ) -> None:
        for name, value in (("num_classes", num_classes), ("num_samples", num_samples)):
            if not isinstance(value, Integral | None):
                raise UserError(f"{name} is {value!r}, expected a whole number; change {name}")
        if not isinstance(generator, torch.Generator | None):
            raise UserError(
                f"generator is {generator!r}, expected a torch.Generator, as by torch.Generator().manual_seed(0)"
            )
        classes = validated_labels(labels, num_classes)
        number = num_classes or int(classes.max(initial=-1)) + 1
        if number > len(classes):  # said before anything has the size of the largest label
            raise UserError(
                f"{number} classes, but only {len(classes)} labels; number the classes from 0 without gaps"
            )
        self.index = ClassIndex.from_labels(classes, number)
        probabilities = class_probabilities(self.index.counts, strategy, **parameters)
        self.probabilities = None if strategy == "instance" else probabilities
        self.num_samples, self.generator = len(classes) if num_samples is None else num_samples, generator
        if self.num_samples < 1 or (strategy == "instance" and self.num_samples > len(classes)):
            most = f" to {len(classes)}" if strategy == "instance" else " or more"
            raise UserError(f"num_samples is {self.num_samples}, expected 1{most}; change num_samples")

    def __len__(self) -> int:
        """Indices of an epoch."""
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        """Draw one epoch."""
        generator = self.generator
        if generator is None:
            generator = torch.Generator().manual_seed(int(torch.empty((), dtype=torch.int64).random_()))
        yield from epoch_indices(self.index, self.probabilities, self.num_samples, generator).tolist()
