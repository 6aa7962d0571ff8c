"""A run before it is made: its stages, where each starts, and the hash by which runs share them."""

from dataclasses import dataclass
from typing import Any

from gclib.data import LongTailed
from gclib.methods.settings import StageSettings
from gclib.recipes import Recipe
from gclib.records import DataSummary, content_hash

__all__ = ["PlannedStage", "stage_plan"]


@dataclass(frozen=True)
class PlannedStage:
    """A stage of a run, and the checkpoint of which stage it starts from (``"scratch"``, ``"last"``, ``"best"``)."""

    settings: StageSettings
    start: str
    parent: "PlannedStage | None"
    position: int
    hash: str


def stage_plan(recipe: Recipe, data: LongTailed | DataSummary, seed: int) -> list[PlannedStage]:
    """Lay out the stages: each stage after the first is run twice, from the last and from the best checkpoint.

    The hash of a stage covers the data, the seed, the network and all stages up to it, and nothing of what follows:
    runs that share a first stage share its checkpoint.
    """
    summary = DataSummary.of(data) if isinstance(data, LongTailed) else data
    chain: list[Any] = [summary.model_dump(mode="json"), seed, recipe.head]
    if recipe.embedding:  # the hashes of stages are older than this choice
        chain.append(recipe.embedding)
    dumped = [stage.model_dump(mode="json") for stage in recipe.stages]
    plan: list[PlannedStage] = []
    for start in ("last", "best"):
        parent: PlannedStage | None = None
        for position, settings in enumerate(recipe.stages):
            begin = "scratch" if parent is None else start
            described = [[one, begin] for one in dumped[: position + 1]]
            stage = PlannedStage(settings, begin, parent, position, content_hash([*chain, described]))
            if stage not in plan:
                plan.append(stage)
            parent = stage
    return sorted(plan, key=lambda stage: stage.position)
