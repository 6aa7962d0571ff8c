"""Where the paper's text and its released code part, what this project does there, and what it changes in points.

The content is ``stated.toml`` beside this file. A change is the difference of two records that differ in the one
thing; where a record is missing, the command that makes it stands in its place.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from statistics import mean
from typing import Any

from gclib import tables
from gclib.recipes import by_path
from gclib.records import RunRecord, command, results_path
from gclib.tables import Chance, Code, Command, Interval, Link, Table
from gclib.tables.rows import one_a_seed
from gclib.tables.table import Item

__all__ = [
    "GROUPS",
    "HERE",
    "Difference",
    "Open",
    "Run",
    "changes_table",
    "differences",
    "differences_table",
    "open_questions",
    "open_table",
]

GROUPS = ("stage one", "the loss", "stage two", "measuring", "running the code", "large data sets")
HERE = {
    "each": "gcl-official as the code, gcl-paper as the text",
    "code": "both recipes as the code",
    "text": "as the text",
    "neither": "neither",
}
"""Whom this project follows."""

DATA, RATIO = "cifar10", 100.0  # where changes are measured


@dataclass(frozen=True)
class Run:
    """Two runs that differ in one thing: `recipe`, and what it is compared with.

    Attributes
    ----------
    recipe
        Name of the recipe that has it as the code does.
    named
        Name of a recipe that has it otherwise, or None.
    changes
        Else the settings that are changed, by dotted path.
    part
        Where the two runs tell only a part of the difference: which.
    """

    recipe: str
    named: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    part: str = ""

    @property
    def command(self) -> str:
        """What makes the record of seed 0."""
        return command(self.named or self.recipe, DATA, RATIO, 0, "paper", self.changes)

    def pairs(self, runs: Iterable[RunRecord]) -> list[tuple[RunRecord, RunRecord]]:
        """Records of equal seed, the recipe's and the other's."""
        at = ("paper", DATA, RATIO)  # a run that was made again counts once
        usable = [r for r in one_a_seed(runs) if (r.scale, r.data.name, r.data.ratio) == at]
        plain = [run for run in usable if not run.recipe.get("overrides")]
        return [
            (base, other)
            for base in plain
            if base.name == self.recipe
            for other in (plain if self.named else usable)
            if (other.seed, other.data) == (base.seed, base.data)
            and (
                other.name == self.named
                if self.named
                else _settings(other) == _settings(base) | dict(self.changes)
            )
        ]


@dataclass(frozen=True)
class Difference:
    """One difference between text and code.

    Attributes
    ----------
    number
        1 to 32.
    group
        One of `GROUPS`.
    topic
        What it is about, in a few words.
    paper, place
        What the text says, and in which section or equation.
    code, file
        What the released code does, and in which of its files.
    here
        Whom this project follows, a key of `HERE`.
    note
        More about that.
    settings
        Name of a recipe to its settings, dotted path to value, for CIFAR-10-LT at paper scale; "default" where the
        recipe leaves a parameter at the default of its loss or sampler.
    run
        The two runs that tell what it changes, or None.
    selection
        Name of a recipe whose records tell by themselves what the choice of the epoch does, or None.
    known
        Where neither is given: what is known, or why nothing is.
    """

    number: int
    group: str
    topic: str
    paper: str
    place: str
    code: str
    file: str
    here: str
    note: str = ""
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    run: Run | None = None
    selection: str | None = None
    known: str = ""


@dataclass(frozen=True)
class Open:
    """What the paper does not say: the question, why it is open, what was chosen here, and the settings (as above)."""

    question: str
    why: str
    choice: str
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def _settings(run: RunRecord) -> dict[str, Any]:
    stages: Any = run.recipe["stages"]
    return by_path(stages)


@cache
def _stored() -> dict[str, list[dict[str, Any]]]:
    return tomllib.loads(files("gclib.deviations").joinpath("stated.toml").read_text(encoding="utf-8"))


def differences() -> list[Difference]:
    """Return the 32 differences, group by group."""
    return [
        Difference(**{**stored, "run": Run(**stored["run"]) if "run" in stored else None})
        for stored in _stored()["difference"]
    ]


def open_questions() -> list[Open]:
    """Return what the paper leaves open."""
    return [Open(**stored) for stored in _stored()["open"]]


def differences_table(group: str) -> Table:
    """Return the differences of a group: text, code, and what this project does."""
    rows: list[Sequence[Sequence[Item]]] = [
        [
            [str(d.number)],
            [d.topic],
            [f"{d.paper} ({d.place})" if d.place != "–" else d.paper],
            [d.code, *(Code(name) for name in d.file.split(", "))],
            ["; ".join(filter(None, (HERE[d.here], d.note)))],
        ]
        for d in differences()
        if d.group == group
    ]
    return Table(["no.", "topic", "the paper's text", "the released code", "this project"], rows, "")


def open_table() -> Table:
    """Return what the paper leaves open, and what was chosen here."""
    rows: list[Sequence[Sequence[Item]]] = [[[o.question], [o.why], [o.choice]] for o in open_questions()]
    return Table(["question", "why it is open", "chosen here"], rows, "")


def changes_table(runs: Iterable[RunRecord]) -> Table:
    """Return what each difference changes, in points of top-1 accuracy on CIFAR-10-LT at ratio 100.

    Parameters
    ----------
    runs
        Records; those of other data or of another scale say only how far chance moves a run.

    Returns
    -------
    Table
        One row for each of the 32. + means that the changed run is better.
    """
    runs, found = list(runs), []
    lines: list[list[list[Item]]] = []
    chance = Chance(runs)
    for d in sorted(differences(), key=lambda d: d.number):
        compared, paper_style, clean, shown, interval = _changed(d, runs, chance)
        lines.append([[str(d.number)], [d.topic], compared, paper_style, clean, shown])
        found.append(interval)
    corrected = iter(tables.holm([each.p for each in found if each]))
    for line, each in zip(lines, found, strict=True):
        line.insert(5, [tables.verdict(each, next(corrected)) if each else ""])
    caption = (
        "Points of top-1 accuracy on CIFAR-10-LT, ratio 100: the changed run minus the recipe, mean over equal seeds, "
        "with half of the 95% interval, by the rule of the verdicts, and below it each seed; + means that the changed "
        "run is better. Clean is the last epoch, paper-style the best epoch on the test set; what lies between these "
        "two of one run has its interval from these differences themselves. The verdict is that of the clean change, "
        "corrected for all rows (Holm)."
    )
    header = ["no.", "topic", "recipe and change", "change, paper-style", "change, clean", "verdict"]
    return Table([*header, "records or command"], lines, caption)


def _changed(
    d: Difference, runs: Sequence[RunRecord], chance: Chance
) -> tuple[list[Item], list[Item], list[Item], list[Item], Interval | None]:
    """Return the cells: what is compared, paper-style, clean, records or command; and the interval of clean."""
    if d.selection:
        own = Run(d.selection, named=d.selection)
        same = [run for run, _ in own.pairs(runs)]
        gains = [run.paper_style.top1 - run.clean.top1 for run in same]
        cell: list[Item] = ["not measured"]
        if same:
            cell = tables.difference(gains, tables.interval(mean(gains), tables.pooled([gains]), len(gains)))
        shown: list[Item] = [_link(run) for run in same] or [Command(own.command)]
        return [f"{d.selection}: best epoch on test, against clean"], cell, [""], shown, None
    if d.run is None:
        return [d.known], [""], [""], [""], None
    change = d.run.named or ", ".join(f"{path} = {value}" for path, value in d.run.changes.items())
    pairs = d.run.pairs(runs)
    seeds = [str(base.seed) for base, other in pairs if _stage_one_anew(base, other)]
    of = "" if len(seeds) == len(pairs) else f" of seed {' and '.join(seeds)}"
    anew = f"stage one{of} was trained anew" if seeds else ""
    remark = "; ".join(filter(None, (d.run.part, anew)))
    compared: list[Item] = [f"{d.run.recipe} → {change}" + f" ({remark})" * bool(remark)]
    if not pairs:
        return compared, ["not measured"], ["not measured"], [Command(d.run.command)], None
    cells, interval = [], None
    sides = [other for _, other in pairs], [base for base, _ in pairs]
    for best in (True, False):
        found, interval = chance.between(*sides, best=best)
        cells.append(tables.apart(found, interval))
    links: list[Item] = [
        _link(run, word) for pair in pairs for word, run in zip(("", "changed"), pair, strict=True)
    ]
    return compared, cells[0], cells[1], links, interval


def _stage_one_anew(base: RunRecord, other: RunRecord) -> bool:
    """Whether two runs share the settings of stage one, but not its training: rounding alone sets them apart there."""
    first, second = base.stages[0], other.stages[0]
    return first.hash == second.hash and first.course.test_accuracy != second.course.test_accuracy


def _link(run: RunRecord, word: str = "") -> Link:
    return Link(word or f"seed {run.seed}", results_path(run, "../results").as_posix())
