"""Verdicts on the paper's claims from the records, by one written rule."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np

from gclib.metrics import groups
from gclib.records import RunRecord
from gclib.tables.comparisons import CLAIMS, MEASURES, Claim, Comparison, measure
from gclib.tables.results import TOLERANCE, mean_and_spread
from gclib.tables.rows import ROWS, by_recipe, command, record_links, usable
from gclib.tables.table import Command, Item, Table

__all__ = ["RULE", "Finding", "claim_table", "claims_overview", "conclusion", "decide", "findings"]

SEEDS, LEVEL = 3, 0.05
NOT_MEASURED, UNDECIDED = "not measured yet", "undecided"
RULE = (
    "The difference is that of the last epochs (clean): nothing was chosen on the test set there. With "
    f"{SEEDS} or more runs of both recipes it counts where Welch's t-test finds it at the level of {LEVEL:.0%}. "
    f"With fewer it counts from {TOLERANCE:.1f} percentage points on, and for a mean over k of C classes from "
    "√(C/k) times that. A smaller difference between single runs decides nothing. A larger one is called supported "
    "or contradicted by single runs, because other seeds may still turn it."
)


def decide(ahead: Sequence[float], behind: Sequence[float], threshold: float = TOLERANCE) -> str:
    """Return what two samples of runs say to "ahead is larger", by `RULE`.

    Parameters
    ----------
    ahead, behind
        A number for each run, at least one.
    threshold
        From which difference on it counts between fewer than three runs.

    Examples
    --------
    >>> decide([80.0], [79.5]), decide([80.0], [79.0]), decide([79.0, 79.1, 79.2], [80.0, 80.1, 80.1])
    ('undecided', 'supported by single runs', 'contradicted')
    """
    difference = round(mean(ahead) - mean(behind), 6)
    several = min(len(ahead), len(behind)) >= SEEDS
    if several and np.ptp(ahead) + np.ptp(behind) > 0:
        from scipy.stats import ttest_ind  # takes a second, which every page would wait for

        counts = bool(ttest_ind(ahead, behind, equal_var=False).pvalue < LEVEL)
    else:
        counts = abs(difference) >= (0 if several else threshold)
    if not counts or difference == 0:
        return UNDECIDED
    return ("supported" if difference > 0 else "contradicted") + ("" if several else " by single runs")


@dataclass(frozen=True)
class Finding:
    """What the records say to a comparison.

    Attributes
    ----------
    comparison
        The two recipes.
    ahead, behind
        The quantity in the last epoch, a number for each run.
    paper_style
        The same difference at the best epochs on test, or None.
    verdict
        ``"supported"`` or ``"contradicted"``, perhaps ``"by single runs"``, ``"undecided"``, ``"not measured yet"``.
    runs
        The records of the two recipes.
    """

    comparison: Comparison
    ahead: tuple[float, ...]
    behind: tuple[float, ...]
    paper_style: float | None
    verdict: str
    runs: tuple[list[RunRecord], list[RunRecord]]


def findings(
    claim: Claim, runs: Iterable[RunRecord], dataset: str = "cifar10", ratio: float = 100
) -> list[Finding]:
    """Compare what there is; records of other data, of another scale or of changed recipes are left out."""
    recipes = by_recipe(usable(runs, ROWS, dataset, ratio))
    return [_finding(comparison, recipes) for comparison in claim.comparisons]


def _finding(comparison: Comparison, recipes: Mapping[str, list[RunRecord]]) -> Finding:
    sides = recipes.get(comparison.ahead, []), recipes.get(comparison.behind, [])
    kind = MEASURES[comparison.quantity]

    def values(group: list[RunRecord], best: bool) -> tuple[float, ...]:
        outcomes = [(run.paper_style if best else run.clean, run) for run in group]
        if comparison.stage_one:
            outcomes = [(run.stages[0].best if best else run.stages[0].last, run) for run in group]
        found = [measure(comparison.quantity, outcome, run.data.class_counts) for outcome, run in outcomes]
        return tuple(value for value in found if value is not None)

    ahead, behind = (values(group, best=False) for group in sides)
    best = [values(group, best=True) for group in sides]
    verdict = NOT_MEASURED
    if ahead and behind:
        counts = sides[0][0].data.class_counts
        share = len(groups(counts, "thirds")[kind.group]) / len(counts) if kind.group else 1.0
        pair = (ahead, behind) if kind.more_is_better else (behind, ahead)
        verdict = decide(*pair, threshold=TOLERANCE / share**0.5)
    style = mean(best[0]) - mean(best[1]) if all(best) else None
    return Finding(comparison, ahead, behind, style, verdict, sides)


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
    link_root: str = "../results",
    marks: Mapping[str, str] | None = None,
) -> Table:
    """Show the comparisons that bear on a claim, with records, or the commands that make what is missing.

    Parameters
    ----------
    name
        A key of `CLAIMS`.
    runs, dataset, ratio
        See `findings`.
    link_root, marks
        See `gclib.tables.results_table`.
    """
    claim, rows = CLAIMS[name], []
    found = findings(claim, runs, dataset, ratio)
    for finding in found:
        c = finding.comparison
        printed = None if c.stage_one or c.quantity != "top1" else c.printed(dataset, ratio)
        clean = mean(finding.ahead) - mean(finding.behind) if finding.ahead and finding.behind else None
        differences = ["" if value is None else f"{value:+.2f}" for value in (clean, finding.paper_style)]
        cells: list[Sequence[Item]] = [
            [f"{c.ahead} against {c.behind}" + (", stage one" if c.stage_one else "")],
            [MEASURES[c.quantity].words],
            ["–" if printed is None else f"{printed:+.2f}"],
            *([mean_and_spread(side) if side else ""] for side in (finding.ahead, finding.behind)),
            *([text] for text in differences),
            [finding.verdict],
            [
                item
                for side, recipe, group in zip(
                    ("first", "second"), (c.ahead, c.behind), finding.runs, strict=True
                )
                for item in (
                    record_links(group, link_root, marks, f"{side} ")
                    or [Command(command(recipe, dataset, ratio), f"{side} not run yet")]
                )
            ],
        ]
        rows.append(cells)
    header = ["comparison", "quantity", "paper's difference", "first", "second", "difference", "paper-style"]
    header += ["verdict", "records"]
    caption = f"Claim: {claim.sentence}. In the paper: {claim.where}. Here: {conclusion(found)}."
    return Table(header, rows, caption)


def claims_overview(runs: Iterable[RunRecord], dataset: str = "cifar10", ratio: float = 100) -> Table:
    """Show each claim with its place in the paper and the conclusion from the records, by `RULE`."""
    runs = list(runs)
    rows = [
        [[claim.sentence], [claim.where], [conclusion(findings(claim, runs, dataset, ratio))]]
        for claim in CLAIMS.values()
    ]
    caption = f"The paper's claims, and what our records of {dataset}, ratio {ratio:g}, say to them."
    return Table(["claim", "in the paper", "in our records"], rows, caption)
