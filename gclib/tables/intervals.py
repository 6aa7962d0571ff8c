"""Spreads, differences by seed, intervals by Student's t, and the correction of many of them by Holm (1979)."""

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from statistics import mean, stdev
from typing import NamedTuple

__all__ = [
    "LEVEL",
    "Gap",
    "Interval",
    "Spread",
    "against_printed",
    "gap",
    "holm",
    "interval",
    "pooled",
    "said",
    "spread_of",
    "together",
]

LEVEL = 0.05  # of a test, and what an interval leaves out
ODD = 0.01  # below it, pairs scatter more than a pool of such pairs


class Spread(NamedTuple):
    """A pooled standard deviation in percentage points, its degrees of freedom, and how many groups went into it."""

    deviation: float
    freedom: int
    groups: int


def pooled(groups: Iterable[Sequence[float]]) -> Spread | None:
    r"""Pool the sample standard deviations of groups: :math:`s^2=\sum_i(n_i-1)s_i^2\,/\,\sum_i(n_i-1)`.

    Parameters
    ----------
    groups
        Values in percent; a group of one says nothing about spread and is left out.

    Returns
    -------
    Spread or None
        None where no group has several values.

    Examples
    --------
    >>> pooled([[70.0, 72.0], [80.0, 80.0], [75.0]])
    Spread(deviation=1.0, freedom=2, groups=2)
    """
    return together(Spread(stdev(group), len(group) - 1, 1) for group in groups if len(group) > 1)


def together(spreads: Iterable[Spread]) -> Spread | None:
    """Pool spreads, each by its degrees of freedom; None where there is none.

    Examples
    --------
    >>> together([Spread(1.0, 3, 1), Spread(0.0, 1, 1)])
    Spread(deviation=0.8660254037844386, freedom=4, groups=2)
    """
    known = list(spreads)
    freedom = sum(spread.freedom for spread in known)
    if not freedom:
        return None
    squares = sum(spread.freedom * spread.deviation**2 for spread in known)
    return Spread(sqrt(squares / freedom), freedom, sum(spread.groups for spread in known))


class Interval(NamedTuple):
    """A difference in percentage points, half the width of its 95% interval, and its p-value against zero."""

    difference: float
    half: float
    p: float

    @property
    def crosses_zero(self) -> bool:
        """Whether zero lies within."""
        return abs(self.difference) <= self.half

    def decides(self, corrected: float) -> bool:
        """Whether zero lies outside, and still does by the p-value after the correction for several comparisons."""
        return corrected < LEVEL and not self.crosses_zero


class Gap(NamedTuple):
    """How far two recipes lie apart.

    Attributes
    ----------
    difference
        The mean of the differences seed by seed; where no seed is common, that of the means.
    runs
        How many runs of each count in it.
    singles
        Seed to difference, for the seeds that both have.
    left_out
        How many runs have no partner of their seed, where others have.
    """

    difference: float
    runs: tuple[int, int]
    singles: dict[int, float]
    left_out: int = 0


def gap(first: Mapping[int, float], second: Mapping[int, float]) -> Gap | None:
    """Subtract values by seed, run from run where both have the seed; None where one side has no run.

    Examples
    --------
    >>> gap({0: 3.0, 1: 5.0, 2: 9.0}, {0: 2.0, 1: 3.0})
    Gap(difference=1.5, runs=(2, 2), singles={0: 1.0, 1: 2.0}, left_out=1)
    >>> gap({0: 3.0, 1: 5.0}, {2: 3.0})
    Gap(difference=1.0, runs=(2, 1), singles={}, left_out=0)
    """
    if not first or not second:
        return None
    if both := less(first, second):
        alone = len(first.keys() ^ second.keys())
        return Gap(mean(both.values()), (len(both), len(both)), both, alone)
    return Gap(mean(first.values()) - mean(second.values()), (len(first), len(second)), {})


def less(first: Mapping[int, float], second: Mapping[int, float]) -> dict[int, float]:
    """Subtract values of equal seed."""
    return {seed: first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())}


def said(found: Interval | None) -> str:
    """Return a difference with half the width of its interval, as text."""
    return (
        "" if found is None else f"{round(found.difference, 2) + 0:+.2f} ± {found.half:.2f}"
    )  # + 0: no -0.00


def interval(difference: float, spread: Spread | None, *runs: int) -> Interval | None:
    r"""Give the difference of two means its interval, :math:`d\pm t\,s\sqrt{1/n_1+1/n_2}`.

    Parameters
    ----------
    difference
        In percentage points.
    spread
        What chance moves a single run, or None where it was never measured.
    *runs
        How many runs stand behind each of the two means; one number, if the spread is that of their differences.

    Returns
    -------
    Interval or None
        None without a spread.

    Examples
    --------
    >>> wide = interval(1.0, Spread(0.5, 2, 1), 1, 1)
    >>> round(wide.half, 2), round(wide.p, 2), wide.crosses_zero
    (3.04, 0.29, True)
    """
    if spread is None:
        return None
    from scipy.special import (
        stdtr,
        stdtrit,
    )  # not at the top: pages that ask for no interval start without it

    error = spread.deviation * sqrt(sum(1 / n for n in runs))
    half = float(stdtrit(spread.freedom, 1 - LEVEL / 2)) * error
    p = 2 * float(stdtr(spread.freedom, -abs(difference) / error)) if error else float(difference == 0)
    return Interval(difference, half, p)


def spread_of(values: Iterable[float], pool: Spread | None) -> Spread | None:
    """Return the spread that stands for some values: the pool's, unless they scatter more, by an F test at `ODD`.

    Parameters
    ----------
    values
        In percentage points.
    pool
        What such values scatter by, or None where that was never measured.

    Examples
    --------
    >>> pool = Spread(0.4, 23, 5)
    >>> spread_of([-6.1, -3.4, -2.8], pool).freedom, spread_of([0.1, 0.9, 1.3], pool) == pool
    (2, True)
    """
    own = pooled([list(values)])
    if own is None or pool is None:
        return pool
    from scipy.special import fdtrc

    if pool.deviation:
        odd = fdtrc(own.freedom, pool.freedom, (own.deviation / pool.deviation) ** 2) < ODD
    else:
        odd = own.deviation > 0
    return own if odd else pool


def against_printed(values: Sequence[float], printed: float, pool: Spread | None) -> Interval | None:
    """Return how far the mean of runs lies above a printed number, which is taken for a single run like them.

    Parameters
    ----------
    values
        One for each run, in percent.
    printed
        The number, in percent.
    pool
        What chance moves a run (see `spread_of`), or None where that was never measured.
    """
    return interval(mean(values) - printed, spread_of(values, pool), len(values), 1)


def holm(values: Sequence[float]) -> list[float]:
    """Correct p-values for their number; those below a level control the chance of any false finding at that level.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    corrected, largest = [0.0] * len(values), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - place) * values[index]))
        corrected[index] = largest
    return corrected
