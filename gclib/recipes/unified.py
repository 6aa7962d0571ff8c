"""The unified protocol: recipes that share what is no part of a method, so that methods alone differ."""

from dataclasses import replace

from gclib.data import LongTailed
from gclib.methods.settings import Definition, Schedule, StageSettings

__all__ = ["UNIFIED", "unify"]

# What every stage has, and what the first has, where it is trained for its 200 epochs.
UNIFIED = {"batch_size": 128, "momentum": 0.9, "weight_decay": 2e-4, "nesterov": False, "mixup": 0.0}
UNIFIED_STAGE_ONE = {"learning_rate": 0.1, "schedule": Schedule(factors=(0.1, 0.01))}


def unify(name: str, definition: Definition) -> Definition:
    """Return a recipe's twin in the unified protocol: what is left of a gain is then the method's, not the recipe's.

    One batch size, weight decay and momentum in all stages, no mixup; one learning rate and schedule in stage one. How
    long later stages run, and how fast, belongs to the method.
    """

    def stages(data: LongTailed) -> tuple[StageSettings, ...]:
        first, *later = definition.stages(data)
        return (
            first.model_copy(update={**UNIFIED, **UNIFIED_STAGE_ONE}),
            *(stage.model_copy(update=UNIFIED) for stage in later),
        )

    shared = [f"stage-one.{setting}" for setting in (*UNIFIED, *UNIFIED_STAGE_ONE)]
    shared += [f"stage-two.{setting}" for setting in UNIFIED]
    own = {path: where for path, where in definition.sources.items() if not path.startswith(tuple(shared))}
    return replace(
        definition,
        summary=f"{name} in the unified protocol: one batch size and weight decay for all, in stage one one learning "
        "rate and schedule, no mixup.",
        stages=stages,
        sources=own | dict.fromkeys(shared, "unified protocol"),
        unified="",
        label=f"{definition.label.partition(',')[0]}, one protocol" if definition.label else "",
    )
