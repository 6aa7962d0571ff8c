"""A run before it is made: its stages, where each starts, the hash by which runs share them, and its command."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gclib import records
from gclib.data import LongTailed
from gclib.methods.settings import StageSettings
from gclib.recipes import Recipe

__all__ = ["PlannedStage", "command", "stage_plan"]


@dataclass(frozen=True)
class PlannedStage:
    """A stage of a run, and the checkpoint of which stage it starts from (``"scratch"``, ``"last"``, ``"best"``)."""

    settings: StageSettings
    start: str
    parent: "PlannedStage | None"
    position: int
    hash: str


def stage_plan(recipe: Recipe, data: LongTailed, seed: int) -> list[PlannedStage]:
    """Lay out the stages: each stage after the first is run twice, from the last and from the best checkpoint.

    The hash of a stage covers the data, the seed, the head and all stages up to it, and nothing of what follows: runs
    that share a first stage share its checkpoint.
    """
    chain: list[Any] = [records.DataSummary.of(data), seed, recipe.head]
    plan: list[PlannedStage] = []
    for start in ("last", "best"):
        parent: PlannedStage | None = None
        for position, settings in enumerate(recipe.stages):
            begin = "scratch" if parent is None else start
            described = [[s.model_dump(mode="json"), begin] for s in recipe.stages[: position + 1]]
            stage = PlannedStage(settings, begin, parent, position, records.content_hash([*chain, described]))
            if stage not in plan:
                plan.append(stage)
            parent = stage
    return sorted(plan, key=lambda stage: stage.position)


def command(
    recipe: str,
    data: str,
    ratio: float | None,
    seed: int,
    scale: str,
    overrides: Mapping[str, Any] | None = None,
) -> str:
    """Return the command that makes a run.

    Parameters
    ----------
    recipe, data, ratio, seed, scale
        Names and numbers as `gclib.recipes.get` and `gclib.data.load` take them; no ratio leaves the training
        split as it is.
    overrides
        Changes to the recipe by dotted path.

    Examples
    --------
    >>> command("ce", "digits", 20.0, 1, "smoke", {"epochs": 5})
    'gcl run training -p data digits -p ratio 20 -p recipe ce -p seed 1 -p overrides epochs=5 --scale smoke'
    >>> command("ce", "folder:birds", None, 0, "paper")
    'gcl run training -p data folder:birds -p ratio 0 -p recipe ce -p seed 0 --scale paper'
    """
    words = ["gcl", "run", "training", "-p", "data", data, "-p", "ratio", f"{ratio or 0:.12g}"]
    words += ["-p", "recipe", recipe, "-p", "seed", str(seed)]
    if overrides:
        # No space within a value: spaces part the overrides.
        pairs = (f"{path}={json.dumps(value, separators=(',', ':'))}" for path, value in overrides.items())
        words += ["-p", "overrides", " ".join(pairs)]
    return shlex.join([*words, "--scale", scale])
