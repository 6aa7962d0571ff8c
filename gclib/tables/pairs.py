"""Differences between the rows of a table, seed by seed, and how far chance moves them."""

from collections.abc import Iterable
from math import sqrt

from gclib import recipes
from gclib.records import RunRecord
from gclib.tables.chance import Chance, by_seed, shared_first_stage
from gclib.tables.claims import p_value
from gclib.tables.intervals import LEVEL, gap, holm, said
from gclib.tables.results import verdict
from gclib.tables.rows import ROWS, by_recipe, usable
from gclib.tables.spread import listed, spreads
from gclib.tables.table import Table

__all__ = ["kinds_table", "paired_table"]


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
    chance = Chance(runs)
    groups = by_recipe(usable(runs, [number], dataset, ratio))
    reference = groups.get(against, [])
    for row in ROWS[number]:
        if row.part != "paper" or (row.recipe == against and not row.stage_one):
            continue
        cells = []
        for best in (False, True):
            ours = groups.get(row.recipe, [])
            values = by_seed(ours, "top1", best, row.stage_one), by_seed(reference, "top1", best, False)
            apart = gap(*values)
            around = chance.around(apart, ours, reference, best=best)
            singles = list(apart.singles.values()) if apart else []
            cells += [said(around) if singles else "", listed(singles, "+")]
            found += [around] * bool(singles and not best)
        if cells[1]:
            lines.append([row.label, *cells])
    corrected = iter(holm([each.p for each in found if each]))
    for line, each in zip(lines, found, strict=True):
        p = next(corrected) if each else None
        line[2:2] = ["", ""] if each is None or p is None else [verdict(each, p), p_value(p)]
    header = ["recipe", "difference", "verdict", "p, corrected", "single differences", "paper-style"]
    header += ["single differences (paper-style)"]
    caption = (
        f"Table {number}, less {recipes.label(against)}: points of top-1 accuracy after the last epoch (clean), the "
        f"mean over common seeds with half of its {1 - LEVEL:.0%} interval, by the rule of the verdicts; corrected "
        "for the rows of this table."
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
        ("stage one, the same seed, rounded otherwise", repeats, True),
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
        "run more than once: of first stages alone, and, in the last row, how far the difference of two whole runs "
        "scatters from one first stage that they share to the next."
    )
    return Table.of([*header, "degrees of freedom"], rows, caption)
