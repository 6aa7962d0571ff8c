"""Class probabilities of the samplers, and the streams of image indices that they make.

A sampler is a vector of class probabilities: it draws a class, then an image of that class uniformly, with
replacement. Instance-balanced sampling is a permutation instead: each image once an epoch, in random order.
All randomness comes from the ``torch.Generator`` (CPU) that the caller gives. `ClassSampler` is for a
`torch.utils.data.DataLoader`, in a loop of your own.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils.data import Sampler

from gclib.arrays import PerClass, per_class_numbers, validated_counts, validated_labels
from gclib.errors import UserError, nearest, require_one_of
from gclib.losses import cloud_sizes
from gclib.losses.common import require_range

__all__ = [
    "CBEN_A",
    "CBEN_B",
    "STRATEGIES",
    "ClassIndex",
    "ClassSampler",
    "class_probabilities",
    "effective_number_weights",
    "epoch_indices",
]

CBEN_A, CBEN_B = 0.9999, 1e-5
"""Range of beta in CBEN, from a to a + b, as the released code has it; a is the usual beta of EN as well."""


def effective_number_weights(class_counts: PerClass, beta: ArrayLike = 0.9999) -> np.ndarray:
    r"""Return one over the effective number of images of each class, :math:`\frac{1-\beta}{1-\beta^{n_j}}`.

    Cui et al., *Class-Balanced Loss Based on Effective Number of Samples*, CVPR 2019. Rescaled to the sum C
    these are the class weights of the class-balanced loss and of deferred re-weighting (DRW).

    Parameters
    ----------
    class_counts
        Training images of each class, each at least 1; see `gclib.arrays.validated_counts`.
    beta
        In [0, 1): 0 weighs every class alike, towards 1 the weight becomes :math:`1/n_j`. A number, or one
        per class, shape (C,).

    Returns
    -------
    np.ndarray
        Float64, shape (C,), in (0, 1]: 1 for a class of one image.

    Raises
    ------
    UserError
        If beta lies outside [0, 1) or has another shape, or a count is below 1.

    Examples
    --------
    >>> effective_number_weights([1, 2, 1000], beta=0.5)
    array([1.        , 0.66666667, 0.5       ])
    """
    counts, beta = validated_counts(class_counts), np.asarray(beta, dtype=np.float64)
    if beta.shape not in ((), counts.shape):
        raise UserError(
            f"beta has shape {beta.shape}, expected a number or shape {counts.shape}, one per class"
        )
    require_range(0, 1, beta=float(beta.min()))
    require_range(0, 1, beta=float(beta.max()))
    with np.errstate(divide="ignore"):  # beta = 0: log 0 = -inf, and the weight is 1
        log_beta = np.log1p(beta - 1)
    # 1 - beta^n without cancellation, also for beta next to 1 and n = 1.
    return (1 - beta) / -np.expm1(counts * log_beta)


def _instance(n: np.ndarray) -> np.ndarray:
    return n


def _class(n: np.ndarray) -> np.ndarray:
    return np.ones_like(n)


def _effective(n: np.ndarray, beta: float = CBEN_A) -> np.ndarray:
    return n * effective_number_weights(n, beta)


def _cben(n: np.ndarray, a: float = CBEN_A, b: float = CBEN_B) -> np.ndarray:
    require_range(0, 1, a=a)
    require_range(0, 1 - a, b=b)
    return n * effective_number_weights(n, a + b * cloud_sizes(n, "log").numpy())


def _reversed(n: np.ndarray) -> np.ndarray:
    return n.max() / n


# Each maps the class counts, and perhaps parameters, to class probabilities that do not sum to 1 yet.
STRATEGIES: dict[str, Callable[..., np.ndarray]] = {
    "instance": _instance,
    "class": _class,
    "effective": _effective,
    "cben": _cben,
    "reversed": _reversed,
}


def class_probabilities(class_counts: PerClass, strategy: str, **parameters: float) -> np.ndarray:
    r"""Return the probability with which a sampler draws each class.

    Parameters
    ----------
    class_counts
        Training images of each class, each at least 1; see `gclib.arrays.validated_counts`.
    strategy
        ============= ============================================= ==========================================
        strategy      :math:`q_j` is proportional to                source
        ============= ============================================= ==========================================
        "instance"    :math:`n_j`                                   each image alike
        "class"       1                                             each class alike
        "effective"   :math:`n_j(1-\beta)/(1-\beta^{n_j})`          Cui et al., CVPR 2019
        "cben"        the same with :math:`\beta_j=a+b\,\delta_j`   GCL, Eqs. 13 and 14
        "reversed"    :math:`n_{\max}/n_j`                          BBN, Zhou et al., CVPR 2020
        ============= ============================================= ==========================================

        :math:`\delta_j` is the cloud size of strategy "log", scaled to [0, 1]. The codes of Kang et al., MisLAS and
        OLTR do not draw for "class": they go round the classes and take four images of each. GCL's code draws.
    **parameters
        ``beta`` in [0, 1) for "effective", 0.9999 if not given; ``a`` in [0, 1) and ``b`` in [0, 1 - a) for
        "cben", 0.9999 and 1e-5 if not given, the official code's values.

    Returns
    -------
    np.ndarray
        Float64, shape (C,), sums to 1.

    Raises
    ------
    UserError
        For an unknown strategy or parameter, a parameter out of its range, or a count below 1.

    Examples
    --------
    >>> class_probabilities([90, 10], "instance")
    array([0.9, 0.1])
    """
    require_one_of("sampling strategy", strategy, STRATEGIES)
    _, *known = inspect.signature(STRATEGIES[strategy]).parameters
    for name in parameters:
        if name not in known:
            expected = " and ".join(known) or "none"
            raise UserError(
                f"unknown parameter {name!r} of sampling strategy {strategy!r}, expected {expected}"
                f"{nearest(name, known)}"
            )
    probabilities = STRATEGIES[strategy](validated_counts(class_counts), **parameters)
    return probabilities / probabilities.sum()


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
        classes = validated_labels(labels, num_classes)
        self.index = ClassIndex.from_labels(classes, num_classes or int(classes.max(initial=-1)) + 1)
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
