"""The whole of a table of the paper in one view: a row for each recipe, a column for each data set and ratio."""

from collections.abc import Iterable, Mapping
from statistics import mean

from gclib import paper
from gclib.records import RunRecord
from gclib.tables.results import mean_and_spread
from gclib.tables.rows import ROWS, accuracy, by_recipe, command, record_links, usable
from gclib.tables.table import Command, Item, Table

__all__ = ["overview_table"]


def overview_table(
    runs: Iterable[RunRecord],
    number: int = 1,
    marks: Mapping[str, str] | None = None,
) -> Table:
    """Set our paper-style accuracies beside all numbers of a table of the paper.

    Parameters
    ----------
    runs
        Records of any data sets and ratios; those that stand in no cell are left out.
    number
        Which table: 1, 3, 4 or 5.
    marks
        See `gclib.tables.results_table`.

    Returns
    -------
    Table
        In each cell our accuracy, its difference to the paper's in brackets and the records, or else the command that
        makes the first.
    """
    runs = list(runs)
    settings = dict.fromkeys((cell.dataset, cell.ratio) for cell in paper.cells(number))
    groups = {setting: by_recipe(usable(runs, [number], *setting)) for setting in settings}
    lines = []
    for row in ROWS[number]:
        if row.part != "paper":
            continue
        line: list[list[Item]] = [[row.label]]
        for setting, found in groups.items():
            cell, ours = row.cell(number, *setting), found.get(row.recipe, [])
            if not ours:
                line.append([Command(command(row.recipe, *setting), "not run yet")])
                continue
            printed = cell.accuracy if cell else None
            best = [accuracy(run, True, row.stage_one) for run in ours]
            difference = "" if printed is None else f" ({mean(best) - printed:+.2f})"
            line.append([mean_and_spread(best) + difference, *record_links(ours, marks)])
        lines.append(line)
    names = [f"{paper.DATASETS[dataset]}, ratio {ratio}" for dataset, ratio in settings]
    caption = (
        f"Table {number} of the paper: our top-1 accuracy (%), best epoch on the test set (paper-style), in brackets "
        "minus what the paper prints, where it prints a number; then the records. A number with ± is a mean over seeds "
        "with its sample standard deviation."
    )
    return Table(["recipe", *names], lines, caption)
