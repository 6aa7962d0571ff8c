"""The rows of the paper's tables, and what our records say to them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev

from gclib import paper, recipes, records
from gclib.checkpoints import write_atomically
from gclib.errors import UserError
from gclib.records import RunRecord
from gclib.tables.table import Code, Item, Link, Table

__all__ = [
    "ROWS",
    "VERDICT_RULE",
    "Row",
    "per_class_table",
    "readme_table",
    "refresh_readme",
    "results_table",
    "verdict",
]

TOLERANCE = 1.0  # percentage points: about what seeds and machines move a run of CIFAR-10-LT
VERDICT_RULE = (
    "The verdict compares the mean of our paper-style accuracies (best epoch on the test set, as in the "
    f"authors' code) with the paper's number: up to {TOLERANCE:.1f} points apart is reproduced, else higher "
    "or lower. Clean is the last epoch. ± is the sample standard deviation over seeds."
)
HEADER = "recipe, the paper's row, prints, clean, paper-style, difference, verdict, records, command".split(
    ", "
)
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


@dataclass(frozen=True)
class Row:
    """Which cell of the paper a recipe answers to.

    Attributes
    ----------
    recipe
        Name of the recipe.
    method, variant
        Cell of the paper's table, as `gclib.paper.cells` takes them; a method of None is not in the table.
    stage_one
        True where the paper's number is that of the first stage alone.
    """

    recipe: str
    method: str | None = None
    variant: dict[str, str] = field(default_factory=dict)
    stage_one: bool = False


ROWS: dict[int, tuple[Row, ...]] = {
    1: (
        Row("ce", "CE loss"),
        Row("ce-mixup", "CE loss + mixup"),
        Row("ldam-drw", "LDAM-DRW"),
        Row("tde", "De-confound-TDE"),
        Row("ce-mixup-crt", "CE loss + mixup + cRT"),
        Row("bbn", "BBN"),
        Row("hybrid-sc", "Contrastive learning"),
        Row("mislas", "MisLAS"),
        Row("gcl-official-cben", "GCL"),
        Row("gcl-paper", "GCL"),
        *map(
            Row,
            "gcl-official-mean focal class-balanced-ce class-balanced-focal ce-drw ldam logit-adjustment "
            "logit-adjustment-post-hoc ce-mixup-lws ce-mixup-tau ce-mixup-ncm hybrid-psc disalign oltr".split(),
        ),
    ),
    3: (
        Row("gcl-official-cosine", "GCL", {"strategy": "cosine"}),
        Row("gcl-official-power-third", "GCL", {"strategy": "power-1/3"}),
        Row("gcl-official-power-quarter", "GCL", {"strategy": "power-1/4"}),
        Row("gcl-official-cben", "GCL", {"strategy": "log"}),
    ),
    4: (
        Row("gcl-official-instance", "GCL", {"sampler": "instance"}),
        Row("gcl-official", "GCL", {"sampler": "class"}),
        Row("gcl-official-effective", "GCL", {"sampler": "effective"}),
        Row("gcl-official-cben", "GCL", {"sampler": "cben"}),
    ),
    5: (
        Row("gcl-official-cben", "GCL", {"retraining": "none"}, stage_one=True),
        Row("gcl-official-lws", "GCL", {"retraining": "lws"}),
        Row("gcl-official-tau", "GCL", {"retraining": "tau-normalisation"}),
        Row("gcl-official-cben", "GCL", {"retraining": "crt"}),
    ),
}
"""The paper's tables by number; in Table 1 also methods that the paper leaves out. `results_table` adds the others."""


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

    Returns
    -------
    Table
        One row for each recipe of the table; in Table 1 also one for each recipe that stands in none. Where no record
        exists, the command that makes it stands in place of numbers; where the paper prints none, a dash.

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
    wanted = ("paper", dataset, ratio)
    usable = [
        r for r in runs if (r.scale, r.data.name, r.data.ratio) == wanted and not r.recipe.get("overrides")
    ]
    rows: list[list[Sequence[Item]]] = []
    for row in _rows(number):
        cells = paper.cells(number, dataset, ratio, row.method, **row.variant) if row.method else []
        printed = cells[0].accuracy if cells else None
        ours = sorted((run for run in usable if run.name == row.recipe), key=lambda run: run.seed)
        again = f"gcl run training -p data {dataset} -p ratio {ratio:g} -p recipe {row.recipe} -p seed 0"
        rows.append(
            [
                [row.recipe + (", stage one" if row.stage_one else "")],
                [", ".join(row.variant.values()) or row.method or "not in the table"],
                ["–" if printed is None else f"{printed:.2f}"],
                *([value] for value in _numbers(row, printed, ours)),
                [Link(f"seed {run.seed}", records.results_path(run, link_root).as_posix()) for run in ours],
                [Code(ours[0].command if ours else f"{again} --scale paper")],
            ]
        )
    caption = (
        f"Table {number} of the paper: top-1 accuracy (%) on {paper.DATASETS[dataset]}, ratio {ratio:g}. "
        f"{VERDICT_RULE}"
    )
    return Table(HEADER, rows, caption)


