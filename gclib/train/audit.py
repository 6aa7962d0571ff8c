"""What of a record can be checked against the code of today, beyond its digest, which anybody can make anew."""

from collections.abc import Iterator
from functools import cache

from pydantic import JsonValue, ValidationError

from gclib import data, recipes, records
from gclib.data import LongTailed
from gclib.errors import UserError
from gclib.methods.settings import Schedule
from gclib.recipes import Recipe
from gclib.records.fields import significant
from gclib.train.plan import stage_plan

__all__ = ["contradictions", "other_recipe"]

# Records of one data set and one schedule are many.
known = cache(data.without_images)
summary = cache(records.DataSummary.of)


@cache
def learning_rates(schedule: Schedule, base: float, epochs: int) -> tuple[float, ...]:
    """Learning rate of each epoch, as a record holds it."""
    return tuple(significant(base * schedule.factor(epoch, epochs)) for epoch in range(epochs))


@cache
def as_named(name: str, dataset: str, ratio: float, scale: str) -> dict[str, JsonValue]:
    """Recipe that has this name today, as a record holds it."""
    return recipes.get(name).resolve(known(dataset, ratio), scale).model_dump(mode="json")


def contradictions(record: records.RunRecord) -> list[str]:
    """Say what in a record does not follow from its recipe, its data and its seed.

    Parameters
    ----------
    record
        A record that loads: its digest holds, and its fields agree with each other.

    Returns
    -------
    list of str
        A line for each contradiction. The command is always checked. On data whose sizes are known without a file
        (`gclib.data.WHOLE`), so are the data, and, if the code of today can read the recipe, name, start, hash, epochs
        and learning rates of each stage.
    """
    return list(_contradictions(record))


def _contradictions(record: records.RunRecord) -> Iterator[str]:
    if record.command != records.again(record):
        yield f"command: expected {records.again(record)}"
    seen = _data(record)
    if seen is None:
        return
    described = summary(seen)
    if described != record.data:
        yield f"data: not those of {seen.name} at ratio {seen.ratio:.12g}"
        return
    try:
        planned = stage_plan(Recipe.model_validate(record.recipe), described, record.seed)
    except (ValidationError, UserError):
        return
    if len(planned) != len(record.stages):
        yield f"stages: expected {len(planned)} by the recipe, got {len(record.stages)}"
        return
    for index, (expected, run) in enumerate(zip(planned, record.stages, strict=True)):
        settings = expected.settings
        for name, wanted, given in (
            ("name", settings.name, run.name),
            ("start", expected.start, run.start),
            ("hash", expected.hash, run.hash),
            ("course.loss", settings.epochs, len(run.course.loss)),
            (
                "course.learning_rate",
                learning_rates(settings.schedule, settings.learning_rate, settings.epochs),
                run.course.learning_rate,
            ),
        ):
            if wanted != given:
                yield f"stages.{index}.{name}: does not follow from recipe, data and seed"


def other_recipe(record: records.RunRecord) -> str | None:
    """Say where a record's recipe is not the one that has its name today.

    Parameters
    ----------
    record
        A record.

    Returns
    -------
    str or None
        The first setting that differs, in one line; None where none does, or where the recipe cannot be resolved
        without the images: then the data are not in `gclib.data.WHOLE`.
    """
    seen, overrides = _data(record), record.recipe.get("overrides")
    if seen is None:
        return None
    try:
        if isinstance(overrides, dict) and overrides:
            now = recipes.get(record.name).resolve(seen, record.scale, **overrides).model_dump(mode="json")
        else:
            now = as_named(record.name, record.data.name, record.data.ratio, record.scale)
    except (UserError, TypeError) as error:
        return f"recipe: not one of today's ({error})"
    then = record.recipe
    if now == then:
        return None
    settings = [recipes.by_path(_stages(recipe)) for recipe in (then, now)]
    for path in dict.fromkeys([*settings[1], *settings[0]]):
        old, new = (side.get(path) for side in settings)
        if old != new:
            return f"recipe: {path} is {old} in the record, {new} in today's {record.name}"
    return f"recipe: not that of today's {record.name}"


def _stages(recipe: dict[str, JsonValue]) -> list[dict[str, JsonValue]]:
    stages = recipe.get("stages")
    return (
        [stage for stage in stages if isinstance(stage, dict) and "name" in stage]
        if isinstance(stages, list)
        else []
    )


def _data(record: records.RunRecord) -> LongTailed | None:
    """The data set of a record without its images, where it is known without them."""
    if record.data.name not in data.WHOLE or record.data.ratio is None:
        return None
    try:
        return known(record.data.name, record.data.ratio)
    except UserError:
        return None
