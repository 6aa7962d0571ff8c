"""The grid: the runs behind a table, what is done of them, the time of the rest, and their execution by Snakemake.

`gclib.grid.here`, which runs them side by side in one process, loads torch.
"""

from gclib.grid.cells import Cell, Progress, StageLeft, cells, shared_stages, survey
from gclib.grid.engine import run
from gclib.grid.estimate import Estimate, Speeds, estimate, makespan, speeds
from gclib.grid.price import predicted_speeds, rates_of

__all__ = [
    "Cell",
    "Estimate",
    "Progress",
    "Speeds",
    "StageLeft",
    "cells",
    "estimate",
    "makespan",
    "predicted_speeds",
    "rates_of",
    "run",
    "shared_stages",
    "speeds",
    "survey",
]
