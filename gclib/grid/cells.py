"""The cells of a table: which runs they are, and what each still has to train."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from gclib import records
from gclib.data import PUBLISHED, WHOLE, load, without_images
from gclib.errors import require_one_of
from gclib.methods.settings import StageSettings
from gclib.recipes import get
from gclib.tables.rows import ROWS, rows
from gclib.train.plan import PlannedStage, stage_plan

__all__ = ["Cell", "Progress", "StageLeft", "cells", "same_later_stages", "shared_stages", "survey"]

TABLES = {f"table{number}": number for number in ROWS}

# A run that was trained without `keep` is done; at paper scale its record has still to go to results/.
State = Literal["to run", "begun", "trained", "done", "done, with other settings"]


@dataclass(frozen=True)
class Cell:
    """One run: a recipe on a data set (``ratio`` >= 1, or 0 for images as they are), with a seed, at a scale."""

    data: str
    ratio: float
    recipe: str
    seed: int
    scale: str

    def __str__(self) -> str:
        return f"{self.recipe} seed {self.seed}"

    @property
    def name(self) -> str:
        """What it is called among those of several data sets and ratios, also as a file."""
        return "-".join(self.place.with_suffix("").parts)

    @property
    def kept(self) -> bool:
        """Whether its record goes to the results; the tables show runs of paper scale alone."""
        return self.scale == "paper"

    @property
    def place(self) -> Path:
        """Where its record belongs below the results."""
        return records.place(self.scale, self.data, self.ratio or None, self.recipe, self.seed)


@dataclass(frozen=True)
class StageLeft:
    """A stage that is not trained to its end.

    Attributes
    ----------
    hash
        Of the chain of stages up to it; see `gclib.train.plan.stage_plan`.
    recipe, position, settings
        Which stage of which recipe, the first has position 0; and how it trains.
    images
        Training images times the epochs that are left.
    parts
        Into how many parts its batches are cut, which several processes may share.
    """

    hash: str
    recipe: str
    position: int
    settings: StageSettings
    images: int
    parts: int = 1


@dataclass(frozen=True)
class Progress:
    """How far a cell is.

    Attributes
    ----------
    cell
        The run.
    state
        ``"to run"``; ``"begun"``: checkpoints are there; ``"trained"``: its record lies in the folder of runs and
        belongs to the results; ``"done"``; ``"done, with other settings"``: the recipe was changed since.
    made
        Record that the run writes to the folder of runs.
    record
        Record that the cell is done with: among the results at paper scale, else `made`.
    left
        Stages that it has to train, in order; empty for what is done or trained.
    there
        Hashes of its stages that were begun or trained, in order; empty for what is done or trained.
    """

    cell: Cell
    state: State
    made: Path
    record: Path
    left: tuple[StageLeft, ...] = ()
    there: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        """Whether it has to be run."""
        return self.state in ("to run", "begun")


def cells(
    table: str,
    data: str = "cifar10",
    ratio: float = 100.0,
    seeds: Iterable[int] = (0,),
    scale: str = "paper",
) -> list[Cell]:
    """List the runs behind a table: each recipe of its rows once for each seed.

    Parameters
    ----------
    table
        ``"table1"`` to ``"table5"``. Of Table 2 those cells in which the paper has a number.
    data, ratio
        Data set, and imbalance ratio >= 1, or 0 for images as they are. Table 2 is of `gclib.data.PUBLISHED`.
    seeds
        Seeds >= 0; one that stands there twice counts once.
    scale
        ``"smoke"``, ``"short"`` or ``"paper"``.

    Raises
    ------
    UserError
        If there is no such table, or it is of other data.

    Examples
    --------
    >>> [str(cell) for cell in cells("table5", seeds=[0, 1])][:2]
    ['gcl-official-cben seed 0', 'gcl-official-lws seed 0']
    """
    require_one_of("table", table, TABLES)
    shown = rows(TABLES[table])  # also recipes that came since
    if TABLES[table] == 2:
        require_one_of("data set of Table 2", data, PUBLISHED)
        shown = tuple(
            row for row in shown if (cell := row.cell(2, data, ratio)) and cell.accuracy is not None
        )
    # Seed by seed: the whole table once, before any of it a second time.
    names = dict.fromkeys(row.recipe for row in shown)
    return [Cell(data, ratio, name, seed, scale) for seed in dict.fromkeys(seeds) for name in names]


def survey(cells: Iterable[Cell], workdir: str | Path, root: str | Path = "results") -> list[Progress]:
    """Look up how far each cell is.

    Parameters
    ----------
    cells
        The runs.
    workdir
        Folder of runs: checkpoints in ``stages/``, records in ``<identity>/``.
    root
        Folder of the records that the tables show.

    Raises
    ------
    UserError
        If a data set is not there, or a recipe, ratio or scale is none.
    RecordError
        If the record of a cell is no valid record.
    """
    workdir, root = Path(workdir), Path(root)

    @cache
    def dataset(name: str, ratio: float, scale: str) -> Any:
        if name in PUBLISHED or (name in WHOLE and ratio):
            return without_images(name, ratio)
        return load(name, ratio or None, download=False, scale=scale)

    summarised = cache(records.DataSummary.of)

    @cache
    def checkpoint(stage: str) -> dict[str, Any] | None:
        folder = workdir / "stages" / stage
        if not folder.exists():
            return None
        from gclib.train import checkpoints  # with torch, which takes seconds to load

        # Only the number of epochs: the weights of a whole table need not be in memory at once.
        state = checkpoints.load(folder)
        return state and {"epoch": state["epoch"]}

    def progress(cell: Cell) -> Progress:
        data = dataset(cell.data, cell.ratio, cell.scale)
        recipe = get(cell.recipe).resolve(data, cell.scale)
        summary = summarised(data)
        identity = records.run_identity(recipe.model_dump(mode="json"), summary, cell.seed)
        made = workdir / identity / records.RUN
        kept = root / cell.place
        if kept.exists():
            same = records.load(kept).identity == identity
            return Progress(cell, "done" if same else "done, with other settings", made, kept)
        record = kept if cell.kept else made
        if made.exists():
            records.load(made)
            return Progress(cell, "trained" if cell.kept else "done", made, record)
        plan = stage_plan(recipe, summary, cell.seed)
        left = [
            _left(stage, checkpoint(stage.hash), cell.recipe, sum(summary.class_counts)) for stage in plan
        ]
        there = tuple(stage.hash for stage in plan if checkpoint(stage.hash))
        unfinished = tuple(stage for stage in left if stage)
        return Progress(cell, "begun" if there else "to run", made, record, unfinished, there)

    return [progress(cell) for cell in cells]


def _left(stage: PlannedStage, state: dict[str, Any] | None, recipe: str, images: int) -> StageLeft | None:
    settings = stage.settings
    left = settings.epochs - (int(state["epoch"]) if state else 0)
    if state and not left:
        return None
    return StageLeft(
        stage.hash, recipe, stage.position, settings, images * left, settings.parts if left else 1
    )


def shared_stages(progress: Sequence[Progress]) -> dict[str, list[Progress]]:
    """Return the first stages that several open cells still need, by hash, with these cells."""
    wanted: dict[str, list[Progress]] = {}
    for one in progress:
        for stage in one.left:
            if stage.position == 0:
                wanted.setdefault(stage.hash, []).append(one)
    return {stage: group for stage, group in wanted.items() if len(group) > 1}


def same_later_stages(one: Progress, progress: Sequence[Progress]) -> list[Progress]:
    """Return the cells before `one` that train one of its later stages too, so that it waits for them.

    Two recipes are rarely one: on the digits, where small data takes away what sets the protocols apart.
    """
    later = {stage.hash for stage in one.left if stage.position}
    before = progress[: list(progress).index(one)]
    return [other for other in before if later & {stage.hash for stage in other.left}]
