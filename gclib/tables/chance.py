r"""How far chance moves a difference of two recipes: measured on runs made more than once, by what the two share.

Two runs of one recipe on the same data, with another seed or again with the same, differ by chance alone. Recipes that
go on from one training of the first stage share its luck, and lie closer together. Both spreads are pooled over all
recipes that have several, and give every difference an interval by Student's t, with the degrees of freedom of the
pool.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from math import sqrt
from statistics import mean
from typing import Any

import numpy as np

from gclib import ROOT, saturation
from gclib.errors import UserError
from gclib.records import RunRecord, StageRun, content_hash
from gclib.tables.comparisons import value
from gclib.tables.intervals import Gap, Interval, Spread, gap, interval, pooled, spread_of, together
from gclib.tables.rows import one_a_seed

__all__ = ["Chance", "measured_again", "noise", "shared_first_stage", "trainings"]

RESULTS = ROOT / "results"


class Chance:
    """How far chance moves a difference of two recipes, by one rule for the whole book.

    Where each pair of runs shares the training of its first stage, the interval comes from how far such differences
    scatter from one first stage to the next (`shared_first_stage`); else from the spread of single runs (`noise`).
    Where the pairs of one difference scatter more than that, their own spread is taken: see
    `gclib.tables.intervals.spread_of`.

    Parameters
    ----------
    runs
        Records of any recipes and data, repeats among them.
    """

    def __init__(self, runs: Iterable[RunRecord]) -> None:
        self.runs = list(runs)
        self.spread = cache(lambda *of: noise(self.runs, *of))
        self.shared = cache(lambda *of: shared_first_stage(self.runs, *of))

    def between(
        self,
        ahead: Iterable[RunRecord],
        behind: Iterable[RunRecord],
        quantity: str = "top1",
        best: bool = False,
        stage_one: bool = False,
    ) -> tuple[Gap | None, Interval | None]:
        """Return how far one recipe is ahead of another, by common seeds if there are some, and its interval.

        Parameters
        ----------
        ahead, behind
            Records of two recipes on the same data; a run that was made again counts once.
        quantity
            A key of `gclib.tables.comparisons.MEASURES`.
        best
            Whether the value is that of the best epoch on the test set (paper-style) or of the last (clean).
        stage_one
            Whether the first stage alone is compared.
        """
        ours, theirs = one_a_seed(ahead), one_a_seed(behind)
        found = gap(*(by_seed(side, quantity, best, stage_one) for side in (ours, theirs)))
        return found, self.around(found, ours, theirs, quantity, best, stage_one)

    def around(
        self,
        found: Gap | None,
        ahead: Iterable[RunRecord],
        behind: Iterable[RunRecord],
        quantity: str = "top1",
        best: bool = False,
        stage_one: bool = False,
    ) -> Interval | None:
        """Return the interval of a difference that is known; None where it is not, or chance was never measured.

        Parameters
        ----------
        found
            The difference.
        ahead, behind, quantity, best, stage_one
            See `between`; where the first stage alone is compared, chance is that of first stages.
        """
        if found is None:
            return None
        spread = self.spread(quantity, best, stage_one)
        if not found.singles:
            return interval(found.difference, spread, *found.runs)
        first, second = ({run.seed: run.stages[0].course.untimed for run in side} for side in (ahead, behind))
        alike = not stage_one and all(first[seed] == second[seed] for seed in found.singles)
        of_pairs = self.shared(quantity, best) if alike else None
        of_pairs = of_pairs or (spread and spread._replace(deviation=sqrt(2) * spread.deviation))
        pairs = found.singles.values()
        return interval(found.difference, spread_of(pairs, of_pairs), len(pairs))


def by_seed(runs: Iterable[RunRecord], quantity: str, best: bool, stage_one: bool) -> dict[int, float]:
    """Return a quantity of each run that holds it, by its seed."""
    values = {run.seed: value(run, quantity, best, stage_one) for run in runs}
    return {seed: found for seed, found in values.items() if found is not None}


def first_stage(run: RunRecord) -> str:
    """Return a hash of data and first stage, without how often it is tested: equal where chance alone differs."""
    settings: Any = run.recipe["stages"]
    one = {name: found for name, found in settings[0].items() if name != "test_every"}
    return content_hash([run.recipe.get("head"), one, run.data])


def _further(run: RunRecord) -> str:
    """Return a hash of the name and the stages after the first, without how often these are tested."""
    settings: Any = run.recipe["stages"]
    later = [{name: v for name, v in one.items() if name != "test_every"} for one in settings[1:]]
    return content_hash([run.name, later])


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
        groups.setdefault(first_stage(run), {}).setdefault(run.stages[0].course.untimed, []).append(run)
    return [list(made.values()) for made in groups.values()]


def noise(
    runs: Iterable[RunRecord], quantity: str = "top1", best: bool = False, stage_one: bool = False
) -> Spread | None:
    """Pool how far runs that differ by chance alone lie apart, by another seed or made again.

    Each first stage that was trained several times is a group, and its variance is pooled over the recipes that
    carried several of these trainings to the end, each weighed by its trainings less one; where none did, it is that of
    the first stages alone. Recipes that share trainings share their luck, so a group has as many degrees of freedom as
    its trainings, less one.

    Parameters
    ----------
    runs
        Records of any recipes and data, repeats among them; their order changes nothing.
    quantity
        A key of `gclib.tables.comparisons.MEASURES`.
    best
        Whether the value is that of the best epoch on the test set (paper-style) or of the last (clean). Best epochs
        are compared among runs that were tested in the same epochs.
    stage_one
        Whether the first stage alone counts.
    """
    groups = []
    for kind in trainings(runs):
        ends = _ends(kind, quantity, best, stage_one)
        if not stage_one and not _contrasts(ends):
            ends = _ends(kind, quantity, best, True)
        by_recipe: dict[object, list[float]] = {}
        for (recipe, _), found in ends.items():
            by_recipe.setdefault(recipe, []).append(found)
        if spread := pooled(by_recipe.values()):
            groups.append(Spread(spread.deviation, _contrasts(ends), 1))
    return together(groups)


def _ends(
    kind: Sequence[Sequence[RunRecord]], quantity: str, best: bool, stage_one: bool
) -> dict[tuple[object, int], float]:
    """A quantity by what was run after the first stage, and by which training of that stage it goes on from."""
    found: dict[tuple[object, int], list[float]] = {}
    for place, made in enumerate(kind):
        for run in made:
            stages = run.stages[:1] if stage_one else run.stages
            further = _further(run) if stages[1:] else ""
            number = value(run, quantity, best, stage_one)
            if number is not None:
                found.setdefault((_recipe(further, stages, best), place), []).append(number)
    again = measured_again({run.stages[0].hash for made in kind for run in made}, quantity, best)
    if again is not None:
        found[_recipe("", again[:1], best), len(kind)] = [again[1]]
    return {key: mean(numbers) for key, numbers in found.items()}


def _recipe(further: str, stages: Iterable[StageRun | saturation.Saturation], best: bool) -> object:
    return further, tuple(stage.course.test_epochs for stage in stages) if best else ()


def _design(ends: Collection[tuple[object, int]]) -> np.ndarray:
    """Which recipe and which training each value belongs to, shape (values, recipes + trainings)."""
    recipes, made = ({key[at] for key in ends} for at in (0, 1))
    return np.array(
        [[*(key[0] == one for one in recipes), *(key[1] == one for one in made)] for key in ends], float
    )


def _contrasts(ends: Collection[tuple[object, int]]) -> int:
    """How many independent differences of trainings there are within recipes."""
    return int(np.linalg.matrix_rank(_design(ends))) - len({recipe for recipe, _ in ends}) if ends else 0


def measured_again(
    stages: Collection[str], quantity: str, best: bool
) -> tuple[saturation.Saturation, float] | None:
    """Return the run that was made once more for the chapter on saturation, a repeat without a record, and its value.

    Parameters
    ----------
    stages
        Hashes of first stages; None is returned where that of the run is not among them.
    quantity, best
        See `noise`; the tail has no value at the best epoch.
    """
    found = _saturation()
    if found is None or found.stage not in stages:
        return None
    if quantity == "top1":
        accuracy = found.course.test_accuracy
        return found, max(accuracy) if best else accuracy[-1]
    if quantity == "tail" and not best:
        return found, mean(found.test_accuracy[-1][-(len(found.class_names) // 3) :])
    return None


@cache
def _saturation() -> saturation.Saturation | None:
    try:
        return saturation.find("ce", "cifar10", 100, root=RESULTS)
    except UserError:
        return None


def shared_first_stage(
    runs: Iterable[RunRecord], quantity: str = "top1", best: bool = False
) -> Spread | None:
    """Pool how far the difference of two recipes scatters over the first stages that both go on from.

    A run is taken for what its recipe brings, plus what its training of the first stage brings, plus chance: the last
    is what least squares leave.

    Parameters
    ----------
    runs, quantity, best
        See `noise`.

    Returns
    -------
    Spread or None
        Of the difference of two runs, not of a single one.
    """
    groups = []
    for kind in trainings(runs):
        if ends := _ends(kind, quantity, best, False):
            design, values = _design(ends), np.array(list(ends.values()))
            fitted, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
            if freedom := len(values) - int(rank):
                squares = float(((values - design @ fitted) ** 2).sum())
                groups.append(Spread(sqrt(2 * squares / freedom), freedom, 1))
    return together(groups)
