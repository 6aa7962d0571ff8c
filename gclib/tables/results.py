"""The paper's tables with our numbers beside the paper's."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

from gclib import paper, records
from gclib.errors import UserError
from gclib.records import RunRecord
from gclib.tables.rows import ROWS, Row, accuracy, by_recipe, command, record_links, rows, usable
from gclib.tables.table import Command, Item, Table

__all__ = [
    "TOLERANCE",
    "VERDICT_RULE",
    "readme_table",
    "results_table",
    "verdict",
]

TOLERANCE = 1.0  # percentage points; chosen before the runs, about twice the error of a finite test set
VERDICT_RULE = (
    "The verdict compares the mean of our paper-style accuracies (best epoch on the test set, as in the "
    f"authors' code) with the paper's number: up to {TOLERANCE:.1f} points apart is reproduced, else higher "
    "or lower. Clean is the last epoch."
)
OURS_RULE = (
    "Clean is the last epoch, paper-style the best epoch on the test set. "
    "The paper has no number to compare with."
)
SPREAD_RULE = (
    "A number with ± is a mean over seeds with its sample standard deviation; one without is a single run."
)
COLUMNS = {
    "paper": (
        "recipe, the paper's row, paper prints, clean, paper-style, difference, verdict, provenance, record"
    ).split(", "),
    "beyond": "recipe, clean, paper-style, record".split(", "),
    "unified": "recipe, the paper's row, clean, paper-style, record".split(", "),
}


def verdict(difference: float) -> str:
    """Return what a difference in percentage points, ours minus the paper's, amounts to.

    Examples
    --------
    >>> verdict(-1.0), verdict(1.01), verdict(-1.01)
    ('reproduced', 'higher', 'lower')
    """
    if abs(round(difference, 6)) <= TOLERANCE:
        return "reproduced"
    return "higher" if difference > 0 else "lower"


def results_table(
    runs: Iterable[RunRecord],
    number: int = 1,
    dataset: str = "cifar10",
    ratio: float = 100,
    link_root: str = "../results",
    marks: Mapping[str, str] | None = None,
    part: str = "paper",
) -> Table:
    """Set our accuracies beside those of a table of the paper.

    Parameters
    ----------
    runs
        Records; those of other data, of another scale or of changed recipes are left out.
    number
        Which table: 1, 3, 4 or 5.
    dataset, ratio
        Which of the paper's settings.
    link_root
        Where the folder of records lies, seen from the page that shows the table.
    marks
        What `gclib.records.marks` says of the records; it stands behind their links.
    part
        ``"paper"``: the rows that the paper has; ``"beyond"``: methods and controls that it leaves out, and
        ``"unified"``: all of them under one protocol, both only in Table 1.

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
    groups = by_recipe(usable(runs, [number], dataset, ratio))
    lines: list[list[Sequence[Item]]] = []
    for row in rows(number):
        if row.part != part:
            continue
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
            "record": [*record_links(ours, link_root, marks), again],
            **{name: [value] for name, value in numbers(row, printed, ours).items()},
        }
        lines.append([columns[name] for name in COLUMNS[part]])
    table = f"Table {number} of the paper" if part == "paper" else "Our runs"
    rule = VERDICT_RULE if part == "paper" else OURS_RULE
    caption = (
        f"{table}: top-1 accuracy (%) on {paper.DATASETS[dataset]}, ratio {ratio:g}. {rule} {SPREAD_RULE}"
    )
    return Table(COLUMNS[part], lines, caption)


def numbers(row: Row, printed: float | None, runs: Sequence[RunRecord]) -> dict[str, str]:
    """Return clean, paper-style, difference and verdict, as text."""
    if not runs:
        return dict.fromkeys(("clean", "paper-style", "difference", "verdict"), "")
    clean, paper_style = ([accuracy(run, best, row.stage_one) for run in runs] for best in (False, True))
    difference = None if printed is None else mean(paper_style) - printed
    return {
        "clean": mean_and_spread(clean),
        "paper-style": mean_and_spread(paper_style),
        "difference": "" if difference is None else f"{difference:+.2f}",
        "verdict": "" if difference is None else verdict(difference),
    }


def mean_and_spread(values: Sequence[float], sign: str = "") -> str:
    """Return the mean and, of several values, the sample standard deviation, as text; a sign of ``"+"`` is shown."""
    return f"{mean(values):{sign}.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")


def readme_table(root: str | Path = "results") -> str:
    """Return the paper's rows of Table 1, CIFAR-10-LT at ratio 100, as the Markdown that the README holds.

    Parameters
    ----------
    root
        Folder of the records.
    """
    runs = records.find(root, scale="paper")
    return results_table(runs, link_root="results", marks=records.marks(runs, root)).to_markdown()
