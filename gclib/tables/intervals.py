r"""How far chance moves a number: measured on runs made more than once, and what it makes of a difference.

Two runs of one recipe on the same data, with another seed or again with the same, differ by chance alone. Their spread,
pooled over all recipes that have several, gives every difference an interval by Student's t, with the degrees of
freedom of the pool. All comparisons of a family are corrected together, as Holm (1979) does.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from math import sqrt
from statistics import mean, variance
from typing import Any, NamedTuple

from gclib import ROOT, saturation
from gclib.errors import UserError
from gclib.records import Course, RunRecord, StageRun, content_hash
from gclib.tables.comparisons import value

__all__ = [
    "LEVEL",
    "Gap",
    "Interval",
    "Spread",
    "gap",
    "holm",
    "interval",
    "noise",
    "pooled",
    "said",
    "trainings",
]

LEVEL = 0.05  # of a test, and what an interval leaves out
RESULTS = ROOT / "results"


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
    several = [group for group in groups if len(group) > 1]
    if not several:
        return None
    freedom = sum(len(group) - 1 for group in several)
    squares = sum((len(group) - 1) * variance(group) for group in several)
    return Spread(sqrt(squares / freedom), freedom, len(several))


def first_stage(run: RunRecord) -> str:
    """Return a hash of data and first stage, without how often it is tested: equal where chance alone differs."""
    settings: Any = run.recipe["stages"]
    one = {name: found for name, found in settings[0].items() if name != "test_every"}
    return content_hash([run.recipe.get("head"), one, run.data])


def course(stage: StageRun) -> Course:
    """Return the course of a stage without its times: where it is equal, one device said the same thing again."""
    return stage.course.model_copy(update={"seconds": ()})


def trainings(runs: Iterable[RunRecord]) -> list[list[list[RunRecord]]]:
    """Group records by what their first stage is, and within a group by the training that made it.

    Parameters
    ----------
    runs
        Records of any recipes, repeats among them. Recipes that go on from one first stage share its training.

    Returns
    -------
    list
        For each kind of first stage its trainings, with any seed, and for each of them its records. A training that
        was repeated to the last digit, as the same device does, counts once: it says nothing about chance.
    """
    groups: dict[str, dict[object, list[RunRecord]]] = {}
    for run in runs:
        groups.setdefault(first_stage(run), {}).setdefault(course(run.stages[0]), []).append(run)
    return [list(made.values()) for made in groups.values()]


def noise(
    runs: Iterable[RunRecord], quantity: str = "top1", best: bool = False, stage_one: bool = False
) -> Spread | None:
    """Pool how far runs that differ by chance alone lie apart, by another seed or made again.

    Each first stage that was trained several times is a group. Whole runs are taken where each of these trainings was
    carried to the end by one recipe, else the first stages alone.

    Parameters
    ----------
    runs
        Records of any recipes and data, repeats among them.
    quantity
        A key of `gclib.tables.comparisons.MEASURES`.
    best
        Whether the value is that of the best epoch on the test set (paper-style) or of the last (clean).
    stage_one
        Whether the first stage alone counts.
    """
    groups = []
    for group in trainings(runs):
        values = [_any(made, quantity, best, True) for made in group]
        if not stage_one:
            names = dict.fromkeys(run.name for made in group for run in made)
            carried = ([[run for run in made if run.name == name] for made in group] for name in names)
            ends = next((each for each in carried if all(each)), None)
            values = [_any(made, quantity, best, False) for made in ends] if ends else values
        values += _measured_again(group[0][0].stages[0].hash, quantity, best)
        groups.append([found for found in values if found is not None])
    return pooled(groups)


def _any(made: Iterable[RunRecord], quantity: str, best: bool, stage_one: bool) -> float | None:
    """What the first record of one training that holds the quantity says."""
    found = (value(run, quantity, best, stage_one) for run in made)
    return next((each for each in found if each is not None), None)


def _measured_again(stage: str, quantity: str, best: bool) -> list[float]:
    """The run that was made once more for the chapter on saturation: a repeat without a record."""
    found = _saturation()
    if found is None or found.stage != stage:
        return []
    if quantity == "top1":
        return [max(found.course.test_accuracy) if best else found.course.test_accuracy[-1]]
    if quantity == "tail" and not best:
        return [mean(found.test_accuracy[-1][-(len(found.class_names) // 3) :])]
    return []


@cache
def _saturation() -> saturation.Saturation | None:
    try:
        return saturation.find("ce", "cifar10", 100, root=RESULTS)
    except UserError:
        return None


class Interval(NamedTuple):
    """A difference in percentage points, half the width of its 95% interval, and its p-value against zero."""

    difference: float
    half: float
    p: float

    @property
    def crosses_zero(self) -> bool:
        """Whether zero lies within."""
        return abs(self.difference) <= self.half


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
        How many runs stand behind each of the two means.

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
