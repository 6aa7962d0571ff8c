"""Cells of a grid on the digits, and the records that their runs would leave."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from factories import run_of

from gclib import data, grid, recipes, records
from gclib.grid import Cell
from gclib.train.plan import stage_plan

DIGITS = data.load("digits", 20)


def digit_cells(table: str = "table4", seeds: Sequence[int] = (0,), scale: str = "smoke") -> list[Cell]:
    return grid.cells(table, "digits", 20.0, seeds, scale)


def resolve(cell: Cell) -> recipes.Recipe:
    return recipes.get(cell.recipe).resolve(DIGITS, cell.scale)


def stage_hashes(cell: Cell) -> list[str]:
    return [stage.hash for stage in stage_plan(resolve(cell), DIGITS, cell.seed)]


def record_of(cell: Cell, **changes: Any) -> records.RunRecord:
    """Make a record with the identity that the run of the cell would have, and drawn numbers."""
    return run_of(resolve(cell), DIGITS, cell.seed, **changes)


def states(cells: Sequence[Cell], folder: Path) -> list[str]:
    return [one.state for one in grid.survey(cells, folder / "runs", folder / "results")]