def _rows(number: int) -> tuple[Row, ...]:
    """Rows of a table; a recipe that stands in none, such as a new one, comes last in Table 1."""
    placed = {row.recipe for rows in ROWS.values() for row in rows}
    others = [name for name in recipes.names() if name not in placed] if number == 1 else []
    return (*ROWS[number], *map(Row, others))


def _numbers(row: Row, printed: float | None, runs: Sequence[RunRecord]) -> list[str]:
    """Return clean, paper-style, difference and verdict."""
    if not runs:
        return ["not run yet", "", "", ""]
    clean = [(run.stages[0].last if row.stage_one else run.clean).top1 for run in runs]
    paper_style = [(run.stages[0].best if row.stage_one else run.paper_style).top1 for run in runs]
    ours = [_mean_and_spread(clean), _mean_and_spread(paper_style)]
    if printed is None:
        return [*ours, "", ""]
    difference = mean(paper_style) - printed
    return [*ours, f"{difference:+.2f}", verdict(difference)]


def _mean_and_spread(values: Sequence[float]) -> str:
    return f"{mean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")


def per_class_table(runs: Iterable[RunRecord], class_names: Sequence[str] | None = None) -> Table:
    """Set the clean accuracy of each class side by side, one column for each recipe.

    Parameters
    ----------
    runs
        At least one record, all with the same training images; runs of one recipe are averaged.
    class_names
        C names; None for indices.

    Returns
    -------
    Table
        Classes in the order of their index, and the mean over classes.

    Raises
    ------
    UserError
        If there is no record, or the records are of different data.
    """
    by_recipe: dict[str, list[RunRecord]] = {}
    for run in runs:
        by_recipe.setdefault(run.name, []).append(run)
    data = {run.data for group in by_recipe.values() for run in group}
    if len(data) != 1:
        raise UserError(f"records of {len(data)} data sets in one table of classes; expected records of one")
    counts = data.pop().class_counts
    columns = [
        [mean(seeds) for seeds in zip(*(run.clean.per_class for run in group), strict=True)]
        for group in by_recipe.values()
    ]
    names = class_names or [str(index) for index in range(len(counts))]
    lines = [*zip(names, map(str, counts), *columns, strict=True), ("mean", "", *map(mean, columns))]
    rows: list[Sequence[Sequence[Item]]] = [
        [[name], [count], *([f"{value:.1f}"] for value in values)] for name, count, *values in lines
    ]
    caption = "Accuracy (%) of each class on the test set, last epoch (clean), mean over seeds."
    return Table(["class", "training images", *by_recipe], rows, caption)


def readme_table(root: str | Path = "results") -> str:
    """Return the paper's rows of Table 1, CIFAR-10-LT at ratio 100, as the Markdown that the README holds.

    Parameters
    ----------
    root
        Folder of the records.
    """
    table = results_table(records.find(root, scale="paper"), link_root="results")
    rows = [cells for cells, row in zip(table.rows, _rows(1), strict=True) if row.method]
    return Table(table.header, rows, table.caption).to_markdown()


def refresh_readme(path: str | Path = "README.md", root: str | Path = "results") -> None:
    """Put the results of today between the two marks in the README.

    Raises
    ------
    UserError
        If the file does not hold each mark once.
    """
    path = Path(path)
    text = path.read_text(encoding="utf-8")
    if (text.count(BEGIN), text.count(END)) != (1, 1) or text.index(BEGIN) > text.index(END):
        raise UserError(f"{path}: no place for the results; expected {BEGIN} and below it {END}, once each")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    write_atomically(path, f"{before}{BEGIN}\n{readme_table(root)}\n{END}{after}".encode())
