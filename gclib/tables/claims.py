"""Verdicts on the paper's claims from the records, by one written rule."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from gclib import paper, recipes
from gclib.records import RunRecord
from gclib.tables.chance import Chance, by_seed
from gclib.tables.comparisons import CLAIMS, MEASURES, Comparison, value
from gclib.tables.intervals import LEVEL, ODD, Gap, Interval, holm
from gclib.tables.results import apart, mean_and_singles, not_run
from gclib.tables.rows import ROWS, by_recipe, command, record_links, usable
from gclib.tables.table import Item, Table

__all__ = ["RULE", "Finding", "claim_table", "claims_overview", "conclusion", "findings"]

NOT_MEASURED, UNDECIDED = "not measured yet", "undecided"
RULE = (
    "The difference is that of the last epochs (clean): nothing was chosen on the test set there. Runs of the same "
    "seed are compared with each other where both recipes have them. What chance moves is measured: the standard "
    "deviation of runs made more than once, with another seed or again with the same, pooled over all recipes that "
    "have several; the difference of two runs that were trained apart has √2 times that. Where each pair of runs goes "
    "on from one training of the first stage, it is the standard deviation of such differences from one first stage "
    "to the next, pooled as well. Where first stages alone are compared, it is the spread of first stages. If the "
    f"pairs of one comparison scatter more than that, by an F test at {ODD:.0%}, their own standard deviation is taken "
    "in its place. Where no seed is common, the means are subtracted. From all this each difference has its "
    f"{1 - LEVEL:.0%} interval, by Student's t. A claim is supported or contradicted where zero lies outside, and "
    "still does once all comparisons of this page are corrected for their number by Holm's method, at the level of "
    f"{LEVEL:.0%}. Everything else is undecided."
)


@dataclass(frozen=True)
class Finding:
    """What the records say to a comparison.

    Attributes
    ----------
    comparison
        The two recipes.
    ahead, behind
        The quantity in the last epoch, a number for each run.
    interval
        The difference with its interval, and its p-value before any correction; None where it is not measured, or
        where chance is not.
    corrected
        The p-value after Holm's correction for all comparisons of all claims, or None.
    paper_style
        The same difference at the best epochs on test, or None.
    verdict
        ``"supported"``, ``"contradicted"``, ``"undecided"`` or ``"not measured yet"``, by `RULE`.
    runs
        The records of the two recipes.
    gap
        The difference before chance is asked, with that of each seed that both have.
    """

    comparison: Comparison
    ahead: tuple[float, ...]
    behind: tuple[float, ...]
    interval: Interval | None
    corrected: float | None
    paper_style: float | None
    verdict: str
    runs: tuple[list[RunRecord], list[RunRecord]]
    gap: Gap | None = None


def findings(
    runs: Iterable[RunRecord], dataset: str = "cifar10", ratio: float = 100
) -> dict[str, list[Finding]]:
    """Compare what there is, for every claim; they are one family, and corrected together.

    Parameters
    ----------
    runs
        Records. Those of this data set and ratio, at paper scale and of unchanged recipes, are compared; how far
        chance moves a run is measured on all.
    dataset, ratio
        Data of the comparisons.
    """
    runs = list(runs)
    groups = by_recipe(usable(runs, ROWS, dataset, ratio))
    chance = Chance(runs)
    found = {
        name: [_finding(comparison, groups, chance) for comparison in claim.comparisons]
        for name, claim in CLAIMS.items()
    }
    measured = [each for group in found.values() for each in group if each.interval]
    corrected = holm([each.interval.p for each in measured if each.interval])
    by_comparison = dict(zip((id(each) for each in measured), corrected, strict=True))
    return {
        name: [_decided(each, by_comparison.get(id(each))) for each in group] for name, group in found.items()
    }


def _finding(comparison: Comparison, groups: Mapping[str, list[RunRecord]], chance: Chance) -> Finding:
    runs = groups.get(comparison.ahead, []), groups.get(comparison.behind, [])
    quantity, stage_one = comparison.quantity, comparison.stage_one
    found, around = chance.between(*runs, quantity, False, stage_one)
    best, _ = chance.between(*runs, quantity, True, stage_one)
    ahead, behind = (tuple(by_seed(side, quantity, False, stage_one).values()) for side in runs)
    return Finding(
        comparison,
        ahead,
        behind,
        around,
        None,
        best.difference if best else None,
        UNDECIDED if found else NOT_MEASURED,
        runs,
        found,
    )


def _decided(finding: Finding, corrected: float | None) -> Finding:
    if corrected is None or finding.interval is None:
        return finding
    verdict = UNDECIDED
    if finding.interval.decides(corrected):
        better = (finding.interval.difference > 0) == MEASURES[finding.comparison.quantity].more_is_better
        verdict = "supported" if better else "contradicted"
    return replace(finding, corrected=corrected, verdict=verdict)


def conclusion(found: Sequence[Finding]) -> str:
    """Return the verdicts of a claim's comparisons as a few plain words."""
    counted = Counter(finding.verdict for finding in found)
    if len(counted) == 1:
        return next(iter(counted))
    return ", ".join(f"{number} of {len(found)} {verdict}" for verdict, number in counted.items())


