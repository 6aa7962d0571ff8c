"""Tables of the book and of the README, made from run records and the paper's own numbers."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Self

from gclib import paper, records
from gclib.checkpoints import write_atomically
from gclib.errors import UserError
from gclib.records import RunRecord

__all__ = [
    "ROWS",
    "VERDICT_RULE",
    "Code",
    "Link",
    "Row",
    "Table",
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
HEADER = "recipe, paper, prints, clean, paper-style, difference, verdict, records, command".split(", ")
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


@dataclass(frozen=True)
class Link:
    """A text that leads somewhere."""

    text: str
    target: str


@dataclass(frozen=True)
class Code:
    """A command to copy."""

    text: str


Item = str | Link | Code


@dataclass(frozen=True)
class Table:
    """A table that a notebook shows as HTML, and that a README holds as Markdown.

    The HTML names no colour and no width, so it follows the page, light or dark, wide or narrow. Its class is
    the one that themes know from pandas.

    Attributes
    ----------
    header
        Names of the columns.
    rows
        Cells, each a sequence of items.
    caption
        What the table shows, and by which rule.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Sequence[Item]]]
    caption: str

    @classmethod
    def of(cls, header: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> Self:
        """Make a table of plain values; floats get two decimals, None stays empty."""

        def text(value: object) -> str:
            return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)

        return cls(header, [[[text(value)] for value in row] for row in rows], caption)

    def to_html(self) -> str:
        """Return the table as HTML."""
        head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in self.header)
        body = "\n".join(
            "<tr>" + "".join(f"<td>{', '.join(map(_item_html, cell))}</td>" for cell in row) + "</tr>"
            for row in self.rows
        )
        return (
            '<div style="overflow-x: auto" tabindex="0">\n'
            '<table class="dataframe" style="white-space: nowrap">\n'
            f"<thead>\n<tr>{head}</tr>\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>\n"
            + (f"<p>{html.escape(self.caption)}</p>" if self.caption else "")
        )

    def to_markdown(self) -> str:
        """Return the table as Markdown, the caption below."""
        lines = [self.header, ["---"] * len(self.header)]
        lines += [[", ".join(map(_item_markdown, cell)) for cell in row] for row in self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n{self.caption}"

    def _repr_html_(self) -> str:
        return self.to_html()

    def __repr__(self) -> str:
        return self.to_markdown()


def _item_html(item: Item) -> str:
    match item:
        case Link():
            return f'<a href="{html.escape(item.target)}">{html.escape(item.text)}</a>'
        case Code():
            return f"<code>{html.escape(item.text)}</code>"
    return html.escape(item)


def _item_markdown(item: Item) -> str:
    match item:
        case Link():
            return f"[{item.text}]({item.target})"
        case Code():
            return f"`{item.text}`"
    return item


@dataclass(frozen=True)
class Row:
    """Which cell of the paper a recipe answers to.

    Attributes
    ----------
    recipe
        Name of the recipe.
    table, method, variant
        Cell of the paper, as `gclib.paper.cells` takes them.
    stage_one
        True where the paper's number is that of the first stage alone.
    """

    recipe: str
    table: int
    method: str
    variant: dict[str, str] = field(default_factory=dict)
    stage_one: bool = False


ROWS = (
    Row("ce", 1, "CE loss"),
    Row("ce-mixup", 1, "CE loss + mixup"),
    Row("gcl-official", 5, "GCL", {"retraining": "none"}, stage_one=True),
    Row("gcl-official-instance", 4, "GCL", {"sampler": "instance"}),
    Row("gcl-official", 4, "GCL", {"sampler": "class"}),
    Row("gcl-official-effective", 4, "GCL", {"sampler": "effective"}),
    Row("gcl-official-cben", 4, "GCL", {"sampler": "cben"}),
    Row("gcl-official-lws", 5, "GCL", {"retraining": "lws"}),
    Row("gcl-official-tau", 5, "GCL", {"retraining": "tau-normalisation"}),
    Row("gcl-paper", 1, "GCL"),
)


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
    runs: Iterable[RunRecord], dataset: str = "cifar10", ratio: float = 100, link_root: str = "../results"
) -> Table:
    """Set our accuracies beside the paper's.

    Parameters
    ----------
    runs
        Records; those of other data, of another scale or of changed recipes are left out.
    dataset, ratio
        Which of the paper's settings.
    link_root
        Where the folder of records lies, seen from the page that shows the table.

    Returns
    -------
    Table
        One row for each recipe that answers to a number of the paper. Where no record exists, the command
        that makes it stands in place of numbers.

    Raises
    ------
    UserError
        If the paper has no number for this data set and ratio.
    """
    wanted = ("paper", dataset, ratio)
    usable = [
        r for r in runs if (r.scale, r.data.name, r.data.ratio) == wanted and not r.recipe.get("overrides")
    ]
    rows: list[list[Sequence[Item]]] = []
    for row in ROWS:
        printed = paper.cells(row.table, None, None, row.method, **row.variant)
        target = [c.accuracy for c in printed if (c.dataset, c.ratio) == (dataset, ratio) and c.accuracy]
        if not target:
            continue
        ours = sorted((run for run in usable if run.name == row.recipe), key=lambda run: run.seed)
        again = f"gcl run training -p data {dataset} -p ratio {ratio:g} -p recipe {row.recipe} -p seed 0"
        rows.append(
            [
                [row.recipe + (", stage one" if row.stage_one else "")],
                [f"Table {row.table}", *(f"{what}: {value}" for what, value in row.variant.items())],
                [f"{target[0]:.2f}"],
                *([number] for number in _numbers(row, target[0], ours)),
                [Link(f"seed {run.seed}", records.results_path(run, link_root).as_posix()) for run in ours],
                [Code(ours[0].command if ours else f"{again} --scale paper")],
            ]
        )
    if not rows:
        raise UserError(
            f"the paper has no number for {dataset} at ratio {ratio:g}; gclib.paper.cells lists all"
        )
    caption = f"Top-1 accuracy (%) on {paper.DATASETS[dataset]}, ratio {ratio:g}. {VERDICT_RULE}"
    return Table(HEADER, rows, caption)


def _numbers(row: Row, target: float, runs: Sequence[RunRecord]) -> list[str]:
    """Return clean, paper-style, difference and verdict."""
    if not runs:
        return ["not run yet", "", "", ""]
    clean = [(run.stages[0].last if row.stage_one else run.clean).top1 for run in runs]
    paper_style = [(run.stages[0].best if row.stage_one else run.paper_style).top1 for run in runs]
    difference = mean(paper_style) - target
    return [_mean_and_spread(clean), _mean_and_spread(paper_style), f"{difference:+.2f}", verdict(difference)]


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
    """Return the results on CIFAR-10-LT at ratio 100 as the Markdown that the README holds.

    Parameters
    ----------
    root
        Folder of the records.
    """
    return results_table(records.find(root, scale="paper"), link_root="results").to_markdown()


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
