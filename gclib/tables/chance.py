r"""How far chance moves a difference of two recipes: measured on runs made more than once, by what the two share.

Two runs of one recipe on the same data, with another seed or again with the same, differ by chance alone. Recipes that
go on from one training of the first stage share its luck, and lie closer together. Both spreads are pooled over all
recipes that have several, and give every difference an interval by Student's t, with the degrees of freedom of the
pool.
"""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from statistics import mean
from typing import Any

from gclib import ROOT, saturation
from gclib.errors import UserError
from gclib.records import Course, RunRecord, StageRun, content_hash
from gclib.tables.comparisons import value
from gclib.tables.intervals import Gap, Interval, Spread, gap, interval, pooled
from gclib.tables.rows import one_a_seed

__all__ = ["Chance", "noise", "shared_first_stage", "trainings"]

RESULTS = ROOT / "results"


class Chance:
    """How far chance moves a difference of two recipes, by one rule for the whole book.

    Where each pair of runs shares the training of its first stage, the interval comes from how far such differences
    scatter from one first stage to the next (`shared_first_stage`); else from the spread of single runs (`noise`).

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
        first, second = ({run.seed: course(run.stages[0]) for run in side} for side in (ahead, behind))
        if found.singles and not stage_one and all(first[seed] == second[seed] for seed in found.singles):
            shared = self.shared(quantity, best)
            if shared:
                return interval(found.difference, shared, len(found.singles))
        return interval(found.difference, self.spread(quantity, best, stage_one), *found.runs)


def by_seed(runs: Iterable[RunRecord], quantity: str, best: bool, stage_one: bool) -> dict[int, float]:
    """Return a quantity of each run that holds it, by its seed."""
    values = {run.seed: value(run, quantity, best, stage_one) for run in runs}
    return {seed: found for seed, found in values.items() if found is not None}


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


def shared_first_stage(
    runs: Iterable[RunRecord], quantity: str = "top1", best: bool = False
) -> Spread | None:
    """Pool how far the difference of two recipes scatters over the first stages that both go on from.

    Each recipe is compared with the commonest of those that share its first stage.

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
        ends = [by_name(made, quantity, best) for made in kind]
        common = Counter(name for names in ends for name in names)
        if common:
            against = max(common, key=common.__getitem__)
            groups += [
                [end[name] - end[against] for end in ends if name in end and against in end]
                for name in common
                if name != against
            ]
    return pooled(groups)


def by_name(runs: Iterable[RunRecord], quantity: str, best: bool) -> dict[str, float]:
    """Return a quantity of each run that holds it, by the name of its recipe."""
    values = {run.name: value(run, quantity, best) for run in runs}
    return {name: found for name, found in values.items() if found is not None}