def claim_table(
    name: str,
    runs: Iterable[RunRecord],
    dataset: str = "cifar10",
    ratio: float = 100,
    marks: Mapping[str, str] | None = None,
) -> Table:
    """Show the comparisons that bear on a claim, with records, and in one line the commands that make what is missing.

    Parameters
    ----------
    name
        A key of `CLAIMS`.
    runs, dataset, ratio
        See `findings`.
    marks
        See `gclib.tables.results_table`.
    """
    claim, rows = CLAIMS[name], []
    found = findings(runs, dataset, ratio)[name]
    sides = {each.comparison.ahead for each in found}
    one = f"{recipes.label(found[0].comparison.ahead)} against" if len(sides) == 1 else None
    quantities = {MEASURES[each.comparison.quantity].words for each in found}
    for finding in (each for each in found if each.verdict != NOT_MEASURED):
        c = finding.comparison
        printed = None if c.stage_one or c.quantity != "top1" else c.printed(dataset, ratio)
        words = "" if one else f"{recipes.label(c.ahead)} against "
        words += recipes.label(c.behind) + ", stage one" * c.stage_one
        words += f": {MEASURES[c.quantity].words}" * (len(quantities) > 1)
        cells: list[Sequence[Item]] = [
            [words],
            apart(finding.gap, finding.interval),
            [finding.verdict],
            ["" if finding.corrected is None else p_value(finding.corrected)],
            ["" if finding.paper_style is None else f"{finding.paper_style:+.2f}"],
            ["–" if printed is None else f"{printed:+.2f}"],
        ]
        for numbers, made in zip((finding.ahead, finding.behind), finding.runs, strict=True):
            holding = [run for run in made if value(run, c.quantity, stage_one=c.stage_one) is not None]
            cells.append([*mean_and_singles(numbers), *record_links(holding, marks)])
        rows.append(cells)
    header = [one or "comparison", "difference", "verdict", "p, corrected", "paper-style", "in the paper"]
    header += ["first", "second"]
    if missing := [each for each in found if each.verdict == NOT_MEASURED]:
        pairs = [
            (recipe, group)
            for each in missing
            for recipe, group in zip((each.comparison.ahead, each.comparison.behind), each.runs, strict=True)
        ]
        commands = dict.fromkeys(command(recipe, dataset, ratio) for recipe, group in pairs if not group)
        rows.append(not_run(list(commands), len(header), "comparison", len(missing)))
    caption = f"Claim: {claim.sentence}. In the paper: {claim.where}. Here: {conclusion(found)}."
    if len(quantities) == 1:
        caption += f" Compared: {quantities.pop()}."
    return Table(header, rows, caption)


def p_value(p: float) -> str:
    """Return a p-value as text."""
    return "below 0.001" if p < 0.001 else f"{p:.3f}" if p < LEVEL else f"{p:.2f}"


def claims_overview(runs: Iterable[RunRecord], dataset: str = "cifar10", ratio: float = 100) -> Table:
    """Show each claim with its place in the paper and the conclusion from the records, by `RULE`."""
    found = findings(runs, dataset, ratio)
    rows = [[[claim.sentence], [conclusion(found[name])], [claim.where]] for name, claim in CLAIMS.items()]
    caption = f"The paper's claims, and what our records of {paper.DATASETS[dataset]}, ratio {ratio:g}, say to them."
    return Table(["claim", "in our records", "in the paper"], rows, caption)
