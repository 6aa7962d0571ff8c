"""Differences between recipes, seed by seed, each with an interval of its own."""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import sqrt
from statistics import mean, stdev

from gclib import recipes
from gclib.records import RunRecord
from gclib.tables.claims import p_value
from gclib.tables.intervals import (
    LEVEL,
    Gap,
    Interval,
    Spread,
    gap,
    holm,
    interval,
    less,
    noise,
    pooled,
    said,
    trainings,
)
from gclib.tables.results import apart, verdict
from gclib.tables.rows import ROWS, accuracy, by_recipe, one_a_seed, usable
from gclib.tables.spread import listed, spreads
from gclib.tables.table import Item, Table

__all__ = ["kinds_table", "lead", "paired", "paired_interval", "paired_table", "shared_first_stage"]


def paired(
    ahead: Iterable[RunRecord],
    behind: Iterable[RunRecord],
    best: bool = False,
    stage_one: bool = False,
) -> dict[int, float]:
    """Subtract run from run with the same seed, which share the order of the images and the first weights if they can.

    Parameters
    ----------
    ahead, behind
        Records of two recipes on the same data; a run that was made again counts once.
    best
        Whether the accuracy is that of the best epoch on the test set (paper-style) or of the last (clean).
    stage_one
        Whether the first stage alone is compared.

    Returns
    -------
    dict
        Seed to difference in percentage points, for the seeds that both have.
    """
    return less(*(_by_seed(side, best, stage_one) for side in (ahead, behind)))


def _by_seed(runs: Iterable[RunRecord], best: bool, stage_one: bool) -> dict[int, float]:
    return {run.seed: accuracy(run, best, stage_one) for run in one_a_seed(runs)}


def lead(
    ahead: Iterable[RunRecord], behind: Iterable[RunRecord], spread: Spread | None, best: bool = False
) -> list[Item]:
    """Return a cell: how far one recipe is ahead of another, with half of the interval, and each difference by seed.

    Parameters
    ----------
    ahead, behind
        Records of two recipes on the same data; a run that was made again counts once.
    spread
        What chance moves a single run; see `gclib.tables.noise`.
    best
        See `paired`.
    """
    return apart(*distance(ahead, behind, spread, best))


def distance(
    ahead: Iterable[RunRecord], behind: Iterable[RunRecord], spread: Spread | None, best: bool = False
) -> tuple[Gap | None, Interval | None]:
    """Return how far one recipe is ahead of another, by common seeds if there are some; parameters as of `lead`."""
    found = gap(*(_by_seed(side, best, False) for side in (ahead, behind)))
    return found, interval(found.difference, spread, *found.runs) if found else None


def paired_interval(differences: Sequence[float], spread: Spread | None = None) -> Interval | None:
    """Give the mean of differences that are paired by seed its interval.

    Parameters
    ----------
    differences
        One for each seed, in percentage points. Several say by themselves how far chance moves them: pairs that share
        a first stage lie much closer together than any two runs do.
    spread
        What chance moves a single run, for one difference alone; see `gclib.tables.noise`.

    Returns
    -------
    Interval or None
        None where there is no difference, or one without a spread.

    Examples
    --------
    >>> found = paired_interval([0.2, 0.3, 0.4])
    >>> round(found.difference, 2), round(found.half, 2)
    (0.3, 0.25)
    """
    if len(differences) < 2:
        return interval(differences[0], spread, 1, 1) if differences else None
    own = Spread(stdev(differences), len(differences) - 1, 1)
    return interval(mean(differences), own, len(differences))


def paired_table(
    runs: Iterable[RunRecord],
    number: int,
    against: str = "gcl-official-cben",
    dataset: str = "cifar10",
    ratio: float = 100,
) -> Table:
    """Subtract one row of a table of the paper from the others, seed by seed.

    Parameters
    ----------
    runs
        Records, repeats among them; those of other data, of another scale or of changed recipes say only how far
        chance moves a single run.
    number
        Which table: 1, 3, 4 or 5.
    against
        Name of the recipe that is subtracted, after its last stage.
    dataset, ratio
        Which of the paper's settings.

    Returns
    -------
    Table
        One row for each other row of the paper that has a seed in common with it.
    """
    runs, lines, found = list(runs), [], []
    groups = by_recipe(usable(runs, [number], dataset, ratio))
    reference = groups.get(against, [])
    for row in ROWS[number]:
        if row.part != "paper" or (row.recipe == against and not row.stage_one):
            continue
        cells = []
        for best in (False, True):
            ours = _by_seed(groups.get(row.recipe, []), best, row.stage_one)
            gaps = list(less(ours, _by_seed(reference, best, False)).values())
            apart = paired_interval(gaps, noise(runs, best=best))
            cells += [said(apart), listed(gaps, "+")]
            found += [apart] * bool(gaps and not best)
        if cells[1]:
            lines.append([row.label, *cells])
    corrected = iter(holm([each.p for each in found if each]))
    for line, each in zip(lines, found, strict=True):
        p = next(corrected) if each else None
        line[2:2] = ["", ""] if each is None or p is None else [verdict(each, p), p_value(p)]
    header = ["recipe", "difference", "verdict", "p, corrected", "single differences", "paper-style"]
    header += ["single differences (paper-style)"]
    caption = (
        f"Table {number}, less {recipes.label(against)}: percentage points of top-1 accuracy after the last epoch "
        "(clean), the mean of the differences between runs of one seed. Behind it stands half of its "
        f"{1 - LEVEL:.0%} interval, by Student's t from these differences themselves; where there is one alone, from "
        "the spread of all recipes that were run more than once. The verdict is higher or lower where zero lies "
        "outside and still does after Holm's correction for the rows of this table. Single differences stand in the "
        "order of the seeds."
    )
    return Table.of(header, lines, caption)


def kinds_table(runs: Iterable[RunRecord]) -> Table:
    """Show how far chance moves a run and the difference of two, by what the two have in common.

    Parameters
    ----------
    runs
        Records of any recipes and data, repeats among them.
    """
    runs = list(runs)
    seeds, repeats = spreads(runs, stage_one=True)
    kinds = [
        ("stage one, another seed", seeds, True),
        ("stage one, the same seed on another device", repeats, True),
        ("what two recipes make of one stage one", shared_first_stage(runs), False),
    ]
    rows = [
        [what, found.deviation if alone else "", found.deviation * (sqrt(2) if alone else 1), found.freedom]
        for what, found, alone in kinds
        if found
    ]
    header = ["what differs", "standard deviation of one run", "of the difference of two"]
    caption = (
        "How far chance moves the accuracy of the last epoch, in percentage points, pooled over all recipes that were "
        "run more than once. The last row is how far the difference of two recipes scatters from one first stage that "
        "they share to the next."
    )
    return Table.of([*header, "degrees of freedom"], rows, caption)


def shared_first_stage(runs: Iterable[RunRecord]) -> Spread | None:
    """Pool how far the difference of two recipes scatters over the first stages that both go on from.

    Each recipe is compared with the commonest of those that share its first stage, after the last epoch.

    Parameters
    ----------
    runs
        Records of any recipes and data, repeats among them.
    """
    groups = []
    for kind in trainings(runs):
        ends = [{run.name: accuracy(run) for run in made} for made in kind]
        common = Counter(name for names in ends for name in names)
        against = max(common, key=common.__getitem__)
        groups += [
            [end[name] - end[against] for end in ends if name in end and against in end]
            for name in common
            if name != against
        ]
    return pooled(groups)
