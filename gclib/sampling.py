"""Class probabilities of the samplers, and the streams of image indices that they make.

A sampler is a vector of class probabilities: it draws a class, then an image of that class uniformly, with
replacement. Instance-balanced sampling is a permutation instead: each image once an epoch, in random order.
All randomness comes from the ``torch.Generator`` (CPU) that the caller gives.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from gclib.errors import UserError, nearest, require_one_of
from gclib.losses import cloud_sizes, validated_counts
from gclib.losses.common import require_range

__all__ = [
    "CBEN_A",
    "CBEN_B",
    "STRATEGIES",
    "ClassIndex",
    "class_probabilities",
    "effective_number_weights",
    "epoch_indices",
]

CBEN_A, CBEN_B = 0.9999, 1e-5
"""Range of beta in CBEN, from a to a + b, as the released code has it; a is the usual beta of EN as well."""


def effective_number_weights(class_counts: ArrayLike, beta: float | np.ndarray = 0.9999) -> np.ndarray:
    r"""Return one over the effective number of images of each class, :math:`\frac{1-\beta}{1-\beta^{n_j}}`.

    Cui et al., *Class-Balanced Loss Based on Effective Number of Samples*, CVPR 2019. Rescaled to the sum C
    these are the class weights of the class-balanced loss and of deferred re-weighting (DRW).

    Parameters
    ----------
    class_counts
        Training images of each class, shape (C,), each at least 1.
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
        If beta lies outside [0, 1) or a count is below 1.

    Examples
    --------
    >>> effective_number_weights([1, 2, 1000], beta=0.5)
    array([1.        , 0.66666667, 0.5       ])
    """
    counts, beta = validated_counts(class_counts), np.asarray(beta, dtype=np.float64)
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


def class_probabilities(class_counts: ArrayLike, strategy: str, **parameters: float) -> np.ndarray:
    r"""Return the probability with which a sampler draws each class.

    Parameters
    ----------
    class_counts
        Training images of each class, shape (C,), each at least 1.
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
            If a label lies outside the classes.
        """
        values = torch.as_tensor(labels, dtype=torch.int64)
        if len(values) and not 0 <= int(values.min()) <= int(values.max()) < num_classes:
            raise UserError(
                f"labels reach from {int(values.min())} to {int(values.max())}, "
                f"expected 0 to {num_classes - 1}; check the labels or the number of classes"
            )
        counts = torch.bincount(values, minlength=num_classes)
        # A narrow type sorts several times faster.
        narrow = torch.int16 if num_classes <= 2**15 else torch.int32
        order = torch.argsort(values.to(narrow), stable=True)
        return cls(order, counts, counts.cumsum(0) - counts)


def epoch_indices(
    index: ClassIndex, probabilities: ArrayLike | None, n: int, generator: torch.Generator
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
        If a permutation is asked for more images than there are, or a class without images is to be drawn.
    """
    if probabilities is None:
        if n > len(index.order):
            raise UserError(
                f"{n} indices asked for without replacement, expected at most {len(index.order)}; "
                "lower n or give class probabilities"
            )
        return torch.randperm(len(index.order), generator=generator)[:n]
    chances = torch.as_tensor(probabilities, dtype=torch.float64)
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
