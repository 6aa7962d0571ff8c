"""The paper's tables with our numbers beside the paper's."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

from gclib import paper, records
from gclib.errors import UserError
from gclib.records import RunRecord
from gclib.tables.chance import Chance
from gclib.tables.intervals import LEVEL, ODD, Gap, Interval, against_printed, holm, said
from gclib.tables.rows import ROWS, Row, accuracy, by_recipe, command, record_links, rows, usable
from gclib.tables.table import Command, Item, Singles, Table

__all__ = [
    "PAIRED_RULE",
    "SPREAD_RULE",
    "VERDICT_RULE",
    "difference",
    "mean_and_singles",
    "readme_table",
    "results_table",
    "verdict",
]

VERDICT_RULE = (
    "The difference is the mean of our paper-style accuracies (best epoch on the test set, as in the authors' code) "
    "minus the paper's number, which is taken for a single run that chance moves as far as ours. What chance moves is "
    f"pooled over all recipes; where the runs of a row scatter more, by an F test at {ODD:.0%}, it is their own. "
    f"Behind it stands half of its {1 - LEVEL:.0%} interval. The verdict is higher or lower where zero lies outside "
    "and still does after Holm's correction for all rows; else the two are not told apart, which does not mean equal. "
    "Clean is the last epoch."
)
COMPARED = (
    "The difference is paper-style (best epoch on the test set) minus the printed number, with half of its "
    f"{1 - LEVEL:.0%} interval; clean is the last epoch. Higher and lower are said where zero still lies outside after "
    "Holm's correction for all rows."
)
NOT_PRINTED = (
    "Clean is the last epoch, paper-style the best epoch on the test set. "
    "The paper has no number to compare with."
)
SPREAD_RULE = (
    "An accuracy with ± is a mean over seeds with its sample standard deviation, followed by the single runs; one "
    "without is a single run."
)
PAIRED_RULE = (
    "A difference is the mean over the seeds that both have; of several, each stands below it. Where no seed is "
    "common, the means are subtracted."
)
COLUMNS = {  # what a phone shows comes first
    "paper": (
        "recipe, difference, verdict, paper prints, paper-style, clean, the paper's row, provenance, record"
    ).split(", "),
    "beyond": "recipe, clean, paper-style, record".split(", "),
    "unified": "recipe, clean, paper-style, the paper's row, record".split(", "),
}


def verdict(found: Interval, corrected: float) -> str:
    """Return what a difference, ours minus the paper's, amounts to, by `VERDICT_RULE`.

    Parameters
    ----------
    found
        The difference with its interval.
    corrected
        Its p-value after the correction for all rows of the table.

    Examples
    --------
    >>> verdict(Interval(2.1, 1.9, 0.02), 0.03), verdict(Interval(2.1, 1.9, 0.02), 0.1)
    ('higher', 'not told apart')
    """
    if not found.decides(corrected):
        return "not told apart"
    return "higher" if found.difference > 0 else "lower"


def results_table(
    runs: Iterable[RunRecord],
    number: int = 1,
    dataset: str = "cifar10",
    ratio: float = 100,
    link_root: str = "../results",
    marks: Mapping[str, str] | None = None,
    part: str = "paper",
    every: bool = False,
) -> Table:
    """Set our accuracies beside those of a table of the paper.

    Parameters
    ----------
    runs
        Records; those of other data, of another scale or of changed recipes are left out.
    number
        Which table, from 1 to 5.
    dataset, ratio
        Which of the paper's settings.
    link_root
        Where the folder of records lies, seen from the page that shows the table.
    marks
        What `gclib.records.marks` says of the records; it stands behind their links.
    part
        ``"paper"``: the rows that the paper has; ``"beyond"``: methods and controls that it leaves out, and
        ``"unified"``: all of them under one protocol, both only in Table 1.
    every
        Whether recipes without a run have a row each, and not one line for all.

    Returns
    -------
    Table
        One row for each recipe, with the command that makes its record. Only the rows of the paper have a difference
        and a verdict: the paper has no number made under the unified protocol.

    Raises
    ------
    UserError
        If the table has no number for this data set and ratio.
    """
    if number not in ROWS:
        raise UserError(f"Table {number} has no rows of ours; expected one of {', '.join(map(str, ROWS))}")
    if not any((c.dataset, c.ratio) == (dataset, ratio) for c in paper.cells(number)):
        raise UserError(
            f"Table {number} has no number for {dataset} at ratio {ratio:g}; gclib.paper.cells lists all"
        )
    runs = list(runs)
    groups = by_recipe(usable(runs, [number], dataset, ratio))
    shown = [row for row in rows(number) if row.part == part]
    compared = _compared(shown, groups, Chance(runs), lambda row: row.cell(number, dataset, ratio))
    lines: list[list[Sequence[Item]]] = []
    missing = [] if every else [row.recipe for row in shown if row.recipe not in groups]
    for row in (row for row in shown if row.recipe not in missing):
        cell, ours = row.cell(number, dataset, ratio), groups.get(row.recipe, [])
        printed = cell.accuracy if cell else None
        again = (
            Command(records.again(ours[0]))
            if ours
            else Command(command(row.recipe, dataset, ratio), "not run yet")
        )
        columns: dict[str, Sequence[Item]] = {
            "recipe": [row.label],
            "the paper's row": [", ".join(row.variant.values()) or row.method or "none"],
            "paper prints": ["–" if printed is None else f"{printed:.2f}"],
            "provenance": [cell.provenance if cell and printed is not None else ""],
            "record": [*record_links(ours, marks, link_root), again],
            **numbers(row, ours),
            **{name: [value] for name, value in compared.get(row.label, NOTHING).items()},
        }
        lines.append([columns[name] for name in COLUMNS[part]])
    if missing:
        lines.append(
            not_run([command(name, dataset, ratio) for name in missing], len(COLUMNS[part]), "recipe")
        )
    table = f"Table {number} of the paper" if part == "paper" else "Our runs"
    short = COMPARED if part == "paper" else NOT_PRINTED
    caption = f"{table}: top-1 accuracy (%) on {paper.DATASETS[dataset]}, ratio {ratio:g}. {short}"
    return Table(COLUMNS[part], lines, caption)


def numbers(row: Row, runs: Sequence[RunRecord]) -> dict[str, list[Item]]:
    """Return the cells of clean and paper-style."""
    kinds = {"clean": False, "paper-style": True}
    return {
        kind: mean_and_singles([accuracy(run, best, row.stage_one) for run in runs])
        for kind, best in kinds.items()
    }


def not_run(
    commands: Sequence[str], columns: int, what: str, number: int | None = None
) -> list[Sequence[Item]]:
    """Return one line for all that has no full run yet, with the commands that make the runs."""
    number = len(commands) if number is None else number
    said = f"{number} more {what}{'s have' if number > 1 else ' has'} no full run yet"
    return [[said], *([""] for _ in range(columns - 2)), [Command("; ".join(commands), "not run yet")]]


NOTHING = {"difference": "", "verdict": ""}


def _compared(
    shown: Sequence[Row],
    groups: Mapping[str, Sequence[RunRecord]],
    chance: Chance,
    printed: Callable[[Row], paper.Cell | None],
) -> dict[str, dict[str, str]]:
    """Return difference and verdict of each row that has both a run and a printed number, as text."""
    found = {}
    for row in shown:
        cell, ours = printed(row), groups.get(row.recipe, [])
        if ours and cell and cell.accuracy is not None:
            values = [accuracy(run, True, row.stage_one) for run in ours]
            spread = chance.spread("top1", True, row.stage_one)
            difference = mean(values) - cell.accuracy
            found[row.label] = difference, against_printed(values, cell.accuracy, spread)
    corrected = iter(holm([each.p for _, each in found.values() if each]))
    return {
        label: {
            "difference": f"{difference:+.2f}" + (f" ± {each.half:.2f}" if each else ""),
            "verdict": verdict(each, next(corrected)) if each else "not told apart",
        }
        for label, (difference, each) in found.items()
    }


def mean_and_spread(values: Sequence[float], sign: str = "") -> str:
    """Return the mean and, of several values, the sample standard deviation, as text; a sign of ``"+"`` is shown."""
    return f"{mean(values):{sign}.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")


def mean_and_singles(values: Sequence[float], sign: str = "") -> list[Item]:
    """Return a cell: the mean, and of several values the sample standard deviation and each of them."""
    if not values:
        return [""]
    shown: list[Item] = [mean_and_spread(values, sign)]
    return [*shown, singles(values, sign)] if len(values) > 1 else shown


def apart(found: Gap | None, around: Interval | None) -> list[Item]:
    """Return a cell: a difference with half of its interval, and below it what it is the mean of, by `PAIRED_RULE`."""
    if found is None:
        return [""]
    if len(found.singles) > 1:
        return difference(list(found.singles.values()), around)
    shown: list[Item] = [said(around) or f"{found.difference:+.2f}"]
    if not found.singles:
        return [*shown, Singles(("seeds differ",))]
    return [*shown, *(Singles((f"seed {seed} alone",)) for seed in found.singles if found.left_out)]


def difference(gaps: Sequence[float], around: Interval | None) -> list[Item]:
    """Return a cell: the mean of differences that are paired by seed, half of its interval, and of several each."""
    shown: list[Item] = [said(around) or f"{mean(gaps):+.2f}"]
    return [*shown, singles(gaps, "+")] if len(gaps) > 1 else shown


def singles(values: Iterable[float], sign: str = "") -> Singles:
    """Return single values as an item of a cell; a sign of ``"+"`` is shown."""
    return Singles(tuple(f"{value:{sign}.2f}" for value in values))


def readme_table(root: str | Path = "results") -> str:
    """Return the paper's rows of Table 1, CIFAR-10-LT at ratio 100, as the Markdown that the README holds.

    Parameters
    ----------
    root
        Folder of the records.
    """
    runs = records.find(root, scale="paper", repeats=True)
    return results_table(runs, link_root="results", marks=records.marks(runs, root)).to_markdown()
