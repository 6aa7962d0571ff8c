"""Class probabilities of the samplers, from the class counts alone."""

import inspect
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from gclib.arrays import PerClass, validated_counts
from gclib.errors import UserError, nearest, require_one_of, require_range
from gclib.sampling.clouds import relative_sizes

__all__ = ["CBEN_A", "CBEN_B", "STRATEGIES", "class_probabilities", "effective_number_weights"]

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
    if not a + b < 1:  # by the rounding of 1 - a
        raise UserError(f"b is {b!r}, expected a + b below 1, where a is {a!r}; change b")
    return n * effective_number_weights(n, a + b * relative_sizes(n, "log"))


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
