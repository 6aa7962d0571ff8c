"""Which recipe answers to which cell of the paper's tables, and the records that a table takes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gclib import paper, recipes, records
from gclib.data import PUBLISHED
from gclib.records import Outcome, RunRecord
from gclib.tables.table import Item, Link

__all__ = [
    "ROWS",
    "Row",
    "accuracy",
    "by_recipe",
    "command",
    "one_a_seed",
    "outcome",
    "record_links",
    "rows",
    "usable",
]

UNIFIED = "-unified"  # ends the name of a recipe under the one protocol that all of them share


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

    @property
    def protocol(self) -> str:
        """``"published"`` for the settings of the method's own release, ``"unified"`` for those of all methods."""
        return "unified" if self.recipe.endswith(UNIFIED) else "published"

    @property
    def part(self) -> str:
        """``"paper"`` in its table, ``"beyond"`` for methods and controls that it leaves out, or ``"unified"``."""
        return "unified" if self.protocol == "unified" else "paper" if self.method else "beyond"

    @property
    def label(self) -> str:
        """What the recipe is called, and whether it is the first stage alone."""
        return recipes.label(self.recipe) + (", stage one" if self.stage_one else "")

    def cell(self, table: int, dataset: str, ratio: float) -> paper.Cell | None:
        """Return the cell of the paper, or None where the paper has none; a published set has its one ratio."""
        settings = [(c.dataset, c.ratio) for c in paper.cells(table)]
        if dataset in PUBLISHED:
            ratio = PUBLISHED[dataset].ratio
        if self.method is None or (dataset, ratio) not in settings:
            return None
        found = paper.cells(table, dataset, ratio, self.method, **self.variant)
        return found[0] if found else None


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
            "gcl-official-mean gcl-official-full-noise gcl-official-no-focal gcl-official-no-margin "
            "gcl-paper-cross-entropy gcl-paper-kept gcl-paper-slow gcl-paper-loss gcl-paper-mixup gcl-paper-batch "
            "ce-gcl-script ce-every-epoch focal "
            "class-balanced-ce class-balanced-focal ce-drw ldam logit-adjustment logit-adjustment-post-hoc "
            "ce-mixup-lws ce-mixup-tau ce-mixup-ncm hybrid-psc disalign oltr".split(),
        ),
    ),
    2: (
        Row("ce", "CE loss"),
        Row("ce-mixup", "CE loss + mixup"),
        Row("ldam-drw", "LDAM-DRW"),
        Row("oltr", "OLTR"),
        Row("ce-lws", "Decoupling"),
        Row("ce-mixup-crt", "CE loss + mixup + cRT"),
        Row("logit-adjustment", "Logit adjustment"),
        Row("disalign", "DisAlign"),
        Row("mislas", "MisLAS"),
        Row("gcl-official-cben", "GCL"),
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
        Row("gcl-official-tau-chosen", "GCL", {"retraining": "tau-normalisation"}),
        Row("gcl-official-cben", "GCL", {"retraining": "crt"}),
    ),
}
ROWS[1] += tuple(
    Row(twin, row.method) for row in ROWS[1] if (twin := recipes.get(row.recipe).definition.unified)
)
"""The paper's tables by number; in Table 1 also methods that the paper leaves out, and the twins of all in the unified
protocol. `rows` adds recipes that have come since."""


def rows(number: int) -> tuple[Row, ...]:
    """Rows of a table; a recipe that stands in none, such as a new one, comes last in Table 1."""
    placed = {row.recipe for table in ROWS.values() for row in table}
    others = [name for name in recipes.names() if name not in placed] if number == 1 else []
    return (*ROWS[number], *map(Row, others))


def usable(runs: Iterable[RunRecord], tables: Iterable[int], dataset: str, ratio: float) -> list[RunRecord]:
    """Return the records that stand in one of the tables: of this data, paper scale and unchanged recipes.

    They come in the order of the rows, each recipe once, its seeds in their order; a run that was made again counts
    once, by its first record.
    """
    wanted = ("paper", dataset, None if dataset in PUBLISHED else ratio)  # a published set is taken as it is
    fit = [
        r
        for r in one_a_seed(runs)
        if (r.scale, r.data.name, r.data.ratio) == wanted and not r.recipe.get("overrides")
    ]
    names = dict.fromkeys(row.recipe for table in tables for row in rows(table))
    return [run for name in names for run in sorted(fit, key=lambda run: run.seed) if run.name == name]


def one_a_seed(runs: Iterable[RunRecord]) -> list[RunRecord]:
    """Return the first record of each run: one that was made again has the same identity, and is no other seed."""
    first: dict[str, RunRecord] = {}
    for run in runs:
        first.setdefault(run.identity, run)
    return list(first.values())


def outcome(run: RunRecord, best: bool = False, stage_one: bool = False) -> Outcome:
    """Return what was measured at the last epoch (clean) or the best on test (paper-style), of stage one or all."""
    if stage_one:
        return run.stages[0].best if best else run.stages[0].last
    return run.paper_style if best else run.clean


def accuracy(run: RunRecord, best: bool = False, stage_one: bool = False) -> float:
    """Return a top-1 accuracy (%): of the last epoch (clean) or the best on test (paper-style), of stage one or all."""
    return outcome(run, best, stage_one).top1


def by_recipe(runs: Iterable[RunRecord]) -> dict[str, list[RunRecord]]:
    """Return the records of each recipe, in the order in which the recipes first come."""
    groups: dict[str, list[RunRecord]] = {}
    for run in runs:
        groups.setdefault(run.name, []).append(run)
    return groups


def command(recipe: str, dataset: str, ratio: float) -> str:
    """Return the command that makes the record of a recipe's first seed."""
    return records.command(recipe, dataset, None if dataset in PUBLISHED else ratio, seed=0, scale="paper")


def record_links(
    runs: Sequence[RunRecord], marks: Mapping[str, str] | None = None, link_root: str = "../results"
) -> list[Item]:
    """Return a link to each record, named by its seed and its mark if it has one (see `gclib.records.marks`)."""

    def text(run: RunRecord) -> str:
        mark = (marks or {}).get(run.identity)
        return f"seed {run.seed}" + (f" ({mark})" if mark else "")

    return [Link(text(run), records.results_path(run, link_root).as_posix()) for run in runs]
